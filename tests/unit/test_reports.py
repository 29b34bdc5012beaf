from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.kernel.evidence import CommandEnd, Outcome, Runner, TestSuite
from folkmoot.orchestrator.reports import GROUPS, MAX_ID_CHARS, Parsed, go_json, junit, parse

DONE = CommandEnd(exit_code=0)
PYTEST = (
    b'<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" tests="4">'
    b'<testcase classname="tests.test_p.TestC" name="test_m[a b]" time="0.001" />'
    b'<testcase classname="test_p" name="test_f" time="0.000"><failure message="assert 0">x</failure></testcase>'
    b'<testcase classname="test_p" name="test_td"><error message="failed on teardown">x</error></testcase>'
    b'<testcase classname="test_p" name="test_x"><skipped type="pytest.xfail" message="" /></testcase>'
    b"</testsuite></testsuites>"
)
NODE = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites>
    <testcase name="top" time="0.001052" classname="test"/>
    <testcase name="bad" classname="test" failure="x"><failure type="testCodeFailure" message="x">x</failure></testcase>
    <testsuite name="grp" tests="2"><testcase name="in" classname="test"/>
        <testsuite name="deep"><testcase name="s" classname="test"><skipped type="skipped"/></testcase></testsuite>
    </testsuite>
    <testcase name="todo" classname="test"><skipped type="todo"/><failure message="no">x</failure></testcase>
    <!-- tests 7 -->
    <!-- fail FAILS -->
    <!-- duration_ms 105.749968 -->
</testsuites>
"""
GO = b"""{"ImportPath":"ex.com/g/bad [ex.com/g/bad.test]","Action":"build-fail"}
{"Action":"start","Package":"ex.com/g"}
{"Action":"start","Package":"ex.com/g/bad"}
{"Action":"output","Package":"ex.com/g/bad","Output":"FAIL [build failed]\\n"}
{"Action":"fail","Package":"ex.com/g/bad","Elapsed":0,"FailedBuild":"ex.com/g/bad [ex.com/g/bad.test]"}
# a line of the builder's
{"Time":"2026-11-21T02:49:30.65322028Z","Action":"run","Package":"ex.com/g","Test":"TestA"}
{"Action":"run","Package":"ex.com/g","Test":"TestA/sub_one"}
{"Action":"output","Package":"ex.com/g","Test":"TestA/sub_one","Output":"--- PASS: TestA/sub_one (0.00s)\\n"}
{"Action":"pass","Package":"ex.com/g","Test":"TestA/sub_one","Elapsed":0}
{"Action":"pass","Package":"ex.com/g","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"ex.com/g","Test":"TestB"}
{"Action":"fail","Package":"ex.com/g","Test":"TestB","Elapsed":0}
{"Action":"run","Package":"ex.com/g","Test":"TestS"}
{"Action":"skip","Package":"ex.com/g","Test":"TestS","Elapsed":0}
{"Action":"fail","Package":"ex.com/g","Elapsed":0.009}
"""


def suite(report: str, runner: Runner = Runner.PYTEST) -> TestSuite:
    return TestSuite(runner=runner, command="x", report=report)


def read(report: str, body: bytes, runner: Runner = Runner.PYTEST) -> Parsed:
    return parse(suite(report, runner), report=body, stdout=body, end=DONE)


def test_a_pytest_report_is_read_to_ids() -> None:
    """Class and name make the id; errors at teardown are no passes; an expected failure is a skip."""
    assert read("junit", PYTEST) == (
        {
            "tests.test_p.TestC::test_m[a b]": Outcome.PASSED,
            "test_p::test_f": Outcome.FAILED,
            "test_p::test_td": Outcome.ERROR,
            "test_p::test_x": Outcome.SKIPPED,
        },
        "",
    )


def test_a_node_report_is_read_to_ids() -> None:
    """Suites within suites make the id; cases outside of suites are not lost."""
    outcomes, problem = read("junit", NODE.replace(b"FAILS", b"1"), Runner.NODE)
    assert problem == ""
    assert outcomes == {
        "top": Outcome.PASSED,
        "bad": Outcome.FAILED,
        "grp::in": Outcome.PASSED,
        "grp > deep::s": Outcome.SKIPPED,
        "todo": Outcome.SKIPPED,
        GROUPS: Outcome.PASSED,
    }


def test_a_failed_parent_in_node_is_not_lost() -> None:
    """Node's report has no place for it; its closing count has."""
    assert read("junit", NODE.replace(b"FAILS", b"2"), Runner.NODE)[0][GROUPS] is Outcome.FAILED


def test_a_go_stream_is_read_to_ids() -> None:
    """Package and test make the id; a package that did not build is one test in error."""
    assert read("go-json", GO, Runner.GO) == (
        {
            "ex.com/g/TestA": Outcome.PASSED,
            "ex.com/g/TestA/sub_one": Outcome.PASSED,
            "ex.com/g/TestB": Outcome.FAILED,
            "ex.com/g/TestS": Outcome.SKIPPED,
            "ex.com/g/bad": Outcome.ERROR,
        },
        "",
    )


@pytest.mark.parametrize("body", [GO, GO.replace(b'"Action":"start"', b'"Action":"output"')], ids=["new", "old"])
def test_a_go_stream_that_is_cut_off_is_not_believed(body: bytes) -> None:
    """Whatever stands before the cut; go before 1.20 does not announce packages."""
    outcomes, problem = go_json(body[: body.index(b'{"Action":"fail","Package":"ex.com/g","Test"')])
    assert outcomes["ex.com/g/TestB"] is Outcome.ERROR
    assert problem == "the output is cut off: ex.com/g did not end"


@pytest.mark.parametrize(("code", "limit", "outcome"), [(0, "", "passed"), (1, "", "failed"), (None, "time", "failed")])
def test_a_command_is_one_test(code: int | None, limit: str, outcome: str) -> None:
    """Its exit code is all there is."""
    end = CommandEnd(exit_code=code, limit=limit)
    assert parse(suite("", Runner.COMMAND), report=b"", stdout=b"", end=end) == ({"exit": Outcome(outcome)}, "")


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<testsuites><testcase name="&b;"/></testsuites>'
)
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites><testcase name="&a;"/></testsuites>'


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the run left no report"),
        (PYTEST[:200], "no XML that can be read"),
        (b"\xff\xfe\x00", "no XML that can be read"),
        (b'<?xml version="1.0" encoding="no-such"?><testsuites/>', "no XML that can be read"),
        (BOMB, "no XML that can be read"),
        (OUTSIDE, "no XML that can be read"),
        (b"<html/>", "no JUnit XML"),
        (b"<testsuites/>", "holds no test"),
        (b"<testsuite name='x'>" * 100_000 + b"</testsuite>" * 100_000, "deeper than"),
        (b"<testsuite name='x'>" * 900_000, "no XML that can be read"),
        (b"x" * (65 * 1024 * 1024), "at most"),
        (b"<testsuites>" + b"<a/>" * 1_000_000 + b"</testsuites>", "more than 1000000 tags"),
    ],
    ids=["none", "cut", "bytes", "encoding", "bomb", "outside", "html", "empty", "deep", "open", "big", "tags"],
)
def test_a_report_that_cannot_be_read_is_said_in_words(body: bytes, problem: str) -> None:
    """Hostile bytes are a stated problem, never an exception and never a pass."""
    outcomes, said = read("junit", body)
    assert outcomes == {}
    assert problem in said


