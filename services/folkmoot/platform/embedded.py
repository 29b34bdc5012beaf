"""The embedded platform: real NATS, real Ray, real services, as one process tree on loopback. One per data folder."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Misconfigured
from folkmoot.kernel.events import timestamp
from folkmoot.platform.archive import retention
from folkmoot.platform.children import PASSED_ON, Family, Recast, Recipe, as_written, family
from folkmoot.platform.place import PlatformInfo, erase, find, locked, wait_for_the_dead, write
from folkmoot.platform.space import Complaints, keep_writable
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.nats import ensure_topology
from folkmoot.runtime.log.server import free_port, new_passwords, server_argv, server_config
from folkmoot.runtime.ray import remove_session
from folkmoot.runtime.settings import Settings, inherited, variables

SERVICES = ("planning", "runner", "context", "orchestrator")
GIVEN_UP_S = 2.0
"""What ends before it was ever up gets this long."""

Say = Callable[[str], None]


@asynccontextmanager
async def running(
    settings: Settings, *, rehearsal_script: Path | None = None, on_event: Say, recast: Recast = as_written
) -> AsyncIterator[PlatformInfo]:
    """Start everything, yield when all answer, stop everything at the end.

    Raises FailedPrecondition when one runs on this data folder already, Misconfigured when a part does not start.
    """
    folder = settings.data_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    await wait_for_the_dead(folder)
    with locked(folder) as lock:
        shutil.rmtree(folder / "logs", ignore_errors=True)
        async with family(folder, last=("ray", "nats"), recast=recast) as children:
            async with _given_up_quickly(children, folder):
                info = await _start(children, settings, rehearsal_script, on_event, lock)
            write(folder, info)
            try:
                async with beside(retention.keep(settings, info.nats, SystemClock()), name="retention"):
                    yield info
            finally:
                erase(folder)
                on_event("stopping")


async def serve(settings: Settings, on_event: Say, *, recast: Recast = as_written) -> None:
    """`moot up`: until SIGINT or SIGTERM. Tests recast its parts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, on_event=on_event, recast=recast):
        await stop.wait()


async def detach(settings: Settings) -> PlatformInfo:
    """`moot up --detach`: a process of its own; returns when it is ready. Raises Misconfigured with its words,
    FailedPrecondition when one is up, or on its way, whose words must stay."""
    folder = settings.data_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    await wait_for_the_dead(folder)
    with locked(folder):
        pass
    words = folder / "platform.log"
    with words.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "folkmoot.platform",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=inherited(*PASSED_ON) | variables(settings),
            start_new_session=True,
        )
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(process.wait(), name="the platform's end")
        while not gone.done():
            info = find(settings)
            if info is not None and info.pid == process.pid:
                gone.cancel()
                return info
            await asyncio.wait([gone], timeout=0.1)
    raise Misconfigured(last_words(words.read_text("utf-8", "replace")))


def last_words(log: str) -> str:
    """What a platform that did not come up says to a person: its sentence, without what it logged before."""
    lines = log.strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("{")) or log or "the platform ended without a word"


# --- starting ----------------------------------------------------------------------------------------------------


async def _start(children: Family, settings: Settings, script: Path | None, say: Say, lock: int) -> PlatformInfo:
    """Ray takes longest, so it begins first; everything else comes up beside it."""
    agents = msgspec.structs.replace(settings.agents, ray_address=f"127.0.0.1:{free_port()}")
    settings = msgspec.structs.replace(settings, agents=agents)
    ray = children.start(_ray(settings))
    log_passwords = new_passwords()
    nats_url = await _start_nats(children, settings, log_passwords, lock)
    say("the log is up")
    if script is not None:
        settings = await _start_rehearsal(children, settings, script)
        say("the rehearsal model is up")
    settings = _with_endpoints(settings, nats_url)
    metrics = _metrics(settings.telemetry.metrics_listen)
    starting = [children.start(_service(n, _measured(settings, metrics.get(n, "")), log_passwords)) for n in SERVICES]
    for child in (*starting, ray):
        await child.ready()
        say(f"{child.recipe.name} is up")
    return msgspec.structs.replace(_info(settings), metrics=metrics)


