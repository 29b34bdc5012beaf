"""Reports of tests that bear a seal, and what becomes of runs whose reports do not."""

import hmac
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.evidence import CommandEnd, Examination, Exhibit, Outcome, Source, SuiteKind, TestPack, TestSuite
from folkmoot.kernel.evidence import Runner as Kind
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.jury import judge
from folkmoot.kernel.jury.evidence import DOUBTED
from folkmoot.kernel.jury.matrix import Cell, matrix_of
from folkmoot.orchestrator.sealing import Seal, seal_of
from folkmoot.runner import suites
from tests.unit.test_jury import GREEN, NO_BODY, candidate, evidence, suite_run

SEAL = Seal(b"secret")
UNSIGNED = f"{DOUBTED}it was not written by the runner, was changed behind it, or the process ended early"


def signed(body: bytes, said: bytes = b"", secret: bytes = b"secret") -> bytes:
    text = body + b"\n<!--moot " + said + b"|"
    return text + hmac.new(secret, text, "sha256").hexdigest().encode() + b"-->\n"


@pytest.mark.parametrize(
    ("report", "doubt"),
    [
        (signed(b"<testsuites/>"), ""),
        (signed(b"<testsuites/>", b"calc.A is equal to everything"), f"{DOUBTED}calc.A is equal to everything"),
        (b"", UNSIGNED),
        (b"<testsuites/>", UNSIGNED),
        (signed(b"<testsuites/>", secret=b"guessed"), UNSIGNED),
        (signed(b"<testsuites/>").replace(b"<testsuites/>", b"<testsuites></testsuites>"), UNSIGNED),
        (signed(b"<testsuites/>", b"x was changed").replace(b"x was changed", b""), UNSIGNED),
        (signed(b"<testsuites/>") + b"<!-- more -->", UNSIGNED),
    ],
)
def test_what_is_signed_is_believed(report: bytes, doubt: str) -> None:
    assert SEAL.doubt(report) == doubt


def test_only_our_own_pytest_can_be_sealed() -> None:
    """A configured command runs as it is written."""
    assert seal_of(suites.pytest_suite()) != seal_of(suites.pytest_suite())
    assert seal_of(suites.node_suite()) is None
    assert (
        seal_of(TestSuite(runner=Kind.PYTEST, command="python -m pytest --junitxml={report}", report="junit")) is None
    )


HABITS = (
    "import dataclasses\nimport enum\n\n\n@dataclasses.dataclass\nclass Point:\n    x: int\n\n\n"
    "class Colour(enum.Enum):\n    RED = 1\n\n\nclass Names(list):\n    pass\n\n\n"
    "class Odd:\n    def __eq__(self, other):\n        return self.x == other.x\n"
)
TEST = (
    "import unittest\nfrom unittest import mock\n\nimport pytest\nfrom calc import Point\n\n\n"
    "@pytest.fixture(autouse=True)\ndef patched(monkeypatch):\n"
    "    monkeypatch.setattr(pytest.Function, 'runtest', pytest.Function.runtest)\n\n\n"
    "def test_any():\n    assert Point(1) == mock.ANY\n\n\n"
    "class TestMore(unittest.TestCase):\n    @mock.patch('unittest.TestCase.assertEqual')\n"
    "    def test_more(self, _):\n        self.assertEqual(1, 2)\n"
)
STRICT = (
    "def pytest_runtest_makereport(item, call):\n    item.function.__name__\n\n\n"
    "def pytest_runtest_setup(item):\n    item.fixturenames\n"
)


def test_honest_habits_raise_no_doubt(tmp_path: Path) -> None:
    """Data classes, patches that are taken back, hooks that know functions only: the report is sealed and clean."""
    files = {"calc.py": HABITS, "test_calc.py": TEST, "conftest.py": STRICT, "pytest.ini": "[pytest]\naddopts = -x\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    seal = seal_of(suites.pytest_suite())
    assert seal
    argv = [sys.executable, "-P", "-c", seal.env["FOLKMOOT_PYTEST"], "-q", "-p", "no:cacheprovider", "--junitxml=r.xml"]
    done = subprocess.run(argv, cwd=tmp_path, input=seal.stdin, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert seal.doubt((tmp_path / "r.xml").read_bytes()) == ""


def test_a_doubt_puts_a_candidate_out_unless_base_has_it_too() -> None:
    """All passed, says a report that bears no seal; where base's own says the same, nobody is to blame."""
    doubted = msgspec.structs.replace(candidate("a"), examinations=(suite_run("a-r1", GREEN, report_problem=UNSIGNED),))
    ruling = judge(evidence(doubted))
    assert ruling.chosen is None
    assert f"a: base's tests: {UNSIGNED}" in "\n".join(ruling.reasons)
    base = tuple(suite_run("base", GREEN, run=n, report_problem=UNSIGNED) for n in (1, 2))
    assert judge(evidence(doubted, base=base)).chosen == "a-r1"
    other = tuple(suite_run("base", GREEN, run=n, report_problem=f"{DOUBTED}calc.A is equal") for n in (1, 2))
    assert judge(evidence(doubted, base=other)).chosen is None


def test_a_doubted_run_of_tests_says_nothing_unless_it_is_a_habit() -> None:
    suite = TestSuite(runner=Kind.PYTEST, command="x")
    exhibit = Exhibit(
        exhibit_id="own-a-r1",
        author=AgentId("a"),
        source=Source.CANDIDATE,
        pack=TestPack(files=NO_BODY, paths=("test_x.py",), suite=suite),
    )
    runs = [
        Examination(
            subject=subject,
            kind=SuiteKind.EXHIBIT,
            name="own-a-r1",
            end=CommandEnd(exit_code=0),
            tests={"t::new": Outcome.PASSED},
            report_problem=problem,
        )
        for subject, problem in (("base", ""), ("a-r1", UNSIGNED))
    ]
    seen = evidence(msgspec.structs.replace(candidate("a"), examinations=(runs[1],)), exhibits=(exhibit,))
    seen = msgspec.structs.replace(seen, base=(*seen.base, runs[0]))
    [trial] = matrix_of(seen)
    assert trial.cells == {"base": Cell.PASSED, "a-r1": Cell.MISSING}
    habit = msgspec.structs.replace(seen, base=(suite_run("base", GREEN, report_problem=UNSIGNED), runs[0]))
    [trial] = matrix_of(habit)
    assert trial.cells == {"base": Cell.PASSED, "a-r1": Cell.PASSED}
