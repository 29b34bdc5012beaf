"""Runs what the pool claims: labels against hidden tests, and computed cells against the languages' own test runners.

    python -m tests.bench.judgement.verify [--every N] [--pool DIR]

No sandbox: run it only on a pool that you trust. Of another pool the labels are run, for nothing more is known of it.
"""

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from folkmoot.kernel.evidence import Outcome
from folkmoot.kernel.jury import POLICY, Evidence, matrix_of
from folkmoot.kernel.task import Rigor
from folkmoot.runner import policy
from tests.bench.judgement import computed, runs, testfiles
from tests.bench.judgement.case import RIGHT, SEATS, Case, read_pool
from tests.bench.judgement.computed import cells
from tests.bench.judgement.draw import everything
from tests.bench.judgement.making import Drawn
from tests.bench.judgement.observe import environment, write
from tests.bench.judgement.runs import Run
from tests.bench.judgement.testfiles import Claims

TRUTH = "truth"
DEADLY = frozenset({"exits", "report"})


def problems(drawn: Drawn) -> list[str]:
    """What the pool says of this case and a run does not bear out, in words."""
    found = []
    for name, label in drawn.case.names.items():
        if drawn.cheats.get(name) in DEADLY:
            continue
        seen = ran(drawn, name)
        truth = seen.get(TRUTH, {})
        if (bool(truth) and all(truth.values())) != (label == RIGHT):
            failed = sorted(t for t, passed in truth.items() if not passed)
            found.append(f"{drawn.case.id}: {name} is {label}, and fails {failed} of {len(truth)} hidden tests")
        for pack, claims in drawn.claims.items():
            if pack in seen and seen[pack] != (expected := _expected(drawn, name, claims)):
                found.append(f"{drawn.case.id}: {pack} on {name}: computed {expected}, seen {seen[pack]}")
    return found


def mislabelled(case: Case) -> list[str]:
    """Candidates whose hidden tests do not say what their label says."""
    wrong = [name for name, label in case.names.items() if passes(case, name) != (label == RIGHT)]
    return [f"{case.id}: {name} is called {case.names[name]}; its hidden tests say otherwise" for name in wrong]


_TESTS = {
    "python": r"^\s*(?:async )?def (test_\w+)",
    "javascript": r"^\s*(?:test|it)\(['\"](.+?)['\"],",
    "go": r"^func (Test\w+)\(",
}


def passes(case: Case, name: str) -> bool:
    """Whether all hidden tests pass on a candidate's product; its tests and what steers them stay out."""
    made = {p: c for p, c in case.commit_files(name).items() if not _of_tests(p)}
    files = {p: c for p, c in {**case.base, **made, **case.hidden}.items() if c is not None}
    wanted = set(re.findall(_TESTS[case.language], "\n".join(case.hidden.values()), re.MULTILINE))
    with TemporaryDirectory(prefix="moot-verify-") as folder:
        write(Path(folder), files)
        return bool(wanted) and wanted <= _passed(case, Path(folder), wanted)


def _of_tests(path: str) -> bool:
    return policy.is_test(path.encode()) or policy.steers(path.encode())


def _passed(case: Case, place: Path, wanted: set[str]) -> set[str]:
    """Names of tests in the hidden files that passed."""
    paths = sorted(case.hidden)
    if case.language == "go":
        said = _run(place, ["go", "test", "-v", "-run", f"^({'|'.join(sorted(wanted))})$", "./..."])
        return set(re.findall(r"^--- PASS: (\w+)", said, re.MULTILINE))
    if case.language == "javascript":
        report = ["--test-reporter=junit", "--test-reporter-destination=report.xml"]
        _run(place, ["node", "--test", *report, *paths])
    else:
        plain = ["-q", "-p", "no:cacheprovider", "--junitxml=report.xml"]
        _run(place, [sys.executable, "-m", "pytest", *plain, *paths])
    if not (place / "report.xml").exists():
        return set()
    cases = list(ET.parse(place / "report.xml").iter("testcase"))
    failed = {_name(c) for c in cases if any(c.find(bad) is not None for bad in ("failure", "error", "skipped"))}
    return {_name(c) for c in cases} - failed


def _name(case: ET.Element) -> str:
    """Without a parameter set."""
    return case.get("name", "").partition("[")[0]


def _expected(drawn: Drawn, name: str, claims: Claims) -> dict[str, bool]:
    computed = cells(drawn.program.language, claims, drawn.outcomes(name), drawn.texts[name])
    return {test: outcome is Outcome.PASSED for test, outcome in computed.items() if test != "(file)"}


def ran(drawn: Drawn, name: str) -> dict[str, dict[str, bool]]:
    """By pack and test: whether it passed on the candidate. A pack that cannot be loaded has no tests."""
    packs = {TRUTH: next(iter(drawn.case.hidden.values()))}
    for pack, claims in drawn.claims.items():
        if pack != "checks":
            packs[pack] = testfiles.content(drawn.program, claims)
    files = dict(drawn.case.base) | {drawn.program.target: drawn.texts[name]}
    return {"python": _python, "javascript": _javascript, "go": _go}[drawn.program.language](drawn, files, packs)


