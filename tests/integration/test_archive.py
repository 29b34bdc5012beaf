"""A story leaves a platform as a file, comes into another one, and is forgotten, on real servers."""

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel import deliberation
from folkmoot.kernel import story as stories
from folkmoot.kernel.errors import (
    AlreadyExists,
    BrokenChain,
    FailedPrecondition,
    FolkmootError,
    InvalidInput,
    NotFound,
)
from folkmoot.kernel.events import START, Erased
from folkmoot.kernel.facts import StoryAccepted, TaskReleased
from folkmoot.platform.archive import erase, manifest
from folkmoot.platform.archive.erase import Forgotten, forget
from folkmoot.platform.archive.export import export
from folkmoot.platform.archive.retention import sweep
from folkmoot.platform.archive.take_in import TakenIn, take_in
from folkmoot.platform.archive.unnamed import sweep_artifacts
from folkmoot.runner.git import GitFailed
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.settings import RetentionSettings
from tests.fixtures import kept
from tests.fixtures.nats import NatsServer, running

ARTIFACT_BYTES = 1_000_000
NOW = SystemClock().now


@asynccontextmanager
async def keeper_of(server: NatsServer) -> AsyncIterator[Keeper]:
    async with server.connect("platform") as bus:
        yield Keeper(bus)


async def exported(server: NatsServer, of: str) -> bytes:
    out = io.BytesIO()
    async with keeper_of(server) as keeper:
        await export(keeper, of, out)
    return out.getvalue()


async def imported(server: NatsServer, body: bytes, folder: Path) -> TakenIn:
    file = folder / "story.tar"
    file.write_bytes(body)
    async with keeper_of(server) as keeper:
        return await take_in(keeper, file, artifact_bytes=ARTIFACT_BYTES)


async def forgotten(server: NatsServer, of: str, reason: str = "asked to") -> Forgotten:
    async with keeper_of(server) as keeper:
        return await forget(keeper, of, actor="p", reason=reason, clock=SystemClock(), mirrored=None, grace_s=7_200)


async def everything(bus: NatsBus, story: kept.Kept) -> list[tuple[str, str, str]]:
    """Id, time and digest of every event."""
    found = [stored for subject in story.subjects for stored in await bus.log.read(subject)]
    return [(s.event.id, s.event.time.isoformat(), s.digest) for s in found]


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "elsewhere", ack_wait_s=1.0) as server:
        yield server


async def test_a_story_goes_elsewhere_whole(nats_server: NatsServer, elsewhere: NatsServer, tmp_path: Path) -> None:
    """Events keep ids, times and chain though sequences differ; artifacts come along, also those named by others; the
    same log gives the same bytes; importing twice changes nothing."""
    story = await kept.story(nats_server, "one")
    await kept.story(elsewhere, "other")
    body = await exported(nats_server, story.story_id)
    assert await exported(nats_server, story.story_id) == body
    first = await imported(elsewhere, body, tmp_path)
    assert (first.tasks, first.events, first.artifacts) == ((story.task_id,), 10, 3)
    assert (await imported(elsewhere, body, tmp_path)).events == 0
    async with nats_server.connect("orchestrator") as here, elsewhere.connect("orchestrator") as there:
        assert await everything(there, story) == await everything(here, story)
        assert await there.artifacts.get(story.transcript) == b"the secret of one"
        assert await there.artifacts.get(kept.reference(kept.SHARED)) == kept.SHARED
    assert await exported(elsewhere, story.story_id) == body


