"""The chat API's bytes, read with suspicion: any bytes give a reply, or a reason why there is none. No I/O here."""

from typing import Any

import msgspec

from folkmoot.agents.chat import Call, Reply, Tokens

MOST_CALLS = 64
"""In one reply; more is noise."""
MOST_TOKENS = 10**9
"""Of any count in one reply: what a server claims is added up, and has to fit into 64 bits wherever it is told."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Piece(msgspec.Struct):
    """A message, or a delta of one."""

    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Piece | None = None
    delta: _Piece | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class ServerError(Exception):
    """The server reports an error inside a body that began well; the message is its words, as long as they are."""


class Unreadable(Exception):
    """No chat completion; the message says why."""


class _Growing:
    """A tool call under assembly."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, piece: _Call) -> None:
        self.id = self.id or piece.id or ""
        if piece.function is None:
            return
        self.name = self.name or piece.function.name or ""
        arguments = piece.function.arguments
        if arguments:
            self.arguments.append(arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode())


class Assembly:
    """One reply, put together from one body or from many events."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int, _Growing] = {}
        self._usage: _Usage | None = None
        self._reason: str | None = None
        self.done = False
        """The server said that this is all."""

    def event(self, data: bytes) -> None:
        """Data of one server-sent event. Raises ServerError, Unreadable."""
        if data.strip() == b"[DONE]":
            self.done = True
            return
        self.body(data)

    def body(self, data: bytes) -> None:
        """A whole completion, or a chunk of one. Raises ServerError, Unreadable."""
        try:
            body = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"no chat completion: {error}") from error
        if body.error:
            raise ServerError(_words(body.error))
        if body.choices is None and body.usage is None:
            raise Unreadable("no chat completion: it has no choices")
        self._usage = body.usage or self._usage
        for choice in body.choices or ():
            if choice.index == 0:
                self._take(choice)

    def _take(self, choice: _Choice) -> None:
        piece = choice.message or choice.delta
        if choice.finish_reason:
            self._reason, self.done = choice.finish_reason, True
        if piece is None:
            return
        if piece.content:
            self._text.append(piece.content)
        for position, call in enumerate(piece.tool_calls or ()):
            index = position if call.index is None else call.index
            if index in self._calls or len(self._calls) < MOST_CALLS:
                self._calls.setdefault(index, _Growing()).add(call)

    def reply(self, estimate: Tokens) -> Reply:
        """`estimate` stands in where the server counts nothing. The list of calls is believed, not the reason."""
        return Reply(
            text="".join(self._text),
            calls=self._whole_calls(),
            cut_off=self._reason == "length",
            tokens=self._tokens(estimate),
        )

    def _whole_calls(self) -> tuple[Call, ...]:
        """With ids that are there and differ, as the API demands of the next request."""
        used: set[str] = set()
        calls = []
        for number, (_, call) in enumerate(sorted(self._calls.items())):
            ident = call.id if call.id and call.id not in used else f"call_{number}_{len(used)}"
            used.add(ident)
            calls.append(Call(id=ident, name=call.name, arguments="".join(call.arguments)))
        return tuple(calls)

    def _tokens(self, estimate: Tokens) -> Tokens:
        usage = self._usage
        if usage is None:
            size = sum(map(len, self._text)) + sum(len(a) for c in self._calls.values() for a in c.arguments)
            return Tokens(prompt=estimate.prompt, completion=size // 4)
        details = usage.prompt_tokens_details
        return Tokens(
            prompt=_counted(usage.prompt_tokens),
            completion=_counted(usage.completion_tokens),
            cached=_counted((details.cached_tokens or 0) if details else 0),
        )


def _counted(claimed: int) -> int:
    return min(max(0, claimed), MOST_TOKENS)


class Events:
    """Server-sent events, cut out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        """Of a line that is not whole; put together once, however small the pieces."""

    def feed(self, data: bytes) -> list[bytes]:
        """Data of the events that are whole now; comments and other fields are skipped."""
        *lines, rest = data.split(b"\n")
        if not lines:
            self._rest.append(data)
            return []
        lines[0] = b"".join([*self._rest, lines[0]])
        self._rest = [rest]
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def rest(self) -> list[bytes]:
        """Of a stream that ended without a last newline."""
        return self.feed(b"\n")


def error_words(data: bytes) -> str:
    """What an error's body says."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "" if looks_like_html(data) else _words(data.decode("utf-8", "replace"))
    return _words(body.get("error", body) if isinstance(body, dict) else body)


def looks_like_html(data: bytes) -> bool:
    return data.lstrip()[:1] == b"<"


def _words(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message", error)
    return " ".join(str(error).split())
