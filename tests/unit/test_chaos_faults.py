"""The sequence of faults: from a seed, complete, and the same again."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

from tests.chaos import processes
from tests.chaos.faults import HOLDERS, VICTIMS, Kind, drawn, short_form
from tests.chaos.processes import Process
from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage

PAIRS = sum(len(victims) for victims in VICTIMS.values())


def test_a_seed_is_a_sequence() -> None:
    """The same seed draws the same faults, a longer sequence begins with the shorter one, another seed differs."""
    assert drawn("7.3", 120) == drawn("7.3", 120)
    assert drawn("7.3", 120)[:40] == drawn("7.3", 40)
    assert drawn("7.3", 40) != drawn("7.4", 40)
    assert short_form("7") == short_form("7")


def test_every_pair_of_kind_and_victim_comes_before_any_comes_again() -> None:
    """So a thousand faults hold each of them about equally often."""
    faults = drawn("1", 2 * PAIRS)
    for part in (faults[:PAIRS], faults[PAIRS:]):
        assert len({(f.kind, f.victim) for f in part}) == PAIRS
    assert all(b.number == a.number + 1 for a, b in pairwise(faults))


def test_the_short_form_has_every_kind() -> None:
    """Whatever the seed."""
    for seed in map(str, range(20)):
        faults = short_form(seed)
        assert {f.kind for f in faults} == set(Kind)
        assert {f.victim for f in faults if f.kind is Kind.DISK} == {"log", "workspaces"}
        assert {f.victim for f in faults if f.kind is Kind.KILL} == set(HOLDERS)
        assert all(f.seconds >= 6 for f in faults if f.kind is Kind.FREEZE), "longer than the lease of 5 s"


class Standing(Stage):
    """A platform of which only is known whether it is up."""

    ups = 0
    alive = True

    async def up(self) -> None:
        self.ups += 1
        await asyncio.sleep(0)
        self.alive = True

    async def kill(self) -> None:
        self.alive = False

    down = kill

    def part(self, name: str) -> Process | None:
        assert name == "platform"
        return processes.of(os.getpid()) if self.alive else None


async def test_a_platform_that_two_faults_end_at_once_comes_up_once(tmp_path: Path) -> None:
    """A second one would find its folder taken."""
    stage = Standing(tmp_path, Proxy(lambda: ("127.0.0.1", 1)), {}, "")
    async with asyncio.TaskGroup() as group:
        for hard in (False, True):
            group.create_task(stage.again(hard=hard), name=f"hard: {hard}")
    assert (stage.ups, stage.alive) == (1, True)
