"""The kernel alone: folding events, and a jury over many candidates and tests. Processor time: nothing waits here."""

import time
from collections.abc import Callable

from folkmoot.kernel import deliberation
from folkmoot.kernel.events import Stored
from folkmoot.kernel.evidence import Admission, ArtifactRef, CommandEnd, Examination, Outcome, SuiteKind
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId
from folkmoot.kernel.jury import Candidate, Evidence, judge
from folkmoot.kernel.task import Rigor
from tests.bench.measure import Row

EVENTS = 100_000
CANDIDATES, TESTS = 8, 500
ROUNDS = 5
_BODY = ArtifactRef(sha256="0" * 64, size=1)


def rows(events: list[Stored]) -> list[Row]:
    """`events`: a whole real deliberation, folded again and again."""
    times = -(-EVENTS // len(events))
    rates = tuple(times * len(events) / _spent(lambda: _fold(events, times)) for _ in range(ROUNDS))
    evidence = _evidence()
    jury = tuple(_spent(lambda: judge(evidence)) for _ in range(ROUNDS))
    return [
        Row(
            work=f"{EVENTS:,} events folded ({times:,} deliberations of {len(events)})",
            ours=rates,
            unit="events/s",
            aim=">= 200,000 events/s",
        ),
        Row(work=f"jury of {CANDIDATES} candidates x {TESTS} tests", ours=jury),
    ]


def _spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _fold(events: list[Stored], times: int) -> None:
    for _ in range(times):
        deliberation.fold(events)


def _evidence() -> Evidence:
    return Evidence(
        rigor=Rigor.L1,
        checks=(),
        tested=True,
        base=tuple(_run("base", failing=0, number=n) for n in (1, 2)),
        candidates=tuple(_candidate(n) for n in range(CANDIDATES)),
    )


def _candidate(number: int) -> Candidate:
    """Every second one breaks some of base's tests."""
    proposal = ProposalId(f"dev-{number}-r1")
    admission = Admission(
        proposal_id=proposal,
        agent_id=AgentId(f"dev-{number}"),
        commit=CommitId(f"c-{number}"),
        tree=f"tree-{number}",
        diff=_BODY,
        bundle=_BODY,
        files=("a.py",),
        lines_added=number,
        lines_removed=0,
        fingerprint=f"print-{number}",
    )
    return Candidate(admission=admission, examinations=(_run(proposal, failing=number % 2 * 10, number=1),))


def _run(subject: str, *, failing: int, number: int) -> Examination:
    tests = {f"tests/test_{n}.py::test": Outcome.FAILED if n < failing else Outcome.PASSED for n in range(TESTS)}
    end = CommandEnd(exit_code=int(failing > 0))
    return Examination(subject=subject, kind=SuiteKind.TESTS, name="tests", run=number, end=end, tests=tests)
