"""A whole log is backed up while it is written to, and comes back in a new folder; what is over its time goes."""

import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import DeliberationRequested, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.platform.archive.backup import backup
from folkmoot.platform.archive.reach import reached
from folkmoot.platform.archive.restore import Restored, restore
from folkmoot.platform.archive.retention import sweep
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.settings import RetentionSettings, Settings
from tests.fixtures import kept
from tests.fixtures.nats import NatsServer

NOW = SystemClock().now


@asynccontextmanager
async def keeper_of(server: NatsServer) -> AsyncIterator[Keeper]:
    async with server.connect("platform") as bus:
        yield Keeper(bus)


async def saved(server: NatsServer, data: Path, file: Path) -> Path:
    async with keeper_of(server) as keeper:
        await backup(keeper, data, file, now=NOW())
    return file


async def restored(data: Path, file: Path) -> Restored:
    return await restore(Settings(data=str(data)), file)


async def contents(keeper: Keeper) -> dict[str, list[tuple[int, bytes]]]:
    """Every message of every log that is kept, under its sequence."""
    streams = ("AGILE", "DELIBERATIONS", "STEPS", "FLEET", "PARKED", "OBJ_artifacts")
    return {name: [(raw.seq, raw.body) async for raw in keeper.messages(name)] for name in streams}


async def test_a_backup_comes_back_as_it_was(nats_server: NatsServer, tmp_path: Path) -> None:
    """Every message under its own sequence, artifacts and mirrors too, settings without secrets; forgetting works
    there as well."""
    story = await kept.story(nats_server, "one")
    data = tmp_path / "data"
    ref = data / "mirrors/r/base.git/refs/heads/main"
    ref.parent.mkdir(parents=True)
    ref.write_text("b" * 40)
    (data / "mirrors/quarantine/q-1").mkdir(parents=True)
    (data / "mirrors/quarantine/q-1/bundle").write_text("hostile")
    (data / "folkmoot.toml").write_text('[model]\nname = "m"\napi_key = "sk-secret"\n')
    file = await saved(nats_server, data, tmp_path / "b.tar")
    async with keeper_of(nats_server) as keeper:
        before = await contents(keeper)
    done = await restored(tmp_path / "new", file)
    assert done.resumed.asked_again == done.resumed.undone == ()
    assert done.messages["AGILE"] == 5
    assert (tmp_path / "new/mirrors/r/base.git/refs/heads/main").read_text() == "b" * 40
    assert not (tmp_path / "new/mirrors/quarantine").exists()
    assert (tmp_path / "new/folkmoot.toml").read_text() == '[model]\nname = "m"\n'
    assert b"sk-secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    async with reached(Settings(data=str(tmp_path / "new"))) as there:
        assert await contents(there) == before
        assert await there.bus.artifacts.get(story.transcript) == b"the secret of one"
        await there.require_erasable()


async def test_what_was_cut_apart_is_mended(nats_server: NatsServer, tmp_path: Path) -> None:
    """Streams are taken one after the other: a task that had not ended is asked for again, one that its story does not
    know yet has not happened, and one of no story is nobody's but its own."""
    runs = await kept.story(nats_server, "runs", end=False)
    ahead, alone = TaskId("t-ahead"), TaskId("t-alone")
    async with nats_server.connect("orchestrator") as orchestrator:
        for task, story in ((ahead, "s-unheard"), (alone, "")):
            spec = TaskSpec(task_id=task, story_id=StoryId(story), title="t", text="x", repository="/r", agents=1)
            fact = DeliberationRequested(spec=spec, digest=digest(spec))
            await orchestrator.log.append(f"deliberation.events.{task}", fact, after=START)
    done = await restored(tmp_path / "new", await saved(nats_server, tmp_path, tmp_path / "b.tar"))
    assert done.resumed.asked_again == (runs.task_id, alone)
    assert done.resumed.undone == (ahead,)
    async with reached(Settings(data=str(tmp_path / "new"))) as there:
        assert await there.names("deliberation.requests.*") == [
            f"deliberation.requests.{t}" for t in (alone, runs.task_id)
        ]
        assert await there.names("deliberation.events.*") == [f"deliberation.events.{t}" for t in (alone, runs.task_id)]


