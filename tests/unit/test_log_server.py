"""The embedded server's configuration."""

import json
from pathlib import Path

import pytest

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.log.server import new_passwords, server_argv, server_config
from folkmoot.runtime.log.topology import USERS


def test_only_its_owner_reads_the_passwords(tmp_path: Path) -> None:
    """Also when the file was there before with other rights."""
    path = tmp_path / "nats.conf"
    path.touch(mode=0o644)
    assert server_config(tmp_path, port=4222, passwords=new_passwords()) == path
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_server_listens_on_loopback_and_syncs_always(tmp_path: Path) -> None:
    """An acknowledged event survives a power failure; nobody outside reaches the port; everybody has a password."""
    config = json.loads(server_config(tmp_path, port=4222, passwords=new_passwords()).read_text())
    assert config["listen"] == "127.0.0.1:4222"
    assert config["jetstream"] == {"store_dir": str(tmp_path), "sync_interval": "always"}
    users = config["authorization"]["users"]
    assert [user["user"] for user in users] == [user.name for user in USERS]
    assert len({user["password"] for user in users}) == len(USERS)
    assert "no_auth_user" not in config


def test_a_user_without_password_is_refused(tmp_path: Path) -> None:
    """An empty password would be an open door."""
    with pytest.raises(Misconfigured, match="runner"):
        server_config(tmp_path, port=4222, passwords=new_passwords() | {"runner": ""})


def test_the_server_is_started_with_its_file_only(tmp_path: Path) -> None:
    """No password stands on a command line."""
    config = server_config(tmp_path, port=4222, passwords=new_passwords())
    binary, *rest = server_argv(config)
    assert Path(binary).name == "nats-server"
    assert rest == ["--config", str(config)]
