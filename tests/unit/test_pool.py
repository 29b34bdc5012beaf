"""Warm workspaces: each is claimed once, none is left, and they take only what nobody needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from folkmoot.kernel.errors import ResourceExhausted, Unavailable
from folkmoot.runner.backend import WARM_S, Kind, Warm
from folkmoot.runner.demand import MEMORY_S
from folkmoot.runner.pool import Pool, pooled
from folkmoot.runner.workspace import Workspace
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures.warming import MemoryBackend, manifest

ANY = Kind(words="any")


class Stand:
    def __init__(self, pool: Pool, backend: MemoryBackend, clock: VirtualClock) -> None:
        self.pool = pool
        self.backend = backend
        self.clock = clock

    async def open(self, holder: str, repository: str = "r") -> Workspace:
        workspace = await self.pool.begun(manifest(holder, repository))
        await self.pool.fill(workspace)
        return workspace

    async def at_once(self, *holders: str, repository: str = "r") -> list[Workspace]:
        async with asyncio.TaskGroup() as group:
            opening = [group.create_task(self.open(holder, repository)) for holder in holders]
        return [task.result() for task in opening]

    async def later(self, seconds: float = 1.0) -> None:
        """So much later, when all that was due has happened."""
        await self.clock.advance(seconds)
        await self.pool.sweep(())
        for _ in range(4):
            for _ in range(10):
                await asyncio.sleep(0)
            await self.clock.advance(0.1)


@contextlib.asynccontextmanager
async def stand(
    *, standing: Kind | None = ANY, left: tuple[Warm, ...] = (), at_once: int = 8, **settings: int
) -> AsyncIterator[Stand]:
    """`settings` are the runner's."""
    async with asyncio.TaskGroup() as group:
        backend, clock = MemoryBackend(group, standing=standing, at_once=at_once), VirtualClock()
        backend.predecessors = list(left)
        wanted = RunnerSettings(**settings)  # type: ignore[arg-type]
        async with pooled(backend.serving(), settings=wanted, clock=clock) as pool:
            assert isinstance(pool, Pool)
            await pool.known()
            yield Stand(pool, backend, clock)
        assert backend.warm == set()


async def test_what_was_wanted_at_once_is_ready_next_time() -> None:
    """And each is claimed by one, whoever else asks in the same moment; who finds none left gets one from nothing."""
    async with stand() as on:
        await on.at_once("a", "b", "c")
        assert len(on.backend.filled) == 3
        await on.later(10.0)
        assert on.pool.ready == 3
        await on.at_once("d", "e", "f", "g")
        assert (len(on.backend.claimed), len(set(on.backend.claimed)), len(on.backend.filled)) == (3, 3, 4)
        await on.later()
        assert on.pool.ready == 4


async def test_a_base_that_one_task_asked_for_is_not_kept() -> None:
    """The second one to ask is the first that shows a demand; and another repository's is not its."""
    async with stand(standing=None) as on:
        await on.at_once("a", "b")
        await on.later(10.0)
        assert on.pool.ready == 0
        await on.at_once("c", "d")
        await on.later()
        assert on.pool.ready == 2
        await on.open("e", repository="other")
        assert on.backend.claimed == []


async def test_nothing_is_kept_for_what_nobody_asked_for_lately() -> None:
    """Not even the minimum, but of what everybody may want."""
    async with stand(standing=None, warm_min=1) as on:
        await on.open("a")
        await on.later(10.0)
        await on.open("b")
        await on.later()
        assert on.pool.ready == 1
        await on.later(MEMORY_S)
        assert (on.pool.ready, on.backend.warm) == (0, set())
    async with stand(warm_min=2, warm_max=3) as on:
        await on.later()
        assert on.pool.ready == 2


