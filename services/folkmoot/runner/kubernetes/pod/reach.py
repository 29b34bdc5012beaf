"""What can be reached from a workspace's pod: each address is tried at the same time, and what answered is said.

Argument: JSON `{"seconds": s, "tcp": [[host, port], …], "udp": [[host, port], …]}`; UDP is asked as a name server is.
Standard output: JSON, those of the addresses that answered, as `host:port`. A connection that is refused was not made:
what is tried is known to listen, and a refusal comes from whoever keeps us off.
"""

from __future__ import annotations

import _socket as socket  # without the names of `enum`, which cost as much as all other imports together
import errno
import select
import sys
import time

TYPE_CHECKING = False  # as mypy knows it; the import itself would cost milliseconds
if TYPE_CHECKING:
    from typing import Any

_QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"


def main() -> None:
    import json

    sys.stdout.write(json.dumps(tried(json.loads(sys.argv[1]))))


def tried(asked: dict[str, Any]) -> list[str]:
    """Sorted."""
    waiting: dict[socket.socket, str] = {}
    for kind in ("tcp", "udp"):
        for host, port in asked[kind]:
            begun = _begun(kind, host, port)
            if begun is not None:
                waiting[begun] = f"{host}:{port}"
    return sorted(_answered(waiting, asked["seconds"]))


def _begun(kind: str, host: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        if made.connect_ex((host, port)) not in (0, errno.EINPROGRESS):
            return None
        if kind == "udp":
            made.send(_QUERY)
    except OSError:
        return None
    return made


def _answered(waiting: dict[socket.socket, str], seconds: float) -> set[str]:
    until = time.monotonic() + seconds
    found = set()
    while waiting and (left := until - time.monotonic()) > 0:
        udp = [s for s in waiting if s.type == socket.SOCK_DGRAM]
        tcp = [s for s in waiting if s.type == socket.SOCK_STREAM]
        readable, writable, _ = select.select(udp, tcp, [], left)
        for made in [*readable, *writable]:
            name = waiting.pop(made)
            if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.add(name)
    return found


if __name__ == "__main__":
    main()
