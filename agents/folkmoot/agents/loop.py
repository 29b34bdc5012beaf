"""The agent's loop: a generator of effects. It decides; whoever drives it does.

The same loop runs live, in replay and in tests. No I/O here, and no clock: time comes in as a value.
"""

from collections.abc import Generator, Sequence

import msgspec

from folkmoot.agents.chat import Call, Message, Reply, Tokens
from folkmoot.agents.stuck import Habits
from folkmoot.kernel import limits
from folkmoot.kernel.analysis.document import document_of
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget
from folkmoot.tools.arguments import Arguments, Submit
from folkmoot.tools.table import BadCall, parsed


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a run."""

    tools: tuple[str, ...]
    budget: Budget
    last: str = "submit"
    """The tool that ends the run."""
    malformed_limit: int = 3
    document: bool = False
    """The run ends with a document as its summary; one that is none is a call that cannot be made."""
    price_prompt_usd: float = 0.0
    """Per million tokens."""
    price_completion_usd: float = 0.0
    total: Budget | None = None
    """Limits that the task's agents share; None: there are none."""


class CallModel(msgspec.Struct, frozen=True):
    """Answered with `Answered` or `Unanswered`."""

    messages: tuple[Message, ...]
    left_s: float
    """Wall time that is left to the run."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was found to be good."""

    id: str
    name: str
    arguments: str
    """As the model wrote them."""
    given: Arguments


class CallTools(msgspec.Struct, frozen=True):
    """To be done in order; answered with `Done`."""

    calls: tuple[ToolCall, ...]
    left_s: float


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The last effect."""

    submitted: bool
    reason: str
    summary: str = ""
    usage: Usage
    messages: tuple[Message, ...]
    """The whole conversation."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    reply: Reply
    elapsed_s: float
    """Since the run began."""
    shared: Usage = Usage()
    """What the whole task has used, with this."""


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """The model server cannot be used, or the wall time ran out while it was asked."""

    reason: str
    elapsed_s: float


