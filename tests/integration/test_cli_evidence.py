"""`moot evidence` and its replay, as a user runs them."""

import io
import json
import re
import tarfile
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.facts import CODEC
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.jury.policy import POLICY
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Rigor
from folkmoot.platform.archive import manifest
from folkmoot.platform.archive.record import record, subject_of
from folkmoot.runtime.log.jetstream import Raw
from tests.fixtures.cli_platform import Platform, playing
from tests.fixtures.cli_tasks import Canned, ended, reference
from tests.fixtures.deliberated import TASK, chained, told

TOLD = told()


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """Knows a decision as it was made, one that is forged, and a task that is not decided."""
    result = ended(TASK, State.ABSTAINED).result
    facts = [stored.event.data for stored in TOLD.events]
    forged = [msgspec.structs.replace(f, chosen="dev-9-r1") if hasattr(f, "chosen") else f for f in facts]
    unranked = [stored.event.data for stored in told(ranked=False).events]
    logs = {TASK: facts, "t-forged": forged, "t-running": unranked}
    tasks = {
        name: Canned(result=result, events=[stored.event for stored in chained(log, TaskId(name))])
        for name, log in logs.items()
    }
    async with playing(tmp_path, tasks, TOLD.artifacts) as running:
        yield running


async def test_evidence_as_json_has_all_of_it(platform: Platform) -> None:
    """Every test with its cells, findings with what came of them, verdicts, stages, and the decision."""
    document = json.loads((await platform.moot("evidence", TASK, "--json")).out)
    first = document["matrix"][0]
    assert (first["test"], first["source"], first["author"]) == ("t::counts all", "candidate", "dev-1")
    assert first["cells"] == {"base": "fail", "dev-1-r1": "pass", "dev-2-r1": "fail"}
    assert len(document["matrix"]) == 5
    assert [(f["reviewer"], f["reproduced"]) for f in document["findings"]] == [("dev-1", True), ("dev-2", False)]
    assert [v["consistent"] for v in document["verdicts"]] == [False]
    assert [s["stage"] for s in document["stages"]] == ["propose", "critique", "revise", "judge", "rank"]
    assert document["ranked"]["policy"] == POLICY.version


async def test_a_decision_is_reproduced(platform: Platform) -> None:
    """From what the platform's log holds: the code is success."""
    said = await platform.moot("evidence", TASK, "--replay")
    assert (said.code, "the stored decision is reproduced" in said.out) == (0, True)
    assert json.loads((await platform.moot("evidence", TASK, "--replay", "--json")).out)["reproduced"] is True


async def test_a_decision_that_does_not_follow_is_told_apart(platform: Platform) -> None:
    """With what differs, and a code of ours."""
    said = await platform.moot("evidence", "t-forged", "--replay")
    assert said.code == 1
    assert "NOT reproduced" in said.out
    assert 'stored: "dev-9-r1"' in said.out


async def test_another_policy_says_what_it_would_change(platform: Platform, tmp_path: Path) -> None:
    """That is no failure; a file that is no policy is."""
    (tmp_path / "strict.toml").write_text(_strict())
    said = await platform.moot("evidence", TASK, "--replay", "--policy", "strict.toml")
    assert said.code == 0
    assert f"strict.toml, version strict, differs from version {POLICY.version}, by which it was decided" in said.out
    assert f"profile.L2.threshold: {POLICY.profile[Rigor.L2].threshold} -> 1.0" in said.out
    assert "With it this would have been decided" in said.out
    assert "chosen" in said.out
    (tmp_path / "none.toml").write_text("version = 3")
    assert (await platform.moot("evidence", TASK, "--replay", "--policy", "none.toml")).code == 2


async def test_what_has_no_decision_is_not_replayed(platform: Platform) -> None:
    """Usage, as is a policy without a replay."""
    said = await platform.moot("evidence", "t-running", "--replay")
    assert (said.code, "not_ranked" in said.err) == (2, True)
    assert (await platform.moot("evidence", TASK, "--policy", "x.toml")).code == 2


async def test_a_decision_is_reproduced_from_an_export_alone(platform: Platform, tmp_path: Path) -> None:
    """Without a platform; of a file that was changed nothing is said but that."""
    _export(tmp_path / "task.tar")
    said = await platform.moot("evidence", TASK, "--replay", "--from", "task.tar", FOLKMOOT_GRPC_ORCHESTRATOR="")
    assert (said.code, "the stored decision is reproduced" in said.out) == (0, True), said.err
    whole = (tmp_path / "task.tar").read_bytes()
    (tmp_path / "task.tar").write_bytes(whole.replace(b'"t::keeps":"passed"', b'"t::keeps":"failed"'))
    changed = await platform.moot("evidence", TASK, "--replay", "--from", "task.tar", FOLKMOOT_GRPC_ORCHESTRATOR="")
    assert (changed.code, "is not what its name says" in changed.err) == (2, True)


def _export(file: Path) -> None:
    """As `moot export` writes it, with no more artifacts than a replay reads."""
    name, bodies = subjects.deliberation(TASK), {reference(body): body for body in TOLD.artifacts}
    raws = [Raw(subject=name, seq=s.seq, body=CODEC.encode(s.event)) for s in TOLD.events]
    named = tuple(sorted(bodies, key=lambda ref: ref.sha256))
    told_of = manifest.described(record(TASK, {name: subject_of(raws)}), named)
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, manifest.NAME, manifest.encoded(told_of))
        _add(tar, told_of.subjects[0].member, manifest.lines([raw.body for raw in raws]))
        for ref in named:
            _add(tar, f"artifacts/{ref.sha256}", bodies[ref])


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))


def _strict() -> str:
    """The policy that ships, with which nothing is ever sure enough."""
    text = files("folkmoot.kernel.jury").joinpath("policies", f"{POLICY.version}.toml").read_text()
    return re.sub(r"threshold = [0-9.]+", "threshold = 1.0", text.replace(f'"{POLICY.version}"', '"strict"'))