async def test_nobody_acts_on_an_imported_story(nats_server: NatsServer, elsewhere: NatsServer, tmp_path: Path) -> None:
    """Its release is no request, its decision no event: durable readers pass it by, and hand out what comes after."""
    story = await kept.story(nats_server, "one")
    await imported(elsewhere, await exported(nats_server, story.story_id), tmp_path)
    later = await kept.story(elsewhere, "later")
    async with elsewhere.connect("orchestrator", ack_wait_s=1.0) as orchestrator:
        deliveries = orchestrator.queues.deliveries("orchestrator-stories")
        seen = []
        async for delivery in deliveries:
            seen.append(delivery.stored.event)
            await delivery.ack()
            if isinstance(delivery.stored.event.data, TaskReleased):
                break
        await deliveries.aclose()
    assert {event.subject for event in seen} == {f"agile.events.{later.story_id}"}


async def test_another_head_is_refused(nats_server: NatsServer, elsewhere: NatsServer, tmp_path: Path) -> None:
    """Two histories of one story are never mixed; an older export of it is refused as well."""
    story = await kept.story(nats_server, "one", accept=False)
    older = await exported(nats_server, story.story_id)
    await imported(elsewhere, older, tmp_path)
    async with nats_server.connect("planning") as planning:
        events = await planning.log.read(f"agile.events.{story.story_id}")
        await planning.log.append(f"agile.events.{story.story_id}", StoryAccepted(actor="p"), after=events[-1].head)
    newer = await exported(nats_server, story.story_id)
    with pytest.raises(AlreadyExists, match="s-one is here with another head: 4 events, not 5"):
        await imported(elsewhere, newer, tmp_path)
    with pytest.raises(AlreadyExists, match="another head"):
        await imported(nats_server, older, tmp_path)


async def test_what_runs_is_not_exported(nats_server: NatsServer) -> None:
    """An import would have to carry it on; so would whoever forgets it."""
    story = await kept.story(nats_server, "one", end=False)
    with pytest.raises(FailedPrecondition, match="running: task t-one has not ended"):
        await exported(nats_server, story.story_id)
    with pytest.raises(FailedPrecondition, match="running: task t-one has not ended"):
        await forgotten(nats_server, story.story_id)
    with pytest.raises(NotFound, match="there is no story or task s-none"):
        await exported(nats_server, "s-none")


# --- hostile files ---------------------------------------------------------------------------------------------------


