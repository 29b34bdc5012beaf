"""What a run of tests left behind, read as outcomes by test id.

The bytes come out of a workspace: they are hostile, and never an error of ours. What cannot be read is said in words,
and the jury treats such a run as not passed. No I/O here.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml.ElementTree import fromstring
from junitparser import Error, Failure, Skipped, TestCase

from folkmoot.kernel.evidence import CommandEnd, Outcome, Runner, TestSuite

MAX_BYTES = 64 * 1024 * 1024
MAX_TESTS = 100_000
MAX_TAGS = 1_000_000
"""Ten for each test. Read, two million empty elements of eight megabytes take two hundred, and five seconds."""
MAX_DEPTH = 64
"""Suites within suites."""
MAX_ID_CHARS = 500

Outcomes = dict[str, Outcome]
Parsed = tuple[Outcomes, str]
"""Outcomes by test id, and why they cannot be believed (empty when they can)."""

EXIT = "exit"
"""The one test of a run that is read by its exit code."""
GROUPS = "groups of tests"
"""Stands for all parent tests of `node --test`, whose own failures its JUnit report leaves out."""


def parse(suite: TestSuite, *, report: bytes, stdout: bytes, end: CommandEnd) -> Parsed:
    """Never raises for what `report` and `stdout` hold. `report` is empty when the run left none."""
    match suite.report:
        case "":
            return {EXIT: Outcome.PASSED if end.ok and not end.limit else Outcome.FAILED}, ""
        case "junit":
            return _believed(junit(report, suite.runner))
        case "go-json":
            return _believed(go_json(stdout))
    return {}, f"{suite.report!r} is no kind of report; use 'junit' or 'go-json'"


def _believed(parsed: Parsed) -> Parsed:
    outcomes, problem = parsed
    if len(outcomes) > MAX_TESTS:
        return {}, f"the report holds more than {MAX_TESTS} tests"
    return outcomes, problem or ("" if outcomes else "the report holds no test")


# --- JUnit XML ---------------------------------------------------------------------------------------------------


def junit(report: bytes, runner: Runner = Runner.PYTEST) -> Parsed:
    """Ids are `suite > suite::class::name`, without the parts that a runner puts everywhere."""
    if not report:
        return {}, "the run left no report"
    if len(report) > MAX_BYTES:
        return {}, f"the report has {len(report)} bytes; at most {MAX_BYTES}"
    if report.count(b"<") > MAX_TAGS:
        return {}, f"the report holds more than {MAX_TAGS} tags"
    try:
        root = fromstring(report, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:
        return {}, f"the report is no XML that can be read: {_readable(str(error))[:200]}"
    if root.tag not in ("testsuites", "testsuite"):
        return {}, "the report is no JUnit XML"
    try:
        outcomes = _collect(_cases(root))
    except _FloodError as flood:
        return {}, str(flood)
    return (_with_groups(outcomes, report) if runner is Runner.NODE else outcomes), ""


class _FloodError(Exception):
    """Says which limit the report exceeds."""


def _cases(root: Element) -> Iterator[tuple[str, Outcome]]:
    """Iterative: the depth is the report's to choose."""
    seen = 0
    open_: list[tuple[Element, tuple[str, ...]]] = [(root, _suite(root))]
    while open_:
        element, path = open_.pop()
        if len(path) > MAX_DEPTH:
            raise _FloodError(f"the report nests suites deeper than {MAX_DEPTH}")
        for child in element:
            if child.tag == "testcase":
                if (seen := seen + 1) > MAX_TESTS:
                    raise _FloodError(f"the report holds more than {MAX_TESTS} tests")
                yield _case_id(child, path), _outcome(child)
            elif child.tag == "testsuite":
                open_.append((child, path + _suite(child)))


def _suite(element: Element) -> tuple[str, ...]:
    name = element.get("name", "")
    everywhere = element.tag == "testsuites" or name == "pytest"
    return () if everywhere else (name,)


def _case_id(case: Element, path: tuple[str, ...]) -> str:
    classname = case.get("classname", "")
    owner = () if classname in ("", "test", *path[-1:]) else (classname,)
    return "::".join((*((" > ".join(path),) if path else ()), *owner, case.get("name", "")))


