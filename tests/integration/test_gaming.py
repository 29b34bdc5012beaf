"""Candidates that game their examination: each trick really runs, in a real sandbox, and wins nothing."""

import py_compile
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from folkmoot.kernel.evidence import Admission, Examination
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.kernel.jury import Candidate, Evidence, Ruling, judge
from folkmoot.kernel.task import Rigor
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.runner import Runner
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.log.memory import MemoryArtifacts, MemoryStore
from folkmoot.runtime.settings import LogSettings
from tests.fixtures.tricks import BASE, BEATEN, CHECK, RIGHT, TRICKS, WRONG
from tests.fixtures.workspace import TOKEN, Bench, bench, toolchains
from tests.repositories import File

__all__ = ["toolchains"]

TASK = TaskId("t-1")


class Examined:
    """What the platform does with candidates, from the border to the ruling, but for the log."""

    def __init__(self, runner: Bench) -> None:
        self._bench = runner
        store = MemoryArtifacts(MemoryStore(), LogSettings())
        ours = Runner(runner.address, TOKEN, runner.channel)
        self._examiner = Examiner(ours, store, parallel=2, check_timeout_s=60)

    async def ruling(self, candidates: Mapping[str, Mapping[str, File]], check: str) -> Ruling:
        runs = [await self._tests("base", self._bench.commit, run) for run in (1, 2)]
        base = (*runs, await self._check("base", self._bench.commit, check))
        field = [await self.candidate(agent, files, check) for agent, files in candidates.items()]
        return judge(Evidence(rigor=Rigor.L1, checks=(check,), tested=True, base=base, candidates=tuple(field)))

    async def candidate(self, agent: str, files: Mapping[str, File], check: str) -> Candidate:
        admission = await admitted(self._bench, agent, files)
        subject, commit = admission.proposal_id, admission.commit
        run = await self._tests(subject, commit, 1)
        return Candidate(admission=admission, examinations=(run, await self._check(subject, commit, check)))

    async def _tests(self, subject: str, commit: CommitId, run: int) -> Examination:
        base = self._bench.base
        assert base.suite is not None
        return await self._examiner.tests(TASK, base, base.suite, subject=subject, commit=commit, run=run, attempt=1)

    async def _check(self, subject: str, commit: CommitId, command: str) -> Examination:
        base = self._bench.base
        return await self._examiner.check(
            TASK, base, subject=subject, commit=commit, number=1, command=command, attempt=1
        )


async def admitted(runner: Bench, agent: str, files: Mapping[str, File]) -> Admission:
    repo, base = runner.repo, runner.base
    repo.git("checkout", "-q", "--detach", base.commit)
    bundle = repo.bundle(repo.commit(files), base.commit)
    verdict = await runner.mirrors.admit(
        task_id=TASK, agent_id=AgentId(agent), round_=1, base=base, bundle=bundle, message="Mend add"
    )
    assert isinstance(verdict, Admission), verdict
    return verdict


def words(ruling: Ruling) -> dict[str, str]:
    return {r.agent_id: "\n".join(r.reasons) for r in ruling.ranking}


async def test_the_right_one_wins_among_tricks(tmp_path: Path, toolchains: Toolchains) -> None:
    """Whatever a candidate puts in the place of pytest, of its configuration or of its plugins."""
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        ruling = await Examined(runner).ruling({"right": RIGHT, **TRICKS}, CHECK)
    assert ruling.chosen == "right-r1", ruling
    assert [r.agent_id for r in ruling.ranking if r.acceptable] == ["right"]
    said = words(ruling)
    assert {trick: why for trick, why in BEATEN.items() if f"{trick} {why}" not in said[trick]} == {}, said


async def test_checks_do_not_see_what_steers_a_run(tmp_path: Path, toolchains: Toolchains) -> None:
    """A check by pytest fails on a wrong candidate that adds a conftest or a plugin; its added tests do run."""
    added = {"tests/test_more.py": "def test_more():\n    assert False\n"}
    field = {name: TRICKS[name] for name in ("deeper", "metadata")} | {"more": {**RIGHT, **added}}
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        examined = Examined(runner)
        ends = {a: (await examined.candidate(a, files, CHECK)).examinations[1].end for a, files in field.items()}
    assert {agent: end.exit_code for agent, end in ends.items()} == dict.fromkeys(field, 1)


async def test_compiled_python_is_not_run(tmp_path: Path, toolchains: Toolchains) -> None:
    """Byte code that asks not to be compared with its source: what a person reads is what is judged."""
    source, compiled = tmp_path / "right.py", tmp_path / "right.pyc"
    source.write_text(RIGHT["calc.py"])
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), cfile=str(compiled), dfile="calc.py", invalidation_mode=mode)
    hidden = f"__pycache__/calc.{sys.implementation.cache_tag}.pyc"
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        ruling = await Examined(runner).ruling({"hidden": {**WRONG, hidden: compiled.read_bytes()}}, CHECK)
    assert ruling.chosen is None, ruling


MAKE = {"Makefile": "test:\n\tpython -m pytest -q -p no:cacheprovider tests/test_zero.py\n"}
SCRIPT = {"run-tests.sh": "exec python -m pytest -q -p no:cacheprovider tests/test_zero.py\n"}
ZERO = "from calc import add\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n"


@pytest.mark.parametrize(
    ("command", "files", "trick", "why"),
    [
        ("make test", MAKE, {"Makefile": "test:\n\ttrue\n"}, "changed Makefile: "),
        ("make test", MAKE, {"GNUmakefile": "test:\n\ttrue\n"}, "breaks 1 test of base: `exit`"),
        ("sh ./run-tests.sh", SCRIPT, {"run-tests.sh": "true\n"}, "changed run-tests.sh: "),
    ],
)
async def test_what_the_configured_command_runs_through(
    tmp_path: Path,
    toolchains: Toolchains,
    command: str,
    files: Mapping[str, str],
    trick: Mapping[str, str],
    why: str,
) -> None:
    """Base's `.moot.toml` names a command: the file that says what the command does is base's, too."""
    toml = {".moot.toml": f'[tests]\ncommand = "{command}"\n'}
    base = {"calc.py": BASE["calc.py"], "tests/test_zero.py": ZERO, **files, **toml}
    async with bench(tmp_path, toolchains, files=dict(base)) as runner:
        ruling = await Examined(runner).ruling({"trick": {**WRONG, **trick}}, "true")
    assert ruling.chosen is None, ruling
    assert f"trick {why}" in words(ruling)["trick"]
