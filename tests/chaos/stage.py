"""A platform that faults are played on: behind a proxy, on small disks of its own, with a model that can be killed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from folkmoot.platform.place import PlatformInfo
from folkmoot.rehearsal.script import dump
from folkmoot.runtime.log.server import free_port
from tests.chaos import processes, tales
from tests.chaos.arena import Arena
from tests.chaos.faults import DISKS, LEASE_S
from tests.chaos.proxy import Address, Proxy
from tests.fixtures.disk import Ballast, CannotMount, ballast, mounted
from tests.fixtures.platform import Moot

ROOT = Path(__file__).parents[2]
UP_S = 600.0
"""Longest time until a platform is up, all its parts one after the other; docs/performance.md says the usual one."""
STARTS = 3
DOWN_S = 90.0
DISK_BYTES = {"log": 512 * 1024**2, "workspaces": 128 * 1024**2}
SETTINGS = {
    "FOLKMOOT_LOG_ACK_WAIT_S": f"{LEASE_S:g}",
    # Faults are denser here than anywhere: what gives up after three of them elsewhere goes on.
    "FOLKMOOT_LOG_MAX_DELIVER": "200",
    "FOLKMOOT_ORCHESTRATOR_MAX_ATTEMPTS": "50",
    "FOLKMOOT_MODEL_TIMEOUT_S": "6",
    "FOLKMOOT_MODEL_ATTEMPTS": "20",
    "FOLKMOOT_MODEL_BACKOFF_MAX_S": "1",
    "FOLKMOOT_ORCHESTRATOR_CHECK_TIMEOUT_S": "120",
}


class Stage:
    """Built by `staged`. `folder` may be read by all: sandboxes run as nobody."""

    def __init__(self, folder: Path, proxy: Proxy, disks: dict[str, Path], no_disks: str) -> None:
        self.folder = folder
        self.proxy = proxy
        self.disks = disks
        """Mount point by name; empty where nothing can be mounted."""
        self.no_disks = no_disks
        """Why not."""
        self.moot = Moot(folder / "data")
        self.moot.env.update(SETTINGS)
        self.clocks = folder / "clocks"
        self.clocks.mkdir()
        self.model_address = f"127.0.0.1:{free_port()}"
        self._platform: Process | None = None
        self._rising = asyncio.Lock()
        self._model: Process | None = None
        self.words = folder / "platform.log"

    @property
    def info(self) -> PlatformInfo:
        return self.moot.info

    @property
    def arena(self) -> Arena:
        return Arena(self.moot, self.folder, f"http://{self.model_address}/v1")

    # --- the platform -------------------------------------------------------------------------------------------

    async def up(self) -> None:
        """Raises AssertionError with its last words. Tried more than once: Ray may not start on a crowded machine."""
        for _ in range(STARTS - 1):
            with suppress(AssertionError):
                await self._up()
                return
        await self._up()

    async def _up(self) -> None:
        argv = [sys.executable, "-P", "-m", "tests.chaos.launch", str(self.proxy.port), str(self.clocks)]
        with self.words.open("ab") as log:
            self._platform = process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self.moot.env | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        async with asyncio.timeout(UP_S):
            while not self._is_up(process.pid):
                assert process.returncode is None, f"it does not start: {self.words.read_text('utf-8')[-2000:]}"
                await asyncio.sleep(0.05)

    async def again(self, *, hard: bool) -> None:
        """Ended, and up again; when two want that at once, one brings it up. Raises as `up` and `down`."""
        await (self.kill() if hard else self.down())
        async with self._rising:
            if self.part("platform") is None:
                await self.up()

    async def down(self) -> None:
        """In good order; raises TimeoutError when it does not end."""
        assert self._platform is not None
        with suppress(ProcessLookupError):
            self._platform.terminate()
        async with asyncio.timeout(DOWN_S):
            await self._platform.wait()

    async def kill(self) -> None:
        assert self._platform is not None
        with suppress(ProcessLookupError):
            self._platform.kill()
        await self._platform.wait()

    def _is_up(self, pid: int) -> bool:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            return self.info.pid == pid
        return False

    # --- the model ----------------------------------------------------------------------------------------------

    async def model_up(self) -> None:
        script = self.folder / "script.yaml"
        script.write_text(dump(tales.script()), "utf-8")
        argv = ["-m", "folkmoot.rehearsal", "--script", str(script), "--listen", self.model_address]
        self._model = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=subprocess.PIPE)
        assert self._model.stdout is not None
        assert json.loads(await self._model.stdout.readline())["url"]

    async def model_down(self) -> None:
        if self._model is not None:
            with suppress(ProcessLookupError):
                self._model.kill()
            await self._model.wait()

    # --- its parts ----------------------------------------------------------------------------------------------

    def part(self, name: str) -> processes.Process | None:
        """The process of that name as it runs now; None while there is none."""
        if name == "model":
            return processes.of(self._model.pid) if self._model else None
        if name == "platform":
            return processes.of(self._platform.pid) if self._platform else None
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            if name.startswith("orchestrator"):
                mark = f"FOLKMOOT_CLOCK_SHIFT_FILE={self.clocks / name}"
                found = [p for p in processes.family(self.info.pid) if processes.MARKS["orchestrator"] in p.command]
                return next((p for p in found if mark in processes.environment(p.pid)), None)
            return processes.part_or_none(self.info, name)
        return None

    def jump(self, service: str, by_s: float) -> None:
        (self.clocks / service).write_text(f"{by_s:g}", "utf-8")

    def filled(self, disk: str) -> AbstractContextManager[Ballast]:
        return ballast(self.disks[disk])

    def leftovers(self) -> list[str]:
        """Of a platform that is down: processes that know its folder, Ray's session, mounts other than ours."""
        left = [f"{p.pid} {p.command[:100]}" for p in processes.everyone() if self._belongs(p)]
        left += [f"workspace {p}" for p in (self.moot.data / "runner" / "workspaces").iterdir()]
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
        ours = {str(path) for path in self.disks.values()}
        left += [m for m in mounts if str(self.folder) in m and m.split()[4] not in ours]
        note = self.moot.data / "ray" / "session"
        return left + ([f"Ray's session {note.read_text('utf-8')}"] if note.exists() else [])

    def _belongs(self, process: processes.Process) -> bool:
        if process.pid in (os.getpid(), self._model.pid if self._model else 0):
            return False
        return str(self.moot.data) in process.command or str(self.moot.data) in processes.environment(process.pid)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """A stage with nothing up yet; at the end nothing of it runs and nothing is mounted. `folder` is there, empty."""
    folder.chmod(0o755)
    data = folder / "data"
    places = {"log": data / "nats", "workspaces": data / "runner" / "workspaces"}
    data.mkdir(mode=0o700)
    for place in places.values():
        place.mkdir(parents=True, mode=0o711)
    async with contextlib.AsyncExitStack() as stack:
        disks, problem = stack.enter_context(_mounted(places))
        proxy = await stack.enter_async_context(Proxy(lambda: _server(data)).serving())
        stage = Stage(folder, proxy, disks, problem)
        tales.write_repositories(folder / "repositories")
        stack.push_async_callback(stage.model_down)
        yield stage


@contextmanager
def _mounted(places: dict[str, Path]) -> Iterator[tuple[dict[str, Path], str]]:
    """A small file system at each place; none, and why, where this process may not mount."""
    with contextlib.ExitStack() as stack:
        problem = ""
        try:
            for name in DISKS:
                stack.enter_context(mounted(places[name], DISK_BYTES[name]))
        except CannotMount as error:
            problem = str(error)
        yield ({}, problem) if problem else (places, "")


def _server(data: Path) -> Address:
    """Where nats-server listens: it chooses anew with each start of the platform. Raises OSError, ValueError."""
    host, _, port = json.loads((data / "nats" / "nats.conf").read_text("utf-8"))["listen"].rpartition(":")
    return host, int(port)