async def test_readers_begin_anew(nats_server: NatsServer, tmp_path: Path) -> None:
    """What had been handled is handed out again: nothing that the streams disagree about can be missed."""
    await kept.story(nats_server, "one")
    async with nats_server.connect("orchestrator") as orchestrator:
        deliveries = orchestrator.queues.deliveries("orchestrator-stories")
        async for delivery in deliveries:
            await delivery.ack()
            if isinstance(delivery.stored.event.data, TaskReleased):
                break
        await deliveries.aclose()
    await restored(tmp_path / "new", await saved(nats_server, tmp_path, tmp_path / "b.tar"))
    async with reached(Settings(data=str(tmp_path / "new"))) as there:
        info = await there.bus.wire.api("$JS.API.CONSUMER.INFO.AGILE.orchestrator-stories", {})
        assert (info["ack_floor"]["stream_seq"], info["num_pending"]) == (0, 5)


async def test_nothing_is_written_over(nats_server: NatsServer, tmp_path: Path) -> None:
    """Neither a file that is there nor a data folder that holds something; a bad file leaves an empty folder."""
    file = await saved(nats_server, tmp_path / "data", tmp_path / "b.tar")
    with pytest.raises(AlreadyExists, match=r"b\.tar exists already"):
        await saved(nats_server, tmp_path / "data", file)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("x")
    with pytest.raises(FailedPrecondition, match="full is not empty"):
        await restored(tmp_path / "full", file)
    assert sorted((tmp_path / "full").iterdir()) == [tmp_path / "full/mine"]
    for body, words in (
        (file.read_bytes().replace(b"S2sTwO", b"S2sTwX", 1), "AGILE: is not what"),
        (b"x", "no backup"),
    ):
        (tmp_path / "bad.tar").write_bytes(body)
        with pytest.raises(InvalidInput, match=words):
            await restored(tmp_path / "new", tmp_path / "bad.tar")
        assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(NotFound, match="holds no platform's data"):
        async with reached(Settings(data=str(tmp_path / "none"))):
            pass


async def test_a_member_that_would_leave_the_folder_is_refused(nats_server: NatsServer, tmp_path: Path) -> None:
    """Somebody may have worked on the file."""
    file = await saved(nats_server, tmp_path / "data", tmp_path / "b.tar")
    with tarfile.open(file, "a") as tar:
        tar.addfile(tarfile.TarInfo("mirrors/../../escaped"))
    with pytest.raises(InvalidInput, match="FILE: is no backup: .*escaped"):
        await restored(tmp_path / "new", file)
    assert not (tmp_path / "escaped").exists()


async def test_what_is_over_its_time_goes(nats_server: NatsServer, tmp_path: Path) -> None:
    """Stories that ended and were left alone so long, by the actor `retention`; never one that runs, nor by default."""
    old, runs = await kept.story(nats_server, "old"), await kept.story(nats_server, "runs", end=False)
    async with keeper_of(nats_server) as keeper:
        later = NOW() + timedelta(days=31)
        gone, _ = await sweep(keeper, RetentionSettings(), now=later, mirrored=tmp_path)
        assert gone == ()
        gone, _ = await sweep(keeper, RetentionSettings(stories_days=40), now=later, mirrored=tmp_path)
        assert gone == ()
        gone, swept = await sweep(keeper, RetentionSettings(stories_days=30), now=later, mirrored=tmp_path)
        assert gone == (old.story_id,)
        assert swept.removed == 2
        last = await keeper.bus.log.last(f"agile.events.{old.story_id}")
        assert last is not None
        assert (last.event.data.actor, last.event.data.reason) == ("retention", "older than 30 days")  # type: ignore[attr-defined]
        assert len(await keeper.raw(f"agile.events.{runs.story_id}")) == 4
        again, _ = await sweep(keeper, RetentionSettings(stories_days=30), now=later, mirrored=tmp_path)
        assert again == ()