def members(body: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr] # plain files


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def rewritten(files: dict[str, bytes]) -> bytes:
    """With a manifest that fits its events and artifacts again."""
    told = json.loads(files["manifest.json"])
    for part in told["subjects"]:
        body = files[f"events/{part['subject']}.jsonl"]
        lines = body.split(b"\n")[:-1]
        part |= {"events": len(lines), "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        part["head"] = hashlib.sha256(lines[-1]).hexdigest()
    fitting = msgspec.json.decode(json.dumps(told), type=manifest.Manifest)
    return packed(files | {"manifest.json": manifest.encoded(fitting)})


STORY, TASK = "events/agile.events.s-one.jsonl", "events/deliberation.events.t-one.jsonl"
RESULT = "events/agent.results.t-one.dev-1.jsonl"


def without_a_line(files: dict[str, bytes]) -> bytes:
    lines = files[TASK].split(b"\n")
    return rewritten(files | {TASK: b"\n".join([lines[0], *lines[2:]])})


def cut_short(files: dict[str, bytes]) -> bytes:
    return rewritten(files | {TASK: b"\n".join(files[TASK].split(b"\n")[:-2]) + b"\n"})


def with_another_artifact(files: dict[str, bytes]) -> bytes:
    name = next(n for n in files if n.startswith("artifacts/"))
    return packed(files | {name: b"x" * len(files[name])})


def without_an_artifact(files: dict[str, bytes]) -> bytes:
    told = manifest.decoded(files["manifest.json"])
    left = told.artifacts[1:]
    fewer = {n: b for n, b in files.items() if not n.endswith(told.artifacts[0].sha256)}
    body = manifest.encoded(msgspec.structs.replace(told, artifacts=left))
    return packed(fewer | {"manifest.json": body})


def with_a_header_in_an_id(files: dict[str, bytes]) -> bytes:
    event = json.loads(files[RESULT])
    event["id"] = "0123\r\nNats-Rollup: all"
    return rewritten(files | {RESULT: json.dumps(event).encode() + b"\n"})


def of_the_fleet(files: dict[str, bytes]) -> bytes:
    told = json.loads(files["manifest.json"])
    told["subjects"][0]["subject"] = "fleet.events.councils"
    moved = {n.replace(RESULT, "events/fleet.events.councils.jsonl"): b for n, b in files.items()}
    return packed(moved | {"manifest.json": manifest.encoded(msgspec.convert(told, manifest.Manifest))})


def of_another_task(files: dict[str, bytes]) -> bytes:
    told = json.loads(files["manifest.json"])
    told["subjects"][0]["subject"] = "agent.results.t-two.dev-1"
    moved = {
        n.replace("t-one.dev-1", "t-two.dev-1"): b.replace(b"t-one.dev-1", b"t-two.dev-1") for n, b in files.items()
    }
    return rewritten(moved | {"manifest.json": json.dumps(told).encode()})


HOSTILE: list[tuple[Callable[[dict[str, bytes]], bytes], type[FolkmootError], str]] = [
    (lambda _: b"no tar at all", InvalidInput, "FILE: is no export"),
    (lambda files: packed(files | {"../../etc/passwd": b"x"}), InvalidInput, "FILE: holds 8 members"),
    (lambda files: packed(dict(reversed(files.items()))), InvalidInput, "FILE: does not begin with a manifest.json"),
    (lambda files: packed({n: b for n, b in files.items() if n != STORY}), InvalidInput, "stands where the manifest"),
    (without_a_line, BrokenChain, "t-one: message 2 does not follow message 1"),
    (cut_short, FailedPrecondition, "running: task t-one has not ended"),
    (with_another_artifact, InvalidInput, "artifacts/[0-9a-f]{64}: is not what its name says|is no examination"),
    (without_an_artifact, InvalidInput, "artifacts: "),
    (with_a_header_in_an_id, InvalidInput, "is no id of an event"),
    (of_the_fleet, InvalidInput, "lies in no log of stories or tasks"),
    (of_another_task, InvalidInput, "does not belong to s-one"),
]


async def test_a_file_that_lies_is_refused(nats_server: NatsServer, elsewhere: NatsServer, tmp_path: Path) -> None:
    """The refusal names what is wrong, and nothing was written."""
    story = await kept.story(nats_server, "one")
    files = members(await exported(nats_server, story.story_id))
    for spoil, error, words in HOSTILE:
        with pytest.raises(error, match=words):
            await imported(elsewhere, spoil(files), tmp_path)
    link = tarfile.TarInfo("manifest.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(link)
    with pytest.raises(InvalidInput, match=r"manifest\.json: is no plain file"):
        await imported(elsewhere, out.getvalue(), tmp_path)
    async with keeper_of(elsewhere) as keeper:
        assert await keeper.artifacts() == []
        for subject in story.subjects:
            assert await keeper.raw(subject) == []


# --- forgetting ------------------------------------------------------------------------------------------------------


async def test_a_forgotten_story_leaves_tombstones(nats_server: NatsServer) -> None:
    """Of its events nothing is left, on the disk neither; tombstones say who and why, and prove what was there; what
    another story names too stays."""
    story, other = await kept.story(nats_server, "gone"), await kept.story(nats_server, "stays")
    body = await exported(nats_server, story.story_id)
    done = await forgotten(nats_server, story.story_id)
    assert (done.tasks, done.events, done.parked) == ((story.task_id,), 11, 0)
    assert (done.artifacts.removed, done.artifacts.waiting) == (2, 0)
    files = members(body)
    async with nats_server.connect("orchestrator") as bus:
        for subject in story.subjects:
            [tombstone] = await bus.log.read(subject)
            fact, lines = tombstone.event.data, files[f"events/{subject}.jsonl"]
            assert isinstance(fact, Erased)
            assert (fact.actor, fact.reason) == ("p", "asked to")
            assert (fact.events, fact.sha256) == (lines.count(b"\n"), hashlib.sha256(lines).hexdigest())
            assert fact.head == tombstone.event.prevdigest == hashlib.sha256(lines.split(b"\n")[-2]).hexdigest()
        with pytest.raises(NotFound, match=r"s-gone was erased on \d{4}-.* by p: asked to"):
            stories.fold(await bus.log.read(f"agile.events.{story.story_id}"))
        with pytest.raises(NotFound, match="t-gone was erased"):
            deliberation.fold(await bus.log.read(f"deliberation.events.{story.task_id}"))
        assert [s.event.subject for s in await bus.log.lasts("agile.events.*")] == ["agile.events.s-stays"]
        assert await bus.log.read(f"agent.steps.{story.task_id}.dev-1") == []
        with pytest.raises(NotFound):
            await bus.artifacts.get(story.transcript)
        assert await bus.artifacts.get(other.transcript)
        assert await bus.artifacts.get(kept.reference(kept.SHARED)) == kept.SHARED
    nats_server.kill()
    disk = [file.read_bytes() for file in nats_server.folder.rglob("*.blk")]
    assert any(b"the secret of stays" in block for block in disk)
    assert not any(b"the secret of gone" in block for block in disk)
    nats_server.start()


async def test_what_was_forgotten_stays_so(nats_server: NatsServer, tmp_path: Path) -> None:
    """It neither comes back by import nor goes again."""
    story = await kept.story(nats_server, "gone")
    body = await exported(nats_server, story.story_id)
    await forgotten(nats_server, story.story_id)
    with pytest.raises(FailedPrecondition, match=r"erased: .* does not come back"):
        await imported(nats_server, body, tmp_path)
    with pytest.raises(NotFound, match="s-gone was erased"):
        await forgotten(nats_server, story.story_id)


class PulledPlug(Exception):
    """Where our process would have died."""


class Mortal(Keeper):
    """Dies behind so many changes."""

    def __init__(self, bus: NatsBus, changes: int) -> None:
        super().__init__(bus)
        self._left = changes

    async def record(self, subject: str, body: bytes, *, ident: str, after_seq: int, mark: str) -> int:
        self._live()
        return await super().record(subject, body, ident=ident, after_seq=after_seq, mark=mark)

    async def _delete(self, stream: str, seq: int) -> int:
        self._live()
        return await super()._delete(stream, seq)

    def _live(self) -> None:
        if not self._left:
            raise PulledPlug
        self._left -= 1


async def test_an_interrupted_forgetting_is_repeated(nats_server: NatsServer) -> None:
    """Wherever it was cut off, readers see a whole chain or a tombstone, and the next one ends it; so does a sweep."""
    for changes in range(1, 14):
        story = await kept.story(nats_server, f"gone-{changes}")
        async with nats_server.connect("platform") as bus:
            with pytest.raises(PulledPlug):
                await erase.erase(Mortal(bus, changes), story.story_id, actor="p", reason="first", at=NOW())
            with pytest.raises(NotFound, match="first"):
                stories.fold(await bus.log.read(story.subjects[-1]))
            for subject in story.subjects:
                await bus.log.read(subject)
            if changes % 2:
                await erase.erase(Keeper(bus), story.story_id, actor="p", reason="second", at=NOW())
            else:
                await sweep(Keeper(bus), RetentionSettings(), now=NOW(), mirrored=nats_server.folder / "none")
            assert [len(await Keeper(bus).raw(subject)) for subject in story.subjects] == [1, 1, 1]
            assert await Keeper(bus).names(f"agent.steps.{story.task_id}.*") == []


async def test_a_mirror_that_cannot_be_reached_is_no_end(nats_server: NatsServer, tmp_path: Path) -> None:
    """What was forgotten in the log only would keep its branches for ever: it counts as begun, and is repeated."""
    story = await kept.story(nats_server, "gone")
    (tmp_path / "r/candidates.git").mkdir(parents=True)
    async with keeper_of(nats_server) as keeper:
        with pytest.raises(GitFailed):
            await erase.erase(keeper, story.story_id, actor="p", reason="r", at=NOW(), mirrored=tmp_path)
        (tmp_path / "r/candidates.git").rmdir()
        assert (
            await erase.erase(keeper, story.story_id, actor="p", reason="r", at=NOW(), mirrored=tmp_path)
        ).tasks == (story.task_id,)


async def test_a_task_that_never_began_is_no_hindrance(nats_server: NatsServer) -> None:
    """A story that was called off may have released a task that nobody could take."""
    story = await kept.called_off(nats_server, "off")
    assert await exported(nats_server, story)
    assert (await forgotten(nats_server, story)).events == 4


async def test_a_task_goes_with_its_story(nats_server: NatsServer) -> None:
    """The story's log would name what nobody finds."""
    story = await kept.story(nats_server, "one")
    with pytest.raises(FailedPrecondition, match="part: t-one is a task of s-one"):
        await forgotten(nats_server, story.task_id)
    with pytest.raises(InvalidInput, match="reason: say why"):
        await forgotten(nats_server, story.story_id, " ")


async def test_a_continuation_goes_with_its_story(
    nats_server: NatsServer, elsewhere: NatsServer, tmp_path: Path
) -> None:
    """Exported, imported and forgotten together, under the id of the story."""
    story = await kept.story(nats_server, "two", accept=False, abstains=True)
    new = await kept.continuation(nats_server, story, "t-again", heard=True)
    body = await exported(nats_server, story.story_id)
    assert (await imported(elsewhere, body, tmp_path)).tasks == (story.task_id, new)
    with pytest.raises(FailedPrecondition, match="part: t-again is a task of s-two"):
        await forgotten(nats_server, new)
    assert (await forgotten(nats_server, story.story_id)).tasks == (story.task_id, new)


async def test_a_continuation_that_its_story_does_not_name_is_forgotten_alone(nats_server: NatsServer) -> None:
    """The story was called off before it heard of it: nothing else names it."""
    story = await kept.story(nats_server, "two")
    new = await kept.continuation(nats_server, story, "t-again", heard=False)
    assert (await forgotten(nats_server, new)).tasks == (new,)
    assert (await forgotten(nats_server, story.story_id)).tasks == (story.task_id,)


async def test_a_gap_without_a_tombstone_is_a_broken_chain(nats_server: NatsServer) -> None:
    """Nobody takes an event away unnoticed, the admin neither."""
    story = await kept.story(nats_server, "one")
    async with keeper_of(nats_server) as keeper:
        messages = await keeper.raw(story.subjects[-1])
        await keeper.erase(messages[:1])
        with pytest.raises(BrokenChain, match="does not follow"):
            await keeper.bus.log.read(story.subjects[-1])
    async with nats_server.connect("planning") as planning:
        assert await planning.log.read("agile.events.s-none", after=START) == []


async def test_young_artifacts_wait_while_something_runs(nats_server: NatsServer) -> None:
    """Somebody may just have put them and be about to name them; what is old and named by nobody goes."""
    async with nats_server.connect("orchestrator") as orchestrator:
        nobodys = await orchestrator.artifacts.put(b"nobody names this")
        await orchestrator.queues.put("deliberation.requests.t-x", StoryAccepted(actor="x"), key="x")
    story = await kept.story(nats_server, "gone")
    done = await forgotten(nats_server, story.story_id)
    assert (done.artifacts.removed, done.artifacts.waiting) == (0, 4)
    async with keeper_of(nats_server) as keeper:
        swept = await sweep_artifacts(keeper, now=SystemClock().now(), grace_s=-60)
        assert (swept.removed, swept.waiting) == (4, 0)
        with pytest.raises(NotFound):
            await keeper.bus.artifacts.get(nobodys)
