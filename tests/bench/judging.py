"""How long the jury thinks where the tests of all authors are run on all candidates. Processor time."""

import random
import time

from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Examination,
    Exhibit,
    Outcome,
    Runner,
    Source,
    SuiteKind,
    TestPack,
    TestSuite,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId
from folkmoot.kernel.jury import Candidate, Evidence, judge
from folkmoot.kernel.task import Rigor

_BODY = ArtifactRef(sha256="0" * 64, size=1)
_PACK = TestPack(files=_BODY, paths=(), suite=TestSuite(runner=Runner.PYTEST, command="pytest"))
_END = CommandEnd(exit_code=1)


def jury_ms(candidates: int = 8, tests: int = 500, rounds: int = 5) -> float:
    """The shortest of `rounds`, in milliseconds, for `tests` tests of all authors together and two sealed writers."""
    evidence = cross_examined(candidates, tests)
    return min(_spent(evidence) for _ in range(rounds)) * 1000


def _spent(evidence: Evidence) -> float:
    began = time.process_time()
    judge(evidence)
    return time.process_time() - began


def cross_examined(candidates: int, tests: int) -> Evidence:
    """Nine in ten tests pass on all; the rest on about half, each in a way of its own."""
    rng, names = random.Random(1), [f"dev-{n}" for n in range(candidates)]
    writers = [*names, "tester-1", "tester-2"]
    per = {w: [f"tests/test_{w}.py::test_{n}" for n in range(tests // len(writers))] for w in writers}
    exhibits = tuple(
        Exhibit(
            exhibit_id=f"own-{w}-r1",
            author=AgentId(w),
            source=Source.CANDIDATE if w in names else Source.SEALED,
            pack=_PACK,
        )
        for w in writers
    )
    apart = {t for of in per.values() for t in of if rng.random() < 0.1}

    def runs(subject: str) -> tuple[Examination, ...]:
        return tuple(
            Examination(
                subject=subject,
                kind=SuiteKind.EXHIBIT,
                name=e.exhibit_id,
                end=_END,
                tests={
                    t: Outcome.FAILED if t in apart and rng.random() < 0.5 else Outcome.PASSED for t in per[e.author]
                },
            )
            for e in exhibits
        )

    suite = {f"tests/test_base.py::test_{n}": Outcome.PASSED for n in range(tests)}
    ran = CommandEnd(exit_code=0)
    return Evidence(
        rigor=Rigor.L3,
        checks=(),
        tested=True,
        base=(
            *(
                Examination(subject="base", kind=SuiteKind.TESTS, name="tests", run=n, end=ran, tests=suite)
                for n in (1, 2)
            ),
            *runs("base"),
        ),
        candidates=tuple(
            Candidate(
                admission=_admission(ProposalId(f"{name}-r1"), name, n),
                examinations=(
                    Examination(subject=f"{name}-r1", kind=SuiteKind.TESTS, name="tests", end=ran, tests=suite),
                    *runs(f"{name}-r1"),
                ),
            )
            for n, name in enumerate(names)
        ),
        exhibits=exhibits,
    )


def _admission(proposal: ProposalId, name: str, number: int) -> Admission:
    return Admission(
        proposal_id=proposal,
        agent_id=AgentId(name),
        commit=CommitId(f"c-{number}"),
        tree=f"tree-{number}",
        diff=_BODY,
        bundle=_BODY,
        files=("a.py",),
        lines_added=number + 1,
        lines_removed=0,
    )
