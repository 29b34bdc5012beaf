"""Cross-examination: every author's tests on every candidate, against the same commands in bare sandboxes.

The floor is the critical path: one sandbox for each cell of authors and candidates, in which the commit is checked out
and pytest runs, as many at once as there are cores.
"""

import asyncio
import itertools
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from folkmoot.kernel.evidence import Admission, Examination, Exhibit, Outcome, PreparedBase, Source, TestPack
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.runner import Runner, connected
from folkmoot.platform.place import PlatformInfo
from folkmoot.runner.local import toolchain
from folkmoot.runtime.log.port import Artifacts
from tests.bench.bare import GIT, Bare
from tests.bench.measure import Row, interleaved, timed, timed_call

CANDIDATES, TESTS = 5, 4
"""Of each author: on every candidate five times four tests are run."""
ROUNDS = 3
_TASK = TaskId("t-matrix")
_CODE = "def add(a, b):\n    return a + b  # as said by {0}\n"
_TEST = "from calc import add\n\n" + "".join(
    f"\n\ndef test_{n}():\n    assert add({n}, 1) == {n + 1}\n" for n in range(TESTS)
)


async def row(info: PlatformInfo, folder: Path, artifacts: Artifacts) -> Row:
    place = folder / "calc"
    cores = os.cpu_count() or 1
    base_files = {"calc.py": _CODE.format("nobody"), "tests/test_base.py": _TEST}
    start = _committed(place, base_files)
    async with connected(info.runner, info.token) as runner:
        base = await runner.prepare(str(place), "HEAD")
        commits = [await _admitted(runner, artifacts, base, place, start, n) for n in range(CANDIDATES)]
        packs = [(await runner.extract_tests(_TASK, base, commit=c)).packs[0] for c in commits]
        examiner = Examiner(runner, artifacts, parallel=cores, check_timeout_s=60)
        bare = Bare(folder / "bare-matrix", place, toolchain.discover(folder / "toolchain"))
        rounds = itertools.count(1)

        async def ours() -> float:
            return await timed(_examined(examiner, base, commits, packs, next(rounds)))

        async def floor() -> float:
            return timed_call(lambda: _bare(bare, packs, cores))

        work = f"{CANDIDATES} candidates x {CANDIDATES * TESTS} tests by {CANDIDATES} authors (floor: critical path)"
        return await interleaved(work, ours, floor, rounds=ROUNDS, aim="<= 1.5x")


async def _examined(
    examiner: Examiner, base: PreparedBase, commits: Sequence[CommitId], packs: Sequence[TestPack], number: int
) -> None:
    async def one(author: int, subject: int) -> None:
        exhibit = Exhibit(
            exhibit_id=f"own-{author}", author=AgentId(f"dev-{author}"), source=Source.CANDIDATE, pack=packs[author]
        )
        _check(
            await examiner.exhibit(
                _TASK, base, exhibit, subject=f"dev-{subject}-r1", commit=commits[subject], run=1, attempt=number
            )
        )

    async with asyncio.TaskGroup() as group:
        for author, subject in itertools.product(range(CANDIDATES), repeat=2):
            group.create_task(one(author, subject))


def _check(found: Examination) -> None:
    if list(found.tests.values()) != [Outcome.PASSED] * TESTS:
        raise SystemExit(f"the measured examination found {found.tests} {found.report_problem}")


def _bare(bare: Bare, packs: Sequence[TestPack], cores: int) -> None:
    """The commit is base's: all of them differ in one comment only."""
    with ThreadPoolExecutor(cores) as threads:
        list(threads.map(lambda author: _cell(bare, packs[author], author), [*range(CANDIDATES)] * CANDIDATES))


def _cell(bare: Bare, pack: TestPack, author: int) -> None:
    place = bare.furnished()
    (place / "repo/tests").mkdir()
    (place / f"repo/tests/test_of_{author}.py").write_text(_TEST, "utf-8")
    command = pack.suite.command.replace("{report}", "report.xml")
    bare.run(place, ["sh", "-c", 'git reset -q --hard && exec sh -c "$1"', "cell", command])
    bare.remove(place)


def _committed(place: Path, files: dict[str, str]) -> str:
    if not place.exists():
        subprocess.run(["git", "init", "-q", str(place)], env=GIT, check=True)
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, "utf-8")
    _git(place, "add", "-A")
    _git(place, "commit", "-q", "-m", "a change")
    return _git(place, "rev-parse", "HEAD").decode().strip()


async def _admitted(
    runner: Runner, artifacts: Artifacts, base: PreparedBase, place: Path, start: str, number: int
) -> CommitId:
    _git(place, "checkout", "-q", "--detach", start)
    _committed(place, {"calc.py": _CODE.format(number), f"tests/test_of_{number}.py": _TEST})
    bundle = await artifacts.put(_git(place, "bundle", "create", "-q", "-", "HEAD", f"^{start}"))
    _git(place, "checkout", "-q", "--detach", start)
    verdict = await runner.admit(
        task_id=_TASK, agent_id=AgentId(f"dev-{number}"), base=base, bundle=bundle, message="a change"
    )
    if not isinstance(verdict, Admission):
        raise SystemExit(f"the measured candidate is turned back: {verdict.reason}")
    return verdict.commit


def _git(place: Path, *args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=place, env=GIT, capture_output=True, check=True).stdout
