"""The demo's parts of high rigor, played by real runs of agents against a real rehearsal server, without a platform."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.agents.assignment import Assignment, ModelEndpoint, Shown, WorkspaceGrant
from folkmoot.agents.judge import Pair, compare
from folkmoot.agents.model import ModelClient, model_client
from folkmoot.agents.run import NOTHING_CHANGED, run_assignment
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.facts import AgentFinished
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId, WorkspaceId
from folkmoot.kernel.task import Budget
from folkmoot.platform.demo.material import demo, write_repository
from folkmoot.rehearsal.script import bundled
from folkmoot.rehearsal.server import serving
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import ModelSettings, Settings
from tests.fixtures import rehearsal
from tests.folders import FolderWorkspace

PARTS = tuple(bundled().behaviours)
CAST = {f"{part}-1": part for part in PARTS}


class Stage:
    """Plays parts; agent `PART-1` plays PART."""

    def __init__(self, address: str, model: ModelClient) -> None:
        self._endpoint = ModelEndpoint(url=f"http://{address}/v1", name="rehearsal")
        self._model = model
        self.bus = MemoryBus(SystemClock())

    async def run(self, part: str, phase: str, folder: Path, **changes: object) -> AgentFinished:
        base = CommitId(FolderWorkspace(folder).git("rev-list", "--max-parents=0", "HEAD"))
        assignment = Assignment(
            task_id=TaskId("t-1"),
            agent_id=AgentId(f"{part}-1"),
            attempt=1,
            phase=phase,
            role="DEV",
            persona="",
            title=demo().title,
            text=demo().text,
            checks=demo().checks,
            base_commit=base,
            suite=None,
            protected=(),
            budget=Budget(),
            model=self._endpoint,
            workspace=WorkspaceGrant(workspace_id=WorkspaceId("ws"), endpoint="", token=""),
            result_head=START,
        )
        return await run_assignment(
            msgspec.structs.replace(assignment, **changes),
            workspace=FolderWorkspace(folder),
            model=self._model,
            bus=self.bus,
            clock=SystemClock(),
            settings=Settings(),
        )

    async def judged(self, part: str, one: str, other: str) -> Verdict:
        pair = Pair(
            one=ProposalId("one"),
            other=ProposalId("other"),
            judge=AgentId(f"{part}-1"),
            role="DEV",
            title=demo().title,
            text=demo().text,
            checks=(),
            diffs=(one, other),
            evidence=("", ""),
        )
        return (await compare(self._model, self._endpoint, pair, user=f"t-1/{part}-1", repairs=2))[0]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    script = msgspec.structs.replace(bundled(), agents=CAST, latency_s=0.0)
    async with serving(script) as address, model_client(ModelSettings(), asyncio.sleep) as model:
        yield Stage(address, model)


def repository(folder: Path, *played: tuple[str, str]) -> Path:
    """The demo's base, with what these parts did in these phases on top."""
    write_repository(folder, demo())
    for part, phase in played:
        rehearsal.perform(bundled(), part, folder, phase)
    return folder


def diff(folder: Path) -> str:
    workspace = FolderWorkspace(folder)
    workspace.git("add", "--all")
    return workspace.git("diff", "--cached")


def commit(folder: Path) -> CommitId:
    workspace = FolderWorkspace(folder)
    workspace.git("add", "--all")
    workspace.git("-c", "user.name=p", "-c", "user.email=p@example.invalid", "commit", "-qm", "candidate")
    return CommitId(workspace.git("rev-parse", "HEAD"))


