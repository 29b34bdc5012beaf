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
    names = [f"dev-{n}" for n in range(candidates)]
    seen = _Seen(random.Random(1), names, tests)
    return Evidence(
        rigor=Rigor.L3,
        checks=(),
        tested=True,
        base=(seen.suite("base", 1), seen.suite("base", 2), *seen.exhibits("base")),
        candidates=tuple(
            Candidate(
                admission=_admission(ProposalId(f"{name}-r1"), name, n),
                examinations=(seen.suite(f"{name}-r1"), *seen.exhibits(f"{name}-r1")),
            )
            for n, name in enumerate(names)
        ),
        exhibits=seen.written,
    )


class _Seen:
    """What examinations find: tests of base, and those of every author and two sealed writers."""

    def __init__(self, rng: random.Random, names: list[str], tests: int) -> None:
        writers = [*names, "tester-1", "tester-2"]
        self._rng = rng
        self._base = {f"tests/test_base.py::test_{n}": Outcome.PASSED for n in range(tests)}
        self._tests = {w: [f"tests/test_{w}.py::test_{n}" for n in range(tests // len(writers))] for w in writers}
        self._apart = {t for of in self._tests.values() for t in of if rng.random() < 0.1}
        self.written = tuple(_exhibit(w, Source.CANDIDATE if w in names else Source.SEALED) for w in writers)

    def suite(self, subject: str, run: int = 1) -> Examination:
        end = CommandEnd(exit_code=0)
        return Examination(subject=subject, kind=SuiteKind.TESTS, name="tests", run=run, end=end, tests=self._base)

    def exhibits(self, subject: str) -> list[Examination]:
        return [
            Examination(
                subject=subject,
                kind=SuiteKind.EXHIBIT,
                name=e.exhibit_id,
                end=_END,
                tests={test: self._outcome(test) for test in self._tests[e.author]},
            )
            for e in self.written
        ]

    def _outcome(self, test: str) -> Outcome:
        return Outcome.FAILED if test in self._apart and self._rng.random() < 0.5 else Outcome.PASSED


def _exhibit(author: str, source: Source) -> Exhibit:
    return Exhibit(exhibit_id=f"own-{author}-r1", author=AgentId(author), source=source, pack=_PACK)


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
