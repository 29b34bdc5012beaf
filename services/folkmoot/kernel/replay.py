"""The decision of one deliberation, made again from its log. Pure: the same evidence and policy give the same bytes."""

from collections.abc import Iterable, Iterator

import msgspec

from folkmoot.kernel.analysis.protocol import ranked as documents
from folkmoot.kernel.deliberation import BASE, Deliberation, apply, begin, missing
from folkmoot.kernel.errors import FailedPrecondition, NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.evidence import Examination, SuiteKind
from folkmoot.kernel.facts import CandidatesRanked
from folkmoot.kernel.jury import Policy, collect, judge
from folkmoot.kernel.jury.evidence import UNRELIABLE
from folkmoot.kernel.jury.words import count
from folkmoot.kernel.task import TaskKind

EARLY = "decided by what there was"
"""Ends the last reason of a ruling that a limit of the task brought about: no evidence tells of it."""
UNEXAMINED = "decided by what there was, before all of it was examined"
"""Instead of that, where examinations were cut off: what the jury makes of their absence is left out."""
_LATER = frozenset({"opinions_for", "opinions_against"})
MORE_TIME = "more time would settle it: continue the task with a longer limit on its wall time"


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A deliberation as its jury found it, and what the jury said."""

    state: Deliberation
    ruling: CandidatesRanked


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place in which two rulings differ, or two policies."""

    field: str
    """As `confidence`, `ranking[2].acceptable`."""
    stored: str
    """JSON; empty where there is nothing."""
    again: str


def ranked(events: Iterable[Stored]) -> Ranked:
    """Fold a task's events up to its ranking.

    Raises NotFound without events, FailedPrecondition (`not_ranked`), BrokenChain.
    """
    state: Deliberation | None = None
    for stored in events:
        if state and isinstance(stored.event.data, CandidatesRanked):
            apply(state, stored)  # for its place in the chain
            return Ranked(state=state, ruling=stored.event.data)
        state = apply(state, stored) if state else begin(stored)
    if state is None:
        raise NotFound("there is no such deliberation")
    raise FailedPrecondition("not_ranked", f"task {state.task_id} has no ranking: it is {state.state}")


def again(found: Ranked, examinations: Iterable[Examination], policy: Policy) -> CandidatesRanked:
    """The jury's word on the same evidence; where its policy is kept stays. `examinations` are the bodies behind
    `found.state.examined`, in order."""
    if found.state.spec.kind is TaskKind.ANALYSIS:
        ruling = documents(found.state, policy.version)
    else:
        ruling = judge(collect(found.state, examinations), policy, wording=found.ruling.wording)
    ruling = msgspec.structs.replace(_without_later_scores(ruling, found.ruling), numbers=found.ruling.numbers)
    said = "".join(found.ruling.reasons[-1:])
    if said.endswith(UNEXAMINED):
        return ended_early(ruling, found.state, said.removesuffix(f": {UNEXAMINED}"))
    return msgspec.structs.replace(ruling, reasons=(*ruling.reasons, said)) if said.endswith(EARLY) else ruling


def _without_later_scores(ruling: CandidatesRanked, stored: CandidatesRanked) -> CandidatesRanked:
    """As it was told before there were such scores, where it was stored then: they decide nothing."""
    if any(r.scores.keys() >= _LATER for r in stored.ranking):
        return ruling
    change = msgspec.structs.replace
    rows = (change(r, scores={k: v for k, v in r.scores.items() if k not in _LATER}) for r in ruling.ranking)
    return change(ruling, ranking=tuple(rows))


def ended_early(ruling: CandidatesRanked, state: Deliberation, limit: str) -> CandidatesRanked:
    """With the limit that ended the work, and what it left unexamined. `limit`: in words. `state` is not ranked yet."""
    gaps = tuple(_unexamined(state))
    if not gaps:
        return msgspec.structs.replace(ruling, reasons=(*ruling.reasons, f"{limit}: {EARLY}"))
    settle = () if ruling.chosen else (MORE_TIME,)
    known = [r for r in ruling.reasons if r not in ruling.settle and r != UNRELIABLE]
    reasons = (*known, *gaps, *settle, f"{limit}: {UNEXAMINED}")
    return msgspec.structs.replace(ruling, reasons=reasons, settle=settle)


def _unexamined(state: Deliberation) -> Iterator[str]:
    wanted = [w for w in missing(state, 1) if w.kind is not SuiteKind.LINT]
    if any(w.subject == BASE and w.kind is SuiteKind.TESTS for w in wanted):
        yield "base's tests had not run to their end: nothing is known of regressions"
    waiting = {w.subject for w in wanted} - {BASE}
    if waiting:
        of = count(len(state.admissions), "proposal")
        yield f"{len(waiting)} of {of} had not been examined to the end"


def same(one: CandidatesRanked, other: CandidatesRanked) -> bool:
    """Bit for bit, as they would be stored."""
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")


def differences(stored: msgspec.Struct, now: msgspec.Struct) -> tuple[Difference, ...]:
    """Of two of a kind; none where they are the same."""
    before, after = _leaves("", msgspec.to_builtins(stored)), _leaves("", msgspec.to_builtins(now))
    old, new = dict(before), dict(after)
    fields = dict.fromkeys((*old, *new))
    return tuple(
        Difference(field=field, stored=old.get(field, ""), again=new.get(field, ""))
        for field in fields
        if old.get(field) != new.get(field)
    )


def _leaves(field: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(f"{field}.{name}".lstrip("."), item)
    elif isinstance(value, (list, tuple)) and value:
        for i, item in enumerate(value):
            yield from _leaves(f"{field}[{i}]", item)
    else:
        yield field, msgspec.json.encode(value).decode()
