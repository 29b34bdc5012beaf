"""What the jury says of findings: one whose test shows it is not called unproven."""

import pytest

from folkmoot.kernel.evidence import (
    ArtifactRef,
    Examination,
    Exhibit,
    Finding,
    Outcome,
    Runner,
    Source,
    SuiteKind,
    TestPack,
    TestSuite,
)
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.jury import judge
from folkmoot.kernel.task import Rigor
from tests.unit.test_jury import candidate, end, evidence, suite_run

REF = ArtifactRef(sha256="0" * 64, size=0)
TEST = "tests.test_f::test_it"
"""As a junit report names it: the file's path does not stand in it."""


def run(subject: str, outcome: Outcome) -> Examination:
    kind, code = SuiteKind.EXHIBIT, 0 if outcome is Outcome.PASSED else 1
    return Examination(subject=subject, kind=kind, name="finding-c-r1-1", end=end(code), tests={TEST: outcome})


@pytest.mark.parametrize(("on_accused", "said"), [(Outcome.FAILED, False), (Outcome.PASSED, True)])
def test_only_what_does_not_reproduce_is_said_to(on_accused: Outcome, said: bool) -> None:
    """Whatever the runner makes of the path of its test."""
    suite = TestSuite(runner=Runner.PYTEST, command="pytest")
    exhibit = Exhibit(
        exhibit_id="finding-c-r1-1",
        author=AgentId("c"),
        source=Source.FINDING,
        pack=TestPack(files=REF, paths=("tests/test_f.py",), suite=suite),
    )
    finding = Finding(
        proposal_id=ProposalId("a-r1"),
        claim="wrong",
        severity="high",
        path="tests/test_f.py",
        reproducer=REF,
        exhibit_id=exhibit.exhibit_id,
    )
    cells = {"a": on_accused, "b": Outcome.PASSED, "c": Outcome.PASSED}
    candidates = [
        candidate(a, examinations=(suite_run(f"{a}-r1", {"t::a": "passed", "t::b": "passed"}), run(f"{a}-r1", cell)))
        for a, cell in cells.items()
    ]
    base = (
        *(suite_run("base", {"t::a": "passed", "t::b": "passed"}, run=n) for n in (1, 2)),
        run("base", Outcome.PASSED),
    )
    heard = evidence(*candidates, base=base, rigor=Rigor.L2, exhibits=(exhibit,), findings=(finding,))
    assert any("not reproduced" in reason for reason in judge(heard).reasons) is said
