"""Each service may do on the bus what the table says, and nothing else."""

import asyncio

import nats
import pytest

from folkmoot.kernel.errors import Misconfigured, PermissionDenied
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import CancelRequested
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.jetstream import leader_get
from folkmoot.runtime.log.nats import connect, ensure_topology
from folkmoot.runtime.log.server import new_passwords, server_config
from folkmoot.runtime.log.wire import Refused, dial
from folkmoot.runtime.settings import LogSettings
from tests.fixtures.nats import NatsServer

FORBIDDEN = [
    ("planning", "deliberation.events.t-1"),
    ("planning", "deliberation.requests.t-1"),
    ("planning", "$O.artifacts.C.abc"),
    ("planning", "$JS.API.STREAM.DELETE.AGILE"),
    ("planning", "$JS.API.CONSUMER.MSG.NEXT.REQUESTS.orchestrator-requests"),
    ("orchestrator", "agile.events.s-1"),
    ("orchestrator", "agent.results.t-1.a-1"),
    ("orchestrator", "agent.responses.t-1.a-1"),
    ("orchestrator", "$JS.API.STREAM.PURGE.DELIBERATIONS"),
    ("orchestrator", "$JS.API.CONSUMER.DELETE.REQUESTS.orchestrator-requests"),
    ("context", "agile.events.s-1"),
    ("context", "deliberation.events.t-1"),
    ("context", "$O.artifacts.M.abc"),
    ("runner", "agent.results.t-1.a-1"),
    ("runner", "deliberation.events.t-1"),
    ("runner", "$JS.API.DIRECT.GET.AGILE"),
    ("agents", "deliberation.events.t-1"),
    ("agents", "agent.requests.t-1.a-1"),
    ("agents", "$JS.API.STREAM.MSG.GET.AGILE"),
    ("agents", "$JS.ACK.REQUESTS.orchestrator-requests.1.1.1.1.1"),
    ("planning", "$JS.API.STREAM.MSG.DELETE.AGILE"),
    ("orchestrator", "$JS.API.STREAM.MSG.DELETE.DELIBERATIONS"),
    ("agents", "$JS.API.STREAM.MSG.DELETE.OBJ_artifacts"),
    ("context", "$JS.API.STREAM.SNAPSHOT.AGILE"),
    ("runner", "$JS.API.STREAM.RESTORE.AGILE"),
    ("platform", "agent.steps.t-1.a-1"),
    ("platform", "fleet.events.decisions"),
]


async def test_nobody_publishes_outside_the_table(nats_server: NatsServer) -> None:
    """The server refuses, and the refusal says whom and what."""
    for user, subject in FORBIDDEN:
        async with dial(nats_server.settings(user, timeout_s=3)) as wire:
            with pytest.raises(PermissionDenied, match=f"{user} may not publish"):
                await wire.call(subject, b"{}")


async def test_nobody_listens_to_another(nats_server: NatsServer) -> None:
    """Subscriptions are private inboxes only: streams are read through JetStream, answers are nobody else's."""
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        refused.put_nowait(str(error))

    settings = nats_server.settings("agents")
    client = await nats.connect(settings.url, user="agents", password=settings.password, error_cb=note)

    async def ignore(_: object) -> None:
        """Nothing ever comes."""

    for subject in ("deliberation.events.*", "_INBOX_orchestrator.>", "agent.requests.>", ">"):
        await client.subscribe(subject, cb=ignore)
        async with asyncio.timeout(3):
            assert "permissions violation for subscription" in (await refused.get()).lower()
    await client.close()


async def test_agents_write_results_and_steps(nats_server: NatsServer) -> None:
    """What an agent needs it may do, a repeated append included."""
    async with nats_server.connect("agents") as agents:
        for subject in ("agent.results.t-1.a-1", "agent.steps.t-1.a-1"):
            stored = await agents.log.append(subject, CancelRequested(actor="x"), after=START)
            assert await agents.log.append(subject, CancelRequested(actor="x"), after=START) == stored
        ref = await agents.artifacts.put(b"bundle")
    async with nats_server.connect("runner") as runner:
        assert await runner.artifacts.get(ref) == b"bundle"


async def test_agents_follow_the_steps_of_a_task_and_no_results(nats_server: NatsServer) -> None:
    """What the others of a task use is known to each of them; what they hand in is not."""
    async with nats_server.connect("agents", timeout_s=3) as agents:
        await agents.log.append("agent.steps.t-1.a-1", CancelRequested(actor="x"), after=START)
        events = agents.log.follow("agent.steps.t-1.*")
        assert (await anext(events)).event.subject == "agent.steps.t-1.a-1"
        await events.aclose()
        with pytest.raises(PermissionDenied):
            await anext(agents.log.follow("agent.results.t-1.*"))


