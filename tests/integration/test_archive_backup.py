"""A whole log is backed up while it is written to, and comes back in a new folder; what is over its time goes."""

import asyncio
import secrets
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START, Erased
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import DeliberationRequested, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.platform.archive.backup import backup
from folkmoot.platform.archive.reach import reached
from folkmoot.platform.archive.restore import Restored, restore
from folkmoot.platform.archive.retention import keep, sweep
from folkmoot.runtime.clock import SystemClock, VirtualClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import connect
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
    async with nats_server.connect("orchestrator") as bus:
        large = await bus.artifacts.put(secrets.token_bytes(3_000_000))  # a snapshot of many pieces ends in another way
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
        assert len(await there.bus.artifacts.get(large)) == large.size
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
    with pytest.raises(InvalidInput, match=r"FILE: is no backup: .*escaped"):
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


async def test_a_story_whose_log_is_broken_keeps_no_other(nats_server: NatsServer, tmp_path: Path) -> None:
    """It stays, for a person to look at."""
    broken, old = await kept.story(nats_server, "broken"), await kept.story(nats_server, "old")
    async with keeper_of(nats_server) as keeper:
        await keeper.erase((await keeper.raw(broken.subjects[-1]))[:1])
        later = NOW() + timedelta(days=31)
        gone, _ = await sweep(keeper, RetentionSettings(stories_days=30), now=later, mirrored=tmp_path)
        assert gone == (old.story_id,)


class Told(VirtualClock):
    """Says when somebody went to sleep."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await super().sleep(seconds)

    async def pass_by(self, seconds: float) -> None:
        """Once somebody sleeps."""
        async with asyncio.timeout(10):
            await self.asleep.wait()
        self.asleep.clear()
        await self.advance(seconds)


async def test_the_platform_sweeps_by_itself(nats_server: NatsServer) -> None:
    """Again and again, and a sweep that fails is not the last one."""
    story = await kept.story(nats_server, "old")
    clock = Told(NOW() + timedelta(days=31))
    retention = RetentionSettings(stories_days=30, sweep_s=60)
    settings = Settings(data=str(nats_server.folder.parent), retention=retention)
    url = nats_server.settings("platform").url
    config = nats_server.config.read_text()
    nats_server.config.write_text("{}")  # whoever cannot tell the password tries again later
    async with nats_server.connect("orchestrator") as bus, beside(keep(settings, url, clock), name="retention"):
        await clock.pass_by(60)
        await clock.asleep.wait()
        nats_server.config.write_text(config)
        await clock.pass_by(60)
        async with asyncio.timeout(10), aclosing(bus.log.follow("agile.events.*", after_seq=5)) as events:
            tombstone = await anext(events)
    assert tombstone.event.subject == f"agile.events.{story.story_id}"
    assert isinstance(tombstone.event.data, Erased)


async def test_what_is_put_while_it_is_dropped_is_there(nats_server: NatsServer) -> None:
    """Whoever puts an artifact and hears that it is there may name it."""

    class Slow(Keeper):
        async def _delete(self, stream: str, seq: int) -> int:
            done = await super()._delete(stream, seq)
            if not again:
                again.append(await agents.artifacts.put(body))
            return done

    body, again = b"x" * 300_000, list[ArtifactRef]()
    async with nats_server.connect("agents") as agents, nats_server.connect("platform") as bus:
        ref = await agents.artifacts.put(body)
        await Slow(bus).drop(ref.sha256)
        assert again == [ref]
        assert await agents.artifacts.get(ref) == body
        await Keeper(bus).drop(ref.sha256)
        assert await Keeper(bus).artifacts() == []


async def test_what_is_put_again_is_wanted_again(nats_server: NatsServer, tmp_path: Path) -> None:
    """Nobody takes an old artifact away that somebody has just put, and is about to name."""
    (tmp_path / "shift").write_text("7200")
    later = SystemClock(str(tmp_path / "shift"))
    async with keeper_of(nats_server) as keeper:
        ref = await keeper.bus.artifacts.put(b"body")
        first = await keeper.wanted_at(ref.sha256)
        await keeper.bus.artifacts.put(b"body")
        assert await keeper.wanted_at(ref.sha256) == first
        async with connect(nats_server.settings("agents"), source="/agents/x", clock=later) as agents:
            assert await agents.artifacts.put(b"body") == ref
        second = await keeper.wanted_at(ref.sha256)
        assert first is not None
        assert second is not None
        assert second > first
        assert await keeper.bus.artifacts.get(ref) == b"body"
