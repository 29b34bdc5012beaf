"""Whether workspaces are kept off the network: tried from inside, since a cluster may ignore policies silently."""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from folkmoot.kernel.errors import Unavailable
from folkmoot.runner.command import Command
from folkmoot.runner.kubernetes import wire
from folkmoot.runner.kubernetes.pod import reach
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runtime.clock import Clock

Address = tuple[str, int]

_KUBELET = 10_250
_METADATA: Address = ("169.254.169.254", 80)
_DNS = 53
_TRIES_S = 15.0
"""A new pod may talk for its first seconds, until the policy has come to its node."""
_PAUSE_S = 0.2
AT_ONCE_S = 0.25
"""For an answer where the cluster is known to enforce policies: one that is open answers in milliseconds."""
CANARY_S = 3.5
"""A connection that some enforcer lets through late has tried twice by then."""


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    tcp: tuple[Address, ...]
    udp: tuple[Address, ...] = ()


def server_of(url: str) -> Address | None:
    """Of the API server, where its host is an address: pods have no names to ask for."""
    parts = urlsplit(url)
    return _address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def targets(server: str, node: str, also: Sequence[Address], *, resolvers: Sequence[str] = ()) -> Targets:
    """What no workspace may reach, and what is known to listen; an address of this machine's loopback is the pod's own
    there, and not tried."""
    tcp = [server_of(server), _address(node, _KUBELET), _METADATA, *(_address(h, p) for h, p in also)]
    udp = [_address(host, _DNS) for host in resolvers]
    return Targets(tcp=tuple(filter(None, tcp)), udp=tuple(filter(None, udp)))


def resolvers(text: str) -> list[str]:
    """Of a `resolv.conf`."""
    words = (line.split() for line in text.splitlines())
    return [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"]


def _address(host: str, port: int) -> Address | None:
    try:
        return None if ipaddress.ip_address(host).is_loopback else (host, port)
    except ValueError:
        return None


def gate(wanted: Targets) -> bytes:
    """An order to a watcher: nothing comes to it before it says that nothing answers."""
    asked = {"seconds": AT_ONCE_S, "tcp": wanted.tcp, "udp": wanted.udp}
    return wire.gate(asked, patience_s=_TRIES_S, pause_s=_PAUSE_S)


async def reached(room: PodRoom, wanted: Targets, seconds: float) -> list[str]:
    """Those that answered, as `host:port`. Raises Unavailable when the probe fails, and what running it raises."""
    asked = json.dumps({"seconds": seconds, "tcp": wanted.tcp, "udp": wanted.udp})
    argv = ("python3", "-I", "-S", "-c", Path(reach.__file__).read_text("utf-8"), asked)
    said = bytearray()

    async def keep(_: str, piece: bytes) -> None:
        said.extend(piece)

    ended = await room.run(Command(argv=argv, cwd="/", timeout_s=seconds + 20.0), keep)
    if not ended.end.ok:
        raise Unavailable(f"the network of a workspace cannot be tried: {said.decode('utf-8', 'replace')[-500:]}")
    found: list[str] = json.loads(said)
    return found


async def closed(room: PodRoom, wanted: Targets, clock: Clock) -> None:
    """Returns once nothing answers any more. Raises Unavailable when something still does after a while."""
    await shut(lambda: reached(room, wanted, AT_ONCE_S), clock)


async def shut(ask: Callable[[], Awaitable[list[str]]], clock: Clock) -> None:
    """The same, by what tells those that answer."""
    until = clock.monotonic() + _TRIES_S
    while open_ := await ask():
        if clock.monotonic() > until:
            raise Unavailable(f"a new workspace still reaches {', '.join(open_)}: it is not handed out")
        await clock.sleep(_PAUSE_S)
