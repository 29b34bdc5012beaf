"""Supervised processes: ends are seen, the dead come back, nothing outlives the family."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import Misconfigured
from folkmoot.platform.children import STOP_S, Child, Family, Recipe, family
from folkmoot.runtime.process import session
from folkmoot.runtime.settings import inherited

READY = 'import json, sys; print(json.dumps({"address": "here"}), flush=True)\n'
FOR_EVER = "import signal; signal.pause()\n"
GRANDCHILD = "import subprocess; subprocess.Popen(['sleep', '100'])\n"


@pytest.fixture
async def kin(tmp_path: Path) -> AsyncIterator[Family]:
    """A family that ends with the test."""
    async with family(tmp_path, last=()) as started:
        yield started


def recipe(*script: str) -> Recipe:
    return Recipe(name="one", argv=[sys.executable, "-c", "".join(script)], env=inherited("PATH"))


async def _until(condition: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- a process tells nobody
            await asyncio.sleep(0.02)


async def _replaced(child: Child) -> None:
    dead = child.pid
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    await _until(lambda: child.pid != dead)


async def test_a_dead_child_comes_back_though_what_it_left_holds_its_output(kin: Family) -> None:
    """Its end is seen when it ends, and not when everything that it started has ended; that is ended too."""
    child = kin.start(recipe(GRANDCHILD, READY, FOR_EVER))
    assert await child.ready() == {"address": "here"}
    leader = child.pid
    assert leader is not None
    await _replaced(child)
    assert _session(leader) == []


async def test_a_child_that_is_given_up_is_not_waited_for(kin: Family) -> None:
    """One that takes its time to end is killed when the time that it was given is over."""
    child = kin.start(recipe("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", READY, FOR_EVER))
    await child.ready()
    leader = child.pid
    assert leader is not None
    async with asyncio.timeout(STOP_S / 2):
        await kin.stop(["one"], drain_s=0.1)
    assert _session(leader) == []


async def test_a_child_that_hangs_on_its_second_start_is_started_again(kin: Family, tmp_path: Path) -> None:
    """It has as long to become ready as the first time."""
    flag = tmp_path / "starts"
    hang = (
        f"open({str(flag)!r}, 'a').write('x')\nif len(open({str(flag)!r}).read()) == 2: import signal; signal.pause()\n"
    )
    child = kin.start(msgspec.structs.replace(recipe(hang, READY, FOR_EVER), ready_s=5.0))
    await child.ready()
    await _replaced(child)
    await _until(lambda: len(flag.read_text()) == 3)


async def test_a_child_that_does_not_start_is_said_with_its_last_words(kin: Family) -> None:
    """After a few tries."""
    child = kin.start(recipe("import sys; sys.exit('no such thing')"))
    with pytest.raises(Misconfigured, match="no such thing"):
        await child.ready()


async def test_nothing_outlives_the_family(tmp_path: Path) -> None:
    """Also what a child left running in its session."""
    async with family(tmp_path, last=()) as kin:
        child = kin.start(recipe(GRANDCHILD, READY, FOR_EVER))
        await child.ready()
        leader = child.pid
    assert leader is not None
    assert _session(leader) == []


def _session(leader: int) -> list[int]:
    entries = [e for e in Path("/proc").iterdir() if e.name.isdecimal()]
    return [int(e.name) for e in entries if session(e) == leader and _lives(e)]


def _lives(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
