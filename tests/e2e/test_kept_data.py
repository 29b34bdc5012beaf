"""What a person does with kept data: backs a running platform up, restores it, moves a story, forgets it."""

from __future__ import annotations  # the stub types exist for the checker only

from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.runtime.grpc.client import channel, credentials
from tests.fixtures.platform import Done, Moot

CAST = {"dev-1": "wrong", "dev-2": "right"}
READING = ("result", "evidence", "diff")


def ok(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def read(moot: Moot, task: str) -> list[object]:
    """All that the commands say of a task."""
    return [ok(moot(command, task, "--json")).json for command in READING]


async def graph(moot: Moot, task: str) -> tuple[dict[str, object], set[tuple[str, str, str]]]:
    """What is known of a task, after a rebuild."""
    async with channel(moot.info.context) as opened:
        stub, token = rpc.ContextServiceStub(opened), credentials(moot.info.token)
        await stub.Rebuild(pb.RebuildRequest(), metadata=token)
        request = pb.GetNeighbourhoodRequest(node_id=f"task:{task}", depth=1)
        part = await stub.GetNeighbourhood(request, metadata=token)
    nodes: dict[str, object] = {n.node_id: (n.kind, dict(n.properties)) for n in part.nodes}
    return nodes, {(e.from_id, e.kind, e.to_id) for e in part.edges}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Moot]:
    """A data folder of its own, on which nothing is up yet."""
    other = Moot(tmp_path / "elsewhere")
    yield other
    ok(other("down", cwd=tmp_path))


async def test_a_platform_and_a_story_move_house(moot: Moot, elsewhere: Moot, tmp_path: Path) -> None:
    """A backup taken while the platform runs is that platform: results, evidence, changes and graph are the same. A
    story exported later is read there too, and nobody carries it out. What is forgotten is gone, and says so."""
    before = ok(moot.solve("tally", CAST, tmp_path / "before")).json
    task = before["task_id"]
    ok(moot("backup", str(tmp_path / "all.tar"), "--json"))
    after = ok(moot.solve("tally", CAST, tmp_path / "after")).json
    ok(moot("export", after["story_id"], "--output", str(tmp_path / "story.tar")))
    assert (tmp_path / "story.tar").stat().st_mode & 0o777 == 0o600

    restored = ok(moot("restore", str(tmp_path / "all.tar"), "--data", str(elsewhere.data), "--json", cwd=tmp_path))
    assert restored.json["resumed"]["undone"] == []
    ok(elsewhere("up", "--detach", cwd=tmp_path))
    assert read(elsewhere, task) == read(moot, task)
    assert await graph(elsewhere, task) == await graph(moot, task)

    assert elsewhere("result", after["task_id"]).code == 6
    taken = ok(elsewhere("import", str(tmp_path / "story.tar"), "--json")).json
    assert (taken["of"], taken["tasks"]) == (after["story_id"], [after["task_id"]])
    assert ok(elsewhere("import", str(tmp_path / "story.tar"), "--json")).json["events"] == 0
    assert read(elsewhere, after["task_id"]) == read(moot, after["task_id"])
    assert ok(elsewhere("story", "show", after["story_id"])).out
    ok(elsewhere("apply", after["task_id"], cwd=tmp_path / "after/repo"))

    gone = ok(elsewhere("forget", before["story_id"], "--reason", "asked to", "--json")).json
    assert (gone["tasks"], gone["parked"], gone["refs"] > 0) == ([task], 0, True)
    forgotten = elsewhere("result", task)
    assert (forgotten.code, "was erased on" in forgotten.err) == (6, True)
    stories = ok(elsewhere("story", "list", "--json")).out
    assert before["story_id"] not in stories
    assert after["story_id"] in stories
    assert ok(moot("result", task, "--json")).json == before
