"""What is to be done next within a stage: attempts of agents, and examinations."""

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from folkmoot.kernel.deliberation.state import BASE, LINT, LINTED, NO_MARKERS, TESTS, Attempts, Deliberation
from folkmoot.kernel.evidence import PreparedBase, SuiteKind
from folkmoot.kernel.facts import Examined, Seat, Work
from folkmoot.kernel.ids import CommitId
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Rigor, TaskKind

_WEIGHS_COST = (Rigor.L2, Rigor.L3)
"""Below, a linter's word is not worth another sandbox."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that an agent still needs."""

    seat: Seat
    work: Work
    attempt: int
    """From 1, counted on through all works of the agent."""
    last: int
    """Number of the last attempt that this work may take."""
    started: bool
    """It was begun, perhaps by a predecessor: look for its result before doing anything else."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An examination that is needed. Equal ones are the same."""

    subject: str
    kind: SuiteKind
    name: str
    run: int = 1

    @classmethod
    def of(cls, fact: Examined) -> "Wanted":
        return cls(subject=fact.subject, kind=fact.kind, name=fact.name, run=fact.run)


def pending(state: Deliberation, max_attempts: int) -> tuple[Due, ...]:
    """Attempts that run or must begin, in the order of the works; at most one per agent."""
    return tuple(d for w in state.open if (d := _due(state, w, max_attempts)).started or d.attempt <= d.last)


def exhausted(state: Deliberation, max_attempts: int) -> dict[Work, str]:
    """Works that lost all their attempts, with the reason to write down."""
    alive = {d.work for d in pending(state, max_attempts)}
    gone = [w for w in state.open if w not in alive]
    return {w: f"the last of {max_attempts} attempts was lost: {_of(state, w).reason}" for w in gone}


def _of(state: Deliberation, work: Work) -> Attempts:
    return state.attempts.get(work.agent_id, Attempts())


def _due(state: Deliberation, work: Work, max_attempts: int) -> Due:
    seat, attempts = state.seat(work.agent_id), _of(state, work)
    assert seat is not None, "a work is only begun by who has a seat"
    running = attempts.running(work)
    number = attempts.started if running else attempts.started + 1
    before = attempts.before if attempts.work == work else attempts.started
    return Due(seat=seat, work=work, attempt=number, last=before + max_attempts, started=running)


def missing(state: Deliberation, baseline_runs: int) -> tuple[Wanted, ...]:
    """Examinations that are needed and not recorded: base's first, so that they run while agents still think."""
    if state.base is None or state.ranked or state.end or state.spec.kind is TaskKind.ANALYSIS:
        return ()
    done = set(map(Wanted.of, state.examined))
    return tuple(w for w in _wanted(state, state.base, baseline_runs) if w not in done)


def _wanted(state: Deliberation, base: PreparedBase, baseline_runs: int) -> Iterator[Wanted]:
    subjects: Sequence[tuple[str, int]] = [(BASE, baseline_runs), *((a.proposal_id, 1) for a in state.admissions)]
    for subject, runs in subjects:
        names = (TESTS, *(sides(state) if subject == BASE else ())) if base.suite else ()
        for name, run in itertools.product(names, range(1, runs + 1)):
            yield Wanted(subject=subject, kind=SuiteKind.TESTS, name=name, run=run)
        for check in checks(state):
            # Base is one side of the merge: it has no markers, and to say so would show nothing.
            if subject != BASE or check != NO_MARKERS:
                yield Wanted(subject=subject, kind=SuiteKind.CHECK, name=check)
    for admission in state.admissions:
        if state.spec.rigor in _WEIGHS_COST and any(path.endswith(LINTED) for path in admission.files):
            yield Wanted(subject=admission.proposal_id, kind=SuiteKind.LINT, name=LINT)
    for exhibit, (subject, _) in itertools.product(state.exhibits, subjects):
        yield Wanted(subject=subject, kind=SuiteKind.EXHIBIT, name=exhibit.exhibit_id)


def sides(state: Deliberation) -> dict[str, CommitId]:
    """Where the platform merges: what it merges besides base, by the name of the examination of its tests. They guard
    the merge as base's do."""
    base = state.base
    if base is None or base.start is None or base.conflicts:
        return {}
    return {f"{TESTS} of {commit[:12]}": commit for commit in state.spec.merge if commit != base.commit}


def checks(state: Deliberation) -> tuple[str, ...]:
    """What a candidate must pass: the task's own, each once, and the one of a merge that conflicts."""
    conflicts = state.base is not None and bool(state.base.conflicts)
    return tuple(dict.fromkeys([*state.spec.checks, *([NO_MARKERS] if conflicts else [])]))


def ready(state: Deliberation, baseline_runs: int) -> bool:
    """All agents are done and everything is examined: time for the next stage."""
    return state.state is State.EXAMINING and not missing(state, baseline_runs)
