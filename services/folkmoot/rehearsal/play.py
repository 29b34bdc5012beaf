"""Which turn is played, and what it costs. Pure: the same request gets the same answer, whatever came before it."""

from collections.abc import Iterable

import msgspec

from folkmoot.agents.quoting import diffs_in
from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.rehearsal.places import filled
from folkmoot.rehearsal.script import PHASES, Script, Turn

BYTES_PER_TOKEN = 4
"""The stated rule of `usage`: a token is four bytes of UTF-8 JSON, rounded up per message."""


class Message(msgspec.Struct, frozen=True):
    """Of a conversation, as far as the turn depends on it."""

    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")
    tool_calls: tuple["CallId", ...] | None = None
    tool_call_id: str | None = None


class CallId(msgspec.Struct, frozen=True):
    id: str


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/chat/completions`; fields that change nothing here are not read."""

    messages: list[msgspec.Raw]
    user: str
    """`<task_id>/<agent_id>`."""
    model: str = "rehearsal"
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request, understood."""

    agent: str
    user: str
    phase: str
    turn: int
    """From 0: the number of answers that the conversation already holds."""
    model: str
    stream: bool
    stream_usage: bool
    prompt_tokens: int
    cached_tokens: int
    """What the same agent sent with its call before this one: everything up to its last answer."""
    shown: tuple[tuple[str, str], ...] = ()
    """Candidates that the conversation begins with: name and diff."""


def understand(body: bytes, phase: str) -> Ask:
    """Raises InvalidInput naming the field of the request that is wrong."""
    if phase not in PHASES:
        raise InvalidInput("X-Folkmoot-Phase", f"{phase!r}; one of {', '.join(PHASES)}")
    try:
        request = msgspec.json.decode(body, type=Request)
        messages = [msgspec.json.decode(m, type=Message) for m in request.messages]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput("body", str(error)) from error
    _answered(messages)
    answers = [i for i, m in enumerate(messages) if m.role == "assistant"]
    before = answers[-1] if answers else 0
    return Ask(
        agent=_agent(request.user),
        user=request.user,
        phase=phase,
        turn=len(answers),
        model=request.model,
        stream=request.stream,
        stream_usage=request.stream_options is not None and request.stream_options.include_usage,
        prompt_tokens=tokens(request.messages) + tokens([request.tools]),
        cached_tokens=tokens(request.messages[:before]) + (tokens([request.tools]) if answers else 0),
        shown=_shown(messages),
    )


def turn_for(script: Script, ask: Ask) -> Turn:
    """The turn to play, its places filled; past the last one, a text that says so. Raises NotFound for an agent without
    a part."""
    name = script.behaviour(ask.agent)
    if name is None:
        raise NotFound(f"the script has no part for agent {ask.agent!r}; it has {', '.join(script.agents) or 'none'}")
    turns = script.turns(name, ask.phase)
    if ask.turn < len(turns):
        return filled(turns[ask.turn], ask.shown)
    return Turn(text=f"The script is over: behaviour {name!r} has {len(turns)} turns in phase {ask.phase}.")


def tokens(texts: Iterable[bytes | msgspec.Raw]) -> int:
    """By the rule of `BYTES_PER_TOKEN`."""
    return sum(-(-len(bytes(t)) // BYTES_PER_TOKEN) for t in texts)


def _agent(user: str) -> str:
    task, _, agent = user.partition("/")
    if not task or not agent:
        raise InvalidInput("user", f"{user!r} is not `<task_id>/<agent_id>`")
    return agent


def _answered(messages: list[Message]) -> None:
    """Hosted servers refuse a conversation in which a tool call has no result; so does this one."""
    if not messages:
        raise InvalidInput("messages", "is empty")
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        if message.role == "tool":
            open_calls.discard(message.tool_call_id or "")
            continue
        if open_calls:
            raise InvalidInput(f"messages[{i}]", f"comes before the results of {', '.join(sorted(open_calls))}")
        open_calls = {call.id for call in message.tool_calls or ()}
    if open_calls:
        raise InvalidInput("messages", f"ends before the results of {', '.join(sorted(open_calls))}")


def _shown(messages: list[Message]) -> tuple[tuple[str, str], ...]:
    """In the first message that is the user's: what comes later may quote anything."""
    for message in messages:
        if message.role == "user":
            content = msgspec.json.decode(message.content)
            return tuple(diffs_in(content)) if isinstance(content, str) else ()
    return ()