def test_a_line_nested_without_end_is_no_event() -> None:
    """What a candidate prints between the events costs nobody anything: the others are read."""
    nested = b'{"Action":"pass","Package":"p","X":' + b"[" * 20_000 + b"\n"
    assert read("go-json", nested + GO) == read("go-json", GO)


def test_an_unknown_kind_of_report_is_named() -> None:
    """A wrong setting in a repository is its author's to see."""
    assert read("tap", b"")[1] == "'tap' is no kind of report; use 'junit' or 'go-json'"


def case(name: str, inside: str = "") -> str:
    return f"<testcase classname='c' name={quoteattr(name)}>{inside}</testcase>"


def report(*cases: str) -> bytes:
    return f"<testsuites>{''.join(cases)}</testsuites>".encode()


def test_the_worst_of_equal_ids_counts() -> None:
    """A second, green case cannot hide a red one, in any order."""
    red, green = case("t", "<failure/>"), case("t")
    assert junit(report(red, green)) == junit(report(green, red)) == ({"c::t": Outcome.FAILED}, "")


def test_hostile_names_become_readable_bounded_ids() -> None:
    """No terminal escape, no line break, no endless name; different names stay different."""
    names = ["a\x85b", "a&#10;b", "\u202eevil", "x" * 5_000 + "1", "x" * 5_000 + "2"]
    outcomes, _ = junit(report(*(case(n) for n in names)))
    assert len(outcomes) == len(names)
    assert all(i.isprintable() and len(i) <= MAX_ID_CHARS for i in outcomes)


def test_thousands_of_cases_are_read() -> None:
    """A large suite is an ordinary one; a flood is refused."""
    assert len(junit(report(*(case(f"t{n}") for n in range(5_000))))[0]) == 5_000
    flood = b"".join(b'{"Action":"pass","Package":"p","Test":"T%d"}\n' % n for n in range(100_001))
    assert junit(report(case("t") * 100_001)) == ({}, "the report holds more than 100000 tests")
    assert read("go-json", flood) == ({}, "the report holds more than 100000 tests")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from([PYTEST, NODE, GO]))
def test_no_bytes_raise(noise: bytes, at: int, body: bytes) -> None:
    """A flipped, cut or foreign piece anywhere is an answer in words at worst."""
    spoilt = body[:at] + noise + body[at + len(noise) :]
    for kind in ("junit", "go-json"):
        outcomes, problem = read(kind, spoilt, Runner.NODE)
        assert outcomes or problem