async def test_warm_ones_give_way_where_there_is_no_room() -> None:
    """They and those that somebody has are never more than a runner may have open."""
    async with stand(warm_min=2, max_workspaces=3) as on:
        await on.later()
        for number, (holder, ready) in enumerate([("a", 2), ("b", 1), ("c", 0)], start=1):
            await on.open(holder)
            await on.later()
            assert (on.pool.ready, len(on.backend.warm)) == (ready, ready)
            assert number + ready <= 3


async def test_a_refusal_for_want_of_room_frees_what_is_only_ready() -> None:
    """So that whoever comes again finds it; and so does a full disk."""
    async with stand(standing=None) as on:
        for holder in ("a", "b"):
            await on.open(holder)
            await on.later(10.0)
        assert on.pool.ready == 1
        on.backend.full.append(ResourceExhausted("exceeded quota"))
        with pytest.raises(ResourceExhausted):
            await on.open("c", repository="other")
        await on.later(1.0)
        assert on.backend.warm == set()
        await on.later(11.0)
        assert on.pool.ready == 1
        on.backend.is_cramped = True
        assert on.pool.cramped()
        await on.later(30.0)
        assert on.backend.warm == set()


async def test_one_on_its_way_is_waited_for() -> None:
    """It is nearer to being ready than one that is begun now."""
    async with stand(warm_min=1) as on:
        on.backend.open.clear()
        await on.later()
        opening = asyncio.create_task(on.open("a"), name="opening")  # noqa: TID251 -- ended below
        await on.later()
        on.backend.open.set()
        await opening
        assert (on.backend.claimed, on.backend.filled) == (["w-1"], [])


async def test_who_waits_and_is_called_off_takes_none_along() -> None:
    """What it waited for goes; nobody would find it again."""
    async with stand(warm_min=1, warm_max=1) as on:
        on.backend.open.clear()
        await on.later()
        opening = asyncio.create_task(on.open("a"), name="opening")  # noqa: TID251 -- ended below
        await on.later()
        opening.cancel()
        await asyncio.wait([opening])
        on.backend.open.set()
        await on.later()
        assert "w-1" not in on.backend.warm
        assert on.pool.ready == 1


async def test_one_that_is_gone_is_nobodys() -> None:
    """Whoever would have had it gets another one, and a look replaces it before anybody asks."""
    async with stand(warm_min=1) as on:
        await on.later()
        on.backend.dead.add("w-1")
        await on.open("a")
        assert len(on.backend.filled) == 1
        await on.later()
        on.backend.dead.add(f"w-{on.backend.tries}")
        await on.later()
        assert (on.pool.ready, on.backend.warm) == (1, {f"w-{on.backend.tries}"})


async def test_an_old_one_is_replaced() -> None:
    """Before its backend ends it by itself."""
    async with stand(warm_min=1) as on:
        await on.later()
        await on.later(WARM_S)
        assert on.backend.warm == {"w-2"}


async def test_a_cluster_that_refuses_is_left_alone_for_a_while() -> None:
    """Whoever asks meanwhile hears why; then it is tried again."""
    async with stand(warm_min=1) as on:
        on.backend.fails.append(Unavailable("away"))
        await on.later(1.0)
        await on.later(2.0)
        assert (on.backend.tries, on.pool.ready) == (1, 0)
        await on.later(10.0)
        assert on.pool.ready == 1


async def test_a_predecessors_are_claimed_first() -> None:
    """They are kept as if they had been asked for, and their age counts from when they were made."""
    left = tuple(Warm(kind=ANY, name=f"left-{n}", age_s=WARM_S - n) for n in (5, 600))
    async with stand(left=left) as on:
        await on.later(10.0)
        assert "left-600" in on.backend.warm
        assert "left-5" not in on.backend.warm
        await on.open("a")
        assert on.backend.claimed == ["left-600"]


async def test_the_pool_can_be_off() -> None:
    """Then the backend is as it is."""
    async with asyncio.TaskGroup() as group:
        backend = MemoryBackend(group)
        async with pooled(backend.serving(), settings=RunnerSettings(warm_max=0), clock=VirtualClock()) as made:
            assert made.name == backend.name
            assert not isinstance(made, Pool)