@asynccontextmanager
async def _given_up_quickly(children: Family, folder: Path) -> AsyncIterator[None]:
    """Who gives up a start waits for nobody: no caller was told where the services are, and what they took up from
    earlier times is kept in the log, which alone ends in peace."""
    up = False
    try:
        yield
        up = True
    finally:
        if not up:
            await children.stop([n for n in children.kept if n != "nats"], drain_s=GIVEN_UP_S)
            remove_session(folder)


async def _start_nats(children: Family, settings: Settings, passwords: dict[str, str], lock: int) -> str:
    """The server holds the platform's lock too: two servers on one folder would write over each other."""
    port = free_port()
    config = server_config(settings.data_folder / "nats", port=port, passwords=passwords)
    recipe = Recipe(name="nats", argv=server_argv(config), env=inherited(*PASSED_ON), announces=False, keeps=(lock,))
    server = children.start(recipe)
    children.attend("disk of the log", keep_writable(config.parent, Complaints(server.log_file), server.restart))
    url = f"nats://127.0.0.1:{port}"
    await ensure_topology(
        msgspec.structs.replace(settings.log, url=url, user="platform", password=passwords["platform"])
    )
    return url


async def _start_rehearsal(children: Family, settings: Settings, script: Path) -> Settings:
    listen = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-P", "-m", "folkmoot.rehearsal", "--script", str(script), "--listen", listen]
    child = children.start(Recipe(name="rehearsal", argv=argv, env=_environment()))
    url = (await child.ready())["url"]
    model = msgspec.structs.replace(settings.model, url=url, name="rehearsal", api_key="")
    return msgspec.structs.replace(settings, model=model)


def _ray(settings: Settings) -> Recipe:
    """Its environment is that of every worker, so no secret belongs there: agents get theirs when they are made."""
    argv = [sys.executable, "-P", "-m", "folkmoot.runtime.ray"]
    agents = msgspec.structs.replace(settings.agents, log_password="")
    return Recipe(name="ray", argv=argv, env=_environment() | variables(Settings(data=settings.data, agents=agents)))


def _service(name: str, settings: Settings, passwords: dict[str, str]) -> Recipe:
    """Each with its own user on the bus; the model's key is known to who calls models: the orchestrator's agents, and
    planning's coach and planner."""
    log = msgspec.structs.replace(settings.log, user=name, password=passwords[name])
    grpc = msgspec.structs.replace(settings.grpc, listen=getattr(settings.grpc, name))
    keeps_key = name in ("orchestrator", "planning")
    model = settings.model if keeps_key else msgspec.structs.replace(settings.model, api_key="")
    actors = passwords["agents"] if name == "orchestrator" else ""
    agents = msgspec.structs.replace(settings.agents, log_password=actors)
    own = msgspec.structs.replace(settings, log=log, grpc=grpc, model=model, agents=agents)
    argv = [sys.executable, "-P", "-m", f"folkmoot.{name}"]
    return Recipe(name=name, argv=argv, env=_environment() | variables(own))


def _environment() -> dict[str, str]:
    return inherited(*PASSED_ON) | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def _with_endpoints(settings: Settings, nats_url: str) -> Settings:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in SERVICES}
    grpc = msgspec.structs.replace(settings.grpc, token=secrets.token_urlsafe(32), **addresses)
    return msgspec.structs.replace(settings, grpc=grpc, log=msgspec.structs.replace(settings.log, url=nats_url))


def _metrics(listen: str) -> dict[str, str]:
    """The named port and those behind it; for port 0 free ones."""
    host, _, port = listen.rpartition(":")
    chosen = {name: int(port) + n if int(port) else free_port() for n, name in enumerate(SERVICES)} if listen else {}
    return {name: f"{host}:{number}" for name, number in chosen.items()}


def _measured(settings: Settings, listen: str) -> Settings:
    telemetry = msgspec.structs.replace(settings.telemetry, metrics_listen=listen)
    return msgspec.structs.replace(settings, telemetry=telemetry)


def _info(settings: Settings) -> PlatformInfo:
    return PlatformInfo(
        pid=os.getpid(),
        started_at=timestamp(datetime.now(UTC)),
        planning=settings.grpc.planning,
        orchestrator=settings.grpc.orchestrator,
        context=settings.grpc.context,
        runner=settings.grpc.runner,
        nats=settings.log.url,
        token=settings.grpc.token,
        model_url=settings.model.url,
        model_name=settings.model.name,
    )