def _outcome(element: Element) -> Outcome:
    results = TestCase.fromelem(element).result if len(element) else ()  # type: ignore[no-untyped-call]
    if any(isinstance(r, Skipped) and r.type == "todo" for r in results):
        return Outcome.SKIPPED  # node: a failing `todo` fails nothing
    if any(isinstance(r, Error) for r in results):
        return Outcome.ERROR
    if any(isinstance(r, Failure) for r in results):
        return Outcome.FAILED
    return Outcome.SKIPPED if results else Outcome.PASSED


_NODE_FAILS = re.compile(rb"<!-- fail (\d{1,9}) -->")


def _with_groups(outcomes: Outcomes, report: bytes) -> Outcomes:
    """A parent test that fails by itself shows only in the count that node appends as a comment."""
    said = _NODE_FAILS.findall(report[-1_000:])
    counted = sum(o in (Outcome.FAILED, Outcome.ERROR) for o in outcomes.values())
    hidden = bool(said) and int(said[-1]) > counted
    return outcomes | ({GROUPS: Outcome.FAILED if hidden else Outcome.PASSED} if said else {})


# --- go test -json -----------------------------------------------------------------------------------------------


class _GoEvent(msgspec.Struct, frozen=True):
    Action: str = ""
    Package: str = ""
    Test: str = ""


_decode_event = msgspec.json.Decoder(_GoEvent).decode
_GO_ENDS = {"pass": Outcome.PASSED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}


def go_json(stdout: bytes) -> Parsed:
    """Ids are `package/TestName`, subtests `package/TestName/sub`.

    A package that failed without a failed test (it did not build, or its `TestMain` failed) counts as one test in
    error, named as the package.
    """
    if len(stdout) > MAX_BYTES:
        return {}, f"the output has {len(stdout)} bytes; at most {MAX_BYTES}"
    packages: dict[str, str] = {}
    tests: dict[tuple[str, str], Outcome] = {}
    for event in _events(stdout):
        key = (event.Package, event.Test)
        if not event.Test:
            packages[event.Package] = _later(packages.get(event.Package, ""), event.Action)
            continue
        packages.setdefault(event.Package, "")
        if event.Action == "run":
            tests.setdefault(key, Outcome.ERROR)
        elif event.Action in _GO_ENDS:
            tests[key] = _ended(tests.get(key), _GO_ENDS[event.Action])
    outcomes = _collect((f"{package}/{test}", outcome) for (package, test), outcome in tests.items())
    bad = {package for (package, _), o in tests.items() if o in (Outcome.FAILED, Outcome.ERROR)}
    alone = {p: Outcome.ERROR for p, action in packages.items() if action == "fail" and p not in bad}
    return outcomes | _collect(alone.items()), _cut_off(packages)


def _events(stdout: bytes) -> Iterator[_GoEvent]:
    """Lines that are no events are what builds and programs print besides."""
    for line in stdout.splitlines():
        if line.startswith(b"{"):
            try:
                event = _decode_event(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if event.Package and event.Action != "output":
                yield event


def _later(before: str, action: str) -> str:
    """A package that failed once stays failed, whatever it prints afterwards."""
    return before if before == "fail" or action not in (*_GO_ENDS, "start", "run") else action


def _ended(before: Outcome | None, now: Outcome) -> Outcome:
    """ERROR is what a test is between its start and its end; of several ends the worst counts."""
    return now if before in (None, Outcome.ERROR) else _worst(before, now)


def _cut_off(packages: dict[str, str]) -> str:
    open_ = sorted(p for p, action in packages.items() if action not in _GO_ENDS)
    if not open_:
        return ""
    return f"the output is cut off: {_readable(open_[0])[:200]} did not end" + (
        f", nor did {len(open_) - 1} more" if open_[1:] else ""
    )


# --- ids ---------------------------------------------------------------------------------------------------------

_SEVERITY = (Outcome.PASSED, Outcome.SKIPPED, Outcome.FAILED, Outcome.ERROR)


def _collect(cases: Iterable[tuple[str, Outcome]]) -> Outcomes:
    """By readable id; of several results under one id the worst counts, so that none can hide another."""
    outcomes: Outcomes = {}
    for name, outcome in cases:
        key = _id(name)
        outcomes[key] = _worst(outcomes.get(key, Outcome.PASSED), outcome)
    return outcomes


def _worst(one: Outcome, other: Outcome) -> Outcome:
    return max(one, other, key=_SEVERITY.index)


def _id(name: str) -> str:
    """Printable, bounded, and different for different names."""
    text = _readable(name)
    if len(text) <= MAX_ID_CHARS:
        return text
    return f"{text[: MAX_ID_CHARS - 20]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _readable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
