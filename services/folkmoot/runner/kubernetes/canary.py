"""Before a runner serves: two workspaces of its own kind, which try what no workspace may do."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from folkmoot.kernel.errors import Misconfigured, NotFound, Unavailable
from folkmoot.runner.command import Command
from folkmoot.runner.kubernetes import network
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.cluster import Cluster
from folkmoot.runner.kubernetes.network import Address
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runtime.settings import Settings

log = logging.getLogger(__name__)

_DEADLINE_S = 300
_PORT = 8_123
_LISTEN_S = 60.0
_PROGRAMS = ("python3", "git", "tar", "sh", "find", "xargs", "head", "realpath", "rg", "pytest")
"""Of an image: what checking out, files, the agents' search and a repository without an environment need."""
_ENFORCE = "pod-security.kubernetes.io/enforce"
_LISTEN = """import socket,sys,time
s=socket.create_server(("0.0.0.0",int(sys.argv[1])))
print("listening",flush=True)
s.settimeout(float(sys.argv[2]))
while True: s.accept()
"""
_MISSING = 'for p in "$@"; do command -v "$p" >/dev/null || printf "%s " "$p"; done'


_ASK = """grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '
unshare -U true 2>/dev/null && printf nested || printf flat"""
WALLS = "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2 flat"
"""Around each command of a pod, as it sees them itself."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What two canaries found."""

    open: list[str]
    """Addresses that answered."""
    walls: str
    """`WALLS`, or what is there in place of them."""


async def trial(backend: Cluster, settings: Settings) -> Trial:
    """Raises Misconfigured where the image lacks a program, and whatever keeps a pod from running."""
    async with _canary(backend, 1) as first, _canary(backend, 2) as second:
        await _equipped(first)
        walls = (await _said(first, "sh", "-c", _ASK)).strip()
        return Trial(open=await _open(first, second, backend.api, settings), walls=walls)


async def require(backend: Cluster, settings: Settings) -> None:
    """Raises Misconfigured where the image lacks a program, or a workspace gets through to the network; Unavailable."""
    seen = await trial(backend, settings)
    if not seen.open:
        return
    problem = f"workspaces of this cluster reach {', '.join(seen.open)}: its NetworkPolicy is not there or not enforced"
    if not settings.kubernetes.allow_open_network_this_is_unsafe:
        raise Misconfigured(
            f"{problem}; install deploy/kubernetes and a network plugin that enforces policies, or set "
            "FOLKMOOT_KUBERNETES_ALLOW_OPEN_NETWORK_THIS_IS_UNSAFE"
        )
    log.warning("%s, and a setting says to serve all the same", problem, extra={"action": "network"})


async def secured(api: Api) -> None:
    """Raises Misconfigured for a namespace that would admit more than it should, or is not there; Unavailable."""
    try:
        labels = (await api.get("v1"))["metadata"].get("labels", {})
    except NotFound as error:
        raise Misconfigured(f"the cluster has no namespace {api.namespace}: install deploy/kubernetes") from error
    if labels.get(_ENFORCE) != "restricted":
        raise Misconfigured(
            f"the namespace {api.namespace} does not enforce Pod Security `restricted`: install deploy/kubernetes"
        )


@contextlib.asynccontextmanager
async def _canary(backend: Cluster, number: int) -> AsyncIterator[PodRoom]:
    room, jobs = backend.room(), backend.jobs
    name = f"moot-canary-{jobs.runner}-{number}"
    try:
        await backend.settle(room, await jobs.make_canary(name, deadline_s=_DEADLINE_S))
        yield room
    finally:
        await jobs.delete(name)


async def _equipped(room: PodRoom) -> None:
    missing = (await _said(room, "sh", "-c", _MISSING, "sh", *_PROGRAMS)).strip()
    if missing:
        raise Misconfigured(f"the image of workspaces lacks {missing}: see deploy/images/workspaces")


async def _said(room: PodRoom, *argv: str) -> str:
    """Raises Misconfigured for a command that fails."""
    said = bytearray()

    async def keep(_: str, piece: bytes) -> None:
        said.extend(piece)

    ended = await room.run(Command(argv=argv, cwd="/"), keep)
    if not ended.end.ok:
        raise Misconfigured(f"the image of workspaces lacks a shell: see deploy/images/workspaces; {said[-300:]!r}")
    return said.decode("utf-8", "replace")


async def _open(first: PodRoom, second: PodRoom, api: Api, settings: Settings) -> list[str]:
    """What answers the second canary, while the first one listens."""
    async with asyncio.TaskGroup() as group:
        listening = asyncio.Event()
        listener = group.create_task(_listens(first, listening), name="listener")
        try:
            async with asyncio.timeout(_LISTEN_S):
                await listening.wait()
            also = [(first.address, _PORT), *_ours(api.server, settings)]
            names = await asyncio.to_thread(_resolvers)
            wanted = network.targets(api.server, second.node, also, resolvers=names)
            return await network.reached(second, wanted, network.CANARY_S)
        finally:
            listener.cancel()


async def _listens(room: PodRoom, listening: asyncio.Event) -> None:
    async def heard(_: str, piece: bytes) -> None:
        if b"listening" in piece:
            listening.set()

    argv = ("python3", "-I", "-S", "-c", _LISTEN, str(_PORT), str(_LISTEN_S))
    await room.run(Command(argv=argv, cwd="/", timeout_s=_LISTEN_S), heard)
    if not listening.is_set():
        raise Unavailable("the canary that is to listen did not")


def _ours(server: str, settings: Settings) -> Sequence[Address]:
    """Our own ports, where the cluster would see them: the log's, on the address by which we reach the API server."""
    parts, log_ = urlsplit(server), urlsplit(settings.log.url)
    port = log_.port or 4222
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((parts.hostname or "", parts.port or 443))
        return [(log_.hostname or "", port), (str(probe.getsockname()[0]), port)]
    return [(log_.hostname or "", port)]


def _resolvers() -> list[str]:
    with contextlib.suppress(OSError):
        return network.resolvers(Path("/etc/resolv.conf").read_text("utf-8"))
    return []


def identity(folder: Path) -> str:
    """Of the runner of a data folder: tells its Jobs from another one's, for as long as the folder is there."""
    place = folder / "identity"
    if not place.is_file():
        draft = place.with_suffix(".new")
        draft.write_text(secrets.token_hex(8), "ascii")
        draft.replace(place)
    return place.read_text("ascii")