async def test_planning_follows_decisions_but_no_results(nats_server: NatsServer) -> None:
    """The two lie in one stream; the rights tell them apart."""
    async with nats_server.connect("planning", timeout_s=3) as planning:
        async with nats_server.connect("orchestrator") as owner:
            await owner.log.append("deliberation.events.t-1", CancelRequested(actor="x"), after=START)
        events = planning.log.follow("deliberation.events.*")
        assert (await anext(events)).event.subject == "deliberation.events.t-1"
        await events.aclose()
        results = planning.log.follow("agent.results.*.*")
        with pytest.raises(PermissionDenied):
            await anext(results)


async def test_a_wrong_password_is_said_at_once(nats_server: NatsServer) -> None:
    """Trying for ever would look like a slow start."""
    settings = LogSettings(url=nats_server.settings("planning").url, user="planning", password="guess")
    with pytest.raises(Misconfigured, match="refuses the user 'planning'"):
        async with asyncio.timeout(3), connect(settings, source="/planning/one", clock=SystemClock()):
            pass


async def test_a_password_that_was_changed_is_said_too(nats_server: NatsServer) -> None:
    """Who was connected before a restart learns that he may not come back."""
    async with nats_server.connect("planning") as planning:
        nats_server.kill()
        server_config(nats_server.folder, port=nats_server.port, passwords=new_passwords())
        nats_server.start()
        with pytest.raises(Misconfigured, match="refuses the user 'planning'"):
            await planning.log.last("agile.events.s-1")


async def test_a_writer_cannot_wipe_what_was_written(nats_server: NatsServer) -> None:
    """The object store's roll-up header would let one message purge the bucket."""
    async with nats_server.connect("agents") as agents:
        ref = await agents.artifacts.put(b"bundle")
        for subject in ("$O.artifacts.C.x", "agent.results.t-1.a-1"):
            with pytest.raises(Refused, match="rollup"):
                await agents.wire.store(subject, b"", {"Nats-Rollup": "all"})
        assert await agents.artifacts.get(ref) == b"bundle"


async def test_a_stream_that_was_changed_is_named(nats_server: NatsServer) -> None:
    """Drift stops the start and says where."""
    admin = nats_server.settings("platform")
    async with dial(admin) as wire:
        info = await wire.api("$JS.API.STREAM.INFO.STEPS", {})
        await wire.api("$JS.API.STREAM.UPDATE.STEPS", info["config"] | {"max_age": 3_600_000_000_000})
    with pytest.raises(Misconfigured, match="stream STEPS: max_age is 3600000000000, not 604800000000000"):
        await ensure_topology(admin)


async def test_the_lease_time_is_a_setting_not_a_drift(nats_server: NatsServer) -> None:
    """Another lease time takes effect at the next start."""
    await nats_server.prepare(ack_wait_s=3.0)
    async with dial(nats_server.settings("platform")) as wire:
        info = await wire.api("$JS.API.CONSUMER.INFO.REQUESTS.orchestrator-requests", {})
    assert info["config"]["ack_wait"] == 3_000_000_000


async def test_not_even_the_admin_purges_a_log(nats_server: NatsServer) -> None:
    """A log is never wiped. Of stories single events can be erased, by the admin alone and never unnoticed; of the
    fleet's log and of parked messages not even that (docs/data.md)."""
    async with nats_server.connect("orchestrator") as owner:
        stored = await owner.log.append("deliberation.events.t-1", CancelRequested(actor="x"), after=START)
    async with dial(nats_server.settings("platform")) as wire:
        for stream in ("AGILE", "DELIBERATIONS", "STEPS", "FLEET", "PARKED"):
            with pytest.raises(Refused, match=r"denied|not permitted"):
                await wire.api(f"$JS.API.STREAM.PURGE.{stream}", {})
        for stream in ("FLEET", "PARKED"):
            with pytest.raises(Refused, match=r"denied|not permitted"):
                await wire.api(f"$JS.API.STREAM.MSG.DELETE.{stream}", {"seq": 1})
        assert await leader_get(wire, "DELIBERATIONS", {"seq": stored.seq}) is not None
        await wire.api("$JS.API.STREAM.MSG.DELETE.DELIBERATIONS", {"seq": stored.seq})
        assert await leader_get(wire, "DELIBERATIONS", {"seq": stored.seq}) is None
