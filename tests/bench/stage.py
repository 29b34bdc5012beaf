"""The scene of all measurements: a trivial repository, a model that answers at once, a platform that is up."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.platform.demo.material import Material, write_repository
from folkmoot.platform.place import PlatformInfo
from folkmoot.rehearsal.script import Call, Script, Turn, dump
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.settings import LogSettings
from tests.fixtures.platform import Moot

TEST = "sh tests.sh"
"""It names no file that agents change: what it names is protected."""
CHECK = "grep -q moot greeting.txt"
AGENTS = 3
CALLS = 4
"""Of each agent to its model: read, write, commit, submit."""

MATERIAL = Material(
    name="greeting",
    title="Greet the moot",
    text="greeting.txt has to greet the moot.",
    checks=(CHECK,),
    files={
        "greeting.txt": "hello\n",
        "tests.sh": "test -s greeting.txt\n",
        ".moot.toml": f'[tests]\ncommand = "{TEST}"\nreport = ""\n',
    },
)


def script(latency_s: float) -> Script:
    """Each agent does the same work with another word in it, so that no candidate is another's copy."""
    parts = {f"part-{n}": {"propose": _turns(n)} for n in range(1, AGENTS + 1)}
    cast = {f"dev-{n}": f"part-{n}" for n in range(1, AGENTS + 1)}
    return Script(behaviours=parts, agents=cast, latency_s=latency_s)


def _turns(number: int) -> tuple[Turn, ...]:
    greeting = f"the moot is greeted, {'again ' * number}and well\n"
    calls = (
        Call(tool="read_file", arguments={"path": "greeting.txt"}),
        Call(tool="write_file", arguments={"path": "greeting.txt", "content": greeting}),
        Call(tool="commit", arguments={"message": "Greet"}),
        Call(tool="submit", arguments={"summary": "It greets."}),
    )
    return tuple(Turn(calls=(call,)) for call in calls)


def model(folder: Path, latency_s: float) -> AbstractContextManager[str]:
    """URL of a rehearsal model in a process of its own."""
    return playing(folder / f"model-{latency_s}.yaml", script(latency_s))


@contextmanager
def playing(file: Path, played: Script) -> Iterator[str]:
    """URL of a model that plays it; `file` is written."""
    file.write_text(dump(played), "utf-8")
    argv = [sys.executable, "-m", "folkmoot.rehearsal", "--script", str(file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def repository(folder: Path) -> Path:
    """Written once per folder."""
    place = folder / "greeting"
    if not place.exists():
        write_repository(place, MATERIAL)
    return place


def task(place: Path, model_url: str) -> pb.Task:
    return pb.Task(
        title=MATERIAL.title,
        text=MATERIAL.text,
        repository=str(place),
        checks=MATERIAL.checks,
        agents=AGENTS,
        model_url=model_url,
        model="rehearsal",
    )


def wish(place: Path, model_url: str) -> list[str]:
    """`moot solve` for the same task."""
    check = ["--check", CHECK, "--agents", str(AGENTS)]
    return ["solve", MATERIAL.text, "--repo", str(place), *check, "--model-url", model_url, "--model", "rehearsal"]


def moot(folder: Path) -> Moot:
    """On a data folder of its own, with the settings that people have."""
    command = Moot(folder)
    command.env = {n: v for n, v in command.env.items() if not n.startswith("FOLKMOOT_")} | {
        "FOLKMOOT_DATA": str(folder)
    }
    return command


@contextmanager
def standing(folder: Path) -> Iterator[Moot]:
    """A platform that is up, on a data folder of its own."""
    command = moot(folder)
    with up(command):
        yield command


@contextmanager
def up(command: Moot) -> Iterator[None]:
    started = command("up", "--detach")
    if started.code:
        raise SystemExit(f"the platform does not start: {started.err}")
    try:
        yield
    finally:
        command("down")


@asynccontextmanager
async def bus(command: Moot, user: str = "orchestrator") -> AsyncIterator[NatsBus]:
    async with connect(log_settings(command, user), source=f"/bench/{uuid.uuid4().hex[:6]}", clock=SystemClock()) as it:
        yield it


def log_settings(command: Moot, user: str) -> LogSettings:
    """With the password that the supervisor wrote for the server."""
    users = json.loads((command.data / "nats" / "nats.conf").read_text("utf-8"))["authorization"]["users"]
    info: PlatformInfo = command.info
    return LogSettings(url=info.nats, user=user, password=next(u["password"] for u in users if u["user"] == user))


def machine() -> str:
    """Cores, and how busy they were: a load above the cores says that the figures are too high."""
    return f"{os.cpu_count() or 1} cores, load {os.getloadavg()[0]:.1f} at the end"