def failing(folder: Path, *files: str) -> set[str]:
    """Names of the tests that fail in `files`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return {line.split("::")[1].split("[")[0].split(" ")[0] for line in lines}


async def test_a_reviewer_finds_the_wrong_candidate_whatever_its_name(stage: Stage, tmp_path: Path) -> None:
    """The finding's test fails on that one and passes on the right one; the rest of the script's claims is refused."""
    right, wrong = (
        repository(tmp_path / "right", ("right", "propose")),
        repository(tmp_path / "wrong", ("plausible", "propose")),
    )
    for names in (("candidate-1", "candidate-2"), ("candidate-2", "candidate-1")):
        shown = tuple(
            Shown(alias=alias, proposal_id=ProposalId(folder.name), diff=diff(folder))
            for alias, folder in zip(names, (right, wrong), strict=True)
        )
        number = int(names[0][-1])
        finished = await stage.run(
            "right", "review", right, shown=tuple(sorted(shown, key=lambda s: s.alias)), round=number
        )
        (finding,) = finished.findings
        assert (finished.submitted, finding.proposal_id) == (True, "wrong")
    body = await stage.bus.artifacts.get(finding.reproducer)
    for folder, fails in [(right, set()), (wrong, {"test_the_largest_fraction_gets_the_cent"})]:
        (folder / finding.path).write_bytes(body)
        assert failing(folder, finding.path) == fails


async def test_what_slander_reports_shows_nothing(stage: Stage, tmp_path: Path) -> None:
    """One test passes everywhere, one fails everywhere."""
    right, wrong = (
        repository(tmp_path / "right", ("right", "propose")),
        repository(tmp_path / "wrong", ("plausible", "propose")),
    )
    shown = Shown(alias="candidate-1", proposal_id=ProposalId("right"), diff=diff(right))
    finished = await stage.run("slanders", "review", right, shown=(shown,))
    for finding in finished.findings:
        for folder in (right, wrong):
            (folder / finding.path).write_bytes(await stage.bus.artifacts.get(finding.reproducer))
    files = [finding.path for finding in finished.findings]
    assert failing(right, *files) == failing(wrong, *files) == {"test_the_last_person_pays_the_rest"}


async def test_an_author_mends_or_stays(stage: Stage, tmp_path: Path) -> None:
    """In a workspace that begins with his own candidate."""
    folder = repository(tmp_path / "mends", ("mends", "propose"))
    start = commit(folder)
    stays = await stage.run("plausible", "revise", folder, start=start)
    assert (stays.submitted, stays.bundle, stays.reason) == (True, None, NOTHING_CHANGED)
    mended = await stage.run("mends", "revise", folder, start=start)
    assert (mended.submitted, mended.bundle is None) == (True, False)
    assert "by_fraction" in (folder / "tally/split.py").read_text("utf-8")


def test_what_writers_of_tests_tell_apart(tmp_path: Path) -> None:
    """Sealed and splitting tests pass on the right candidate and not on the plausible one; toxic ones the other way."""
    writers = [("sealed", "test"), ("toxic", "test"), ("splits", "test")]
    right = repository(tmp_path / "right", ("right", "propose"), *writers)
    plausible = repository(tmp_path / "plausible", ("plausible", "propose"), *writers)
    mended = repository(tmp_path / "mended", ("mends", "propose"), ("mends", "revise"), *writers)
    toxic = {"test_the_first_person_takes_what_is_left_over"}
    assert failing(right) == failing(mended) == toxic
    assert failing(plausible) == {"test_each_share_lies_within_a_cent", "test_who_carries_no_weight_pays_nothing"}


async def test_whoever_meddles_changes_production(stage: Stage, tmp_path: Path) -> None:
    """Beside its tests: what the platform refuses."""
    folder = repository(tmp_path / "meddles")
    assert (await stage.run("meddles", "test", folder)).submitted
    changed = FolderWorkspace(folder).git("diff", "--name-only", "HEAD~", "HEAD").splitlines()
    assert changed == ["tally/split.py", "tests/test_sealed_weights.py"]


async def test_judges(stage: Stage) -> None:
    """One goes by content, one by position, one cannot be understood."""
    for one, other, better in [("+by_fraction", "+x", "one"), ("+x", "+by_fraction", "other")]:
        verdict = await stage.judged("judges", one, other)
        assert (verdict.better, verdict.consistent, verdict.problem) == (better, True, "")
    position = await stage.judged("by-position", "+by_fraction", "+x")
    assert (position.better, position.consistent, position.problem) == (None, False, "")
    babble = await stage.judged("babbles", "+by_fraction", "+x")
    assert (babble.better, babble.consistent) == (None, False)
    assert "no usable verdict in 3 answers" in babble.problem