class ToolDone(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one tool call."""

    text: str
    """For the model."""
    error: str = ""
    summary: str | None = None
    """Of the call that ended the run: `submit`, or `finish_review`."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One result per call, in order; fewer when one ended the run or the wall time ran out."""

    results: tuple[ToolDone, ...]
    elapsed_s: float
    shared: Usage = Usage()


Effect = CallModel | CallTools | Finish
Event = Answered | Unanswered | Done
Loop = Generator[Effect, Event, None]

SUBMITTED = "submitted"
"""The reason of a run that its agent ended."""
CUT_OFF = (
    "Your answer was cut off because it was too long, and what it called was not done. Answer in smaller pieces: write "
    "a large file with write_file and then append_file."
)
EMPTY = "Your answer was empty. Call a tool; call {last} when you are done."
NO_CALL = "You called no tool. Go on with the tools, or call {last} when the work is done."
NEARLY_SPENT = (
    "What the whole task may use is nearly used up. This may be your last answer: hand in what you have, with {last}."
)
SPENT = "{limit}. Your work is handed in as it stands."
UNREADABLE = "Your answer could not be read: {problem}. Answer again, with a tool call."


def run(opening: Sequence[Message], rules: Rules) -> Loop:
    """Drive it with `next`, then `send`; it ends after `Finish`."""
    yield from _Run(opening, rules).steps()


class _Run:
    def __init__(self, opening: Sequence[Message], rules: Rules) -> None:
        self._messages: list[Message] = list(opening)
        self._rules = rules
        self._calls = 0
        self._tokens = Tokens()
        self._elapsed_s = 0.0
        self._malformed = 0
        self._habits = Habits()
        self._last = Tokens()
        self._shared = Usage()
        """What all agents of the task have used, as far as this one knows."""
        self._told = False

    def steps(self) -> Loop:
        while True:
            limit = self._limit()
            if limit:
                yield self._finish(limit)
                return
            if spent := self._spent():
                yield (yield from self._hand_in(spent))
                return
            self._tell_in_time()
            event = yield CallModel(tuple(self._messages), self._left_s())
            self._elapsed_s = event.elapsed_s
            if isinstance(event, Unanswered):
                yield self._finish(event.reason)
                return
            assert isinstance(event, Answered)
            self._count(event.reply.tokens)
            self._shared = event.shared
            end = yield from self._turn(event.reply)
            if end is not None:
                yield end
                return

    def _turn(self, reply: Reply) -> Generator[Effect, Event, Finish | None]:
        good, bad = _sorted(reply.calls, self._rules)
        problem = _problem(reply, bad, self._rules.last)
        self._malformed = self._malformed + 1 if problem else 0
        if not good or (reply.cut_off and bad):
            self._correct(reply, problem, bad)
            return self._given_up(problem)
        self._messages.append(_assistant(reply))
        event = yield CallTools(tuple(good.values()), self._left_s())
        assert isinstance(event, Done)
        self._elapsed_s, self._shared = event.elapsed_s, event.shared
        results = dict(zip(good, event.results, strict=False))
        for index, call in enumerate(reply.calls):
            text = results[index].text if index in results else _refusal(bad.get(index, "not done"))
            self._messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        for result in event.results:
            if result.summary is not None:
                return self._finish(SUBMITTED, submitted=True, summary=result.summary)
        return self._stuck(list(good.values()), event.results) or self._given_up(problem)

    # --- limits --------------------------------------------------------------------------------------------------

    def _limit(self) -> str:
        budget, used, cost = self._rules.budget, self._tokens.prompt + self._tokens.completion, self._cost_usd()
        if self._elapsed_s >= budget.wall_s:
            return f"wall time limit: {budget.wall_s:g} s are over"
        if self._calls >= budget.steps:
            return f"step limit: {budget.steps} model calls are used"
        if used >= budget.tokens:
            return f"token limit: {used} tokens used of {budget.tokens}"
        if cost >= budget.cost_usd and cost > 0:
            return f"cost limit: {cost:.4f} USD spent of {budget.cost_usd:g}"
        return ""

    def _spent(self, further: Usage = Usage()) -> str:  # noqa: B008 -- frozen
        """Which limit of the task is used up, or would be with `further`, in words."""
        rules = self._rules
        if rules.total is None:
            return ""
        prices = limits.Prices(prompt_usd=rules.price_prompt_usd, completion_usd=rules.price_completion_usd)
        return limits.reached(rules.total, self._shared.plus(further), prices)

    def _tell_in_time(self) -> None:
        """Once, when another call like the last one uses up what the task may use."""
        likely = Usage(model_calls=1, prompt_tokens=self._last.prompt, completion_tokens=self._last.completion)
        if self._calls and not self._told and self._spent(likely):
            self._told = True
            self._messages.append({"role": "user", "content": NEARLY_SPENT.format(last=self._rules.last)})

    def _hand_in(self, limit: str) -> Generator[Effect, Event, Finish]:
        """What there is counts, without another call of the model. A document is written in one piece, or not."""
        if self._rules.document:
            return self._finish(limit)
        told = SPENT.format(limit=limit[0].upper() + limit[1:])
        self._messages.append({"role": "user", "content": told})
        arguments = msgspec.json.encode({"summary": told}).decode()
        given = parsed(self._rules.last, arguments, self._rules.tools)
        call = ToolCall(id="limit", name=self._rules.last, arguments=arguments, given=given)
        event = yield CallTools((call,), self._left_s())
        assert isinstance(event, Done)
        self._elapsed_s = event.elapsed_s
        summary = next((r.summary for r in event.results if r.summary is not None), None)
        return self._finish(limit, submitted=summary is not None, summary=summary or "")

    def _left_s(self) -> float:
        return max(0.0, self._rules.budget.wall_s - self._elapsed_s)

    def _cost_usd(self) -> float:
        prompt = self._tokens.prompt * self._rules.price_prompt_usd
        return (prompt + self._tokens.completion * self._rules.price_completion_usd) / 1e6

    def _count(self, tokens: Tokens) -> None:
        self._calls += 1
        self._last = tokens
        self._tokens = Tokens(
            prompt=self._tokens.prompt + tokens.prompt,
            completion=self._tokens.completion + tokens.completion,
            cached=self._tokens.cached + tokens.cached,
        )

    # --- replies that cannot be used -----------------------------------------------------------------------------

    def _correct(self, reply: Reply, problem: str, bad: dict[int, str]) -> None:
        """Tell the model what was wrong. The conversation stays one that any server accepts."""
        if reply.calls and not reply.cut_off:
            self._messages.append(_assistant(reply))
            for index, call in enumerate(reply.calls):
                answer = {"role": "tool", "tool_call_id": call.id, "content": _refusal(bad[index])}
                self._messages.append(answer)
            return
        self._messages.append({"role": "assistant", "content": reply.text or "(no readable answer)"})
        self._messages.append({"role": "user", "content": problem})

    def _given_up(self, problem: str) -> Finish | None:
        if self._malformed < self._rules.malformed_limit:
            return None
        return self._finish(f"{self._malformed} replies in a row could not be used; the last: {problem}")

    def _stuck(self, calls: list[ToolCall], results: Sequence[ToolDone]) -> Finish | None:
        for call, result in zip(calls, results, strict=False):
            self._habits.saw(f"{call.name} {call.arguments}", result.error)
        habit = self._habits.found()
        if not habit:
            return None
        if self._habits.warned:
            return self._finish(f"stuck: {habit}")
        self._habits.warn()
        warning = f"You are going in circles: {habit}. Try something else, or call {self._rules.last}."
        self._messages.append({"role": "user", "content": warning})
        return None

    def _finish(self, reason: str, *, submitted: bool = False, summary: str = "") -> Finish:
        usage = Usage(
            model_calls=self._calls,
            prompt_tokens=self._tokens.prompt,
            completion_tokens=self._tokens.completion,
            cached_tokens=self._tokens.cached,
            wall_s=self._elapsed_s,
        )
        return Finish(submitted=submitted, reason=reason, summary=summary, usage=usage, messages=tuple(self._messages))


def _sorted(calls: Sequence[Call], rules: Rules) -> tuple[dict[int, ToolCall], dict[int, str]]:
    """By position: the calls that can be made, and why the others cannot."""
    good: dict[int, ToolCall] = {}
    bad: dict[int, str] = {}
    for index, call in enumerate(calls):
        try:
            given = parsed(call.name, call.arguments, rules.tools)
            if rules.document and isinstance(given, Submit):
                document_of(given.summary)
        except (BadCall, InvalidInput) as problem:
            bad[index] = str(problem)
        else:
            good[index] = ToolCall(id=call.id, name=call.name, arguments=call.arguments, given=given)
    return good, bad


def _problem(reply: Reply, bad: dict[int, str], last: str) -> str:
    """Why the reply cannot be used, or not as a whole. A call that is complete counts, whatever the reason says."""
    if reply.problem:
        return UNREADABLE.format(problem=reply.problem)
    if reply.cut_off and (bad or not reply.calls):
        return CUT_OFF
    if bad:
        return next(iter(bad.values()))
    if reply.calls:
        return ""
    return (NO_CALL if reply.text.strip() else EMPTY).format(last=last)


def _assistant(reply: Reply) -> Message:
    """Arguments that are no JSON object would make some servers refuse the whole conversation."""
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": _sendable(c.arguments)}}
        for c in reply.calls
    ]
    return {"role": "assistant", "content": reply.text, "tool_calls": calls}


def _sendable(arguments: str) -> str:
    try:
        msgspec.json.decode(arguments.encode(), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return "{}"
    return arguments


def _refusal(problem: str) -> str:
    return msgspec.json.encode({"ok": False, "error": problem}).decode()