def _python(_: Drawn, files: dict[str, str], packs: Mapping[str, str]) -> dict[str, dict[str, bool]]:
    with TemporaryDirectory(prefix="moot-verify-") as folder:
        place = Path(folder)
        write(place, files | {f"tests/test_{_plain(pack)}.py": text for pack, text in packs.items()})
        _run(place, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.",
                     "--junitxml=report.xml", "--continue-on-collection-errors", "tests"])  # fmt: skip
        return _junit(place / "report.xml", packs, "tests.test_{}")


def _javascript(_: Drawn, files: dict[str, str], packs: Mapping[str, str]) -> dict[str, dict[str, bool]]:
    found = {}
    for pack, text in packs.items():
        with TemporaryDirectory(prefix="moot-verify-") as folder:
            place = Path(folder)
            write(place, files | {"test/one.test.js": text})
            _run(
                place,
                [
                    "node",
                    "--test",
                    "--test-reporter=junit",
                    "--test-reporter-destination=report.xml",
                    "test/one.test.js",
                ],
            )
            cases = ET.parse(place / "report.xml").iter("testcase")
            found[pack] = {c.get("name", ""): c.find("failure") is None for c in cases}
    return found


def _go(drawn: Drawn, files: dict[str, str], packs: Mapping[str, str]) -> dict[str, dict[str, bool]]:
    found = {}
    for pack, text in packs.items():
        with TemporaryDirectory(prefix="moot-verify-") as folder:
            place, path = Path(folder), testfiles.path(drawn.program, "verified")
            write(place, files | {path: text})
            names = re.findall(r"^func Test(\w+)\(", text, re.MULTILINE)
            said = _run(place, ["go", "test", "-v", "-run", "^(" + "|".join(f"Test{n}" for n in names) + ")$", "./..."])
            lines = re.findall(r"^--- (PASS|FAIL): Test(\w+)", said, re.MULTILINE)
            found[pack] = {name: word == "PASS" for word, name in lines}
    return found


def _run(place: Path, argv: list[str]) -> str:
    own = environment() | {"PYTHONPATH": str(place)}
    done = subprocess.run(argv, cwd=place, env=own, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout


def _junit(report: Path, packs: Mapping[str, str], module: str) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {pack: {} for pack in packs}
    by_module = {module.format(_plain(pack)): pack for pack in packs}
    for case in ET.parse(report).iter("testcase"):
        pack = by_module.get(case.get("classname", ""))
        if pack is not None:
            found[pack][case.get("name", "").removeprefix("test_")] = len(case) == 0
    return found


def _plain(pack: str) -> str:
    return re.sub(r"\W", "_", pack)


def disagreements(run: Run, drawn: Drawn) -> list[str]:
    """Cells of candidates that the platform saw otherwise than they are computed."""
    seen = _cells(run.evidence)
    wanted = _cells(computed.observed(drawn, run.rigor, POLICY).evidence)
    return [
        f"{run.case} {run.rigor}: {exhibit} {test}: seen {seen[exhibit, test]}, computed {wanted[exhibit, test]}"
        for exhibit, test in sorted(seen.keys() & wanted.keys())
        if seen[exhibit, test] != wanted[exhibit, test]
    ]


def _cells(evidence: Evidence) -> dict[tuple[str, str], dict[str, str]]:
    """By exhibit and bare name of the test; without base, where a file that cannot be loaded has ids of its own."""
    found = {}
    for trial in matrix_of(evidence):
        name = re.sub(r"^(?:test_|Test)", "", re.split(r"::|/|\.", trial.test)[-1].partition(" ")[0])
        found[trial.exhibit.exhibit_id, name] = {s: str(c) for s, c in sorted(trial.cells.items()) if s != "base"}
    return found


def verified(cases: list[Drawn]) -> Iterator[tuple[Drawn, list[str]]]:
    with ThreadPoolExecutor(max_workers=2) as workers:
        yield from zip(cases, workers.map(problems, cases), strict=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.judgement.verify", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth case")
    parser.add_argument("--language", default="", help="only these cases")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="runs on a platform, as `--keep` left them")
    parser.add_argument("--pool", type=Path, metavar="DIR", help="another pool")
    asked = parser.parse_args()
    if asked.kept:
        _compare(asked.kept)
    if asked.pool:
        found = [line for case in read_pool(asked.pool)[:: asked.every] for line in mislabelled(case)]
        sys.stdout.write("".join(f"{line}\n" for line in found) + f"{len(found)} labels that do not hold\n")
        sys.exit(1 if found else 0)
    cases = [d for d in everything() if asked.language in ("", d.case.language)][:: asked.every]
    wrong = 0
    for _, found in verified(cases):
        wrong += len(found)
        for line in found:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(cases)} cases, {wrong} claims that do not hold\n")
    sys.exit(1 if wrong else 0)


def _compare(folder: Path) -> NoReturn:
    drawn, cells_seen, wrong = {d.case.id: d for d in everything()}, 0, list[str]()
    small = sorted(name for name, d in drawn.items() if len(d.case.candidates) <= SEATS)
    for run in runs.kept(folder, Rigor, small):
        cells_seen += sum(len(cells) for cells in _cells(run.evidence).values())
        wrong += disagreements(run, drawn[run.case])
    sys.stdout.write("".join(f"{line}\n" for line in wrong) + f"{cells_seen} cells, {len(wrong)} tests differ\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
