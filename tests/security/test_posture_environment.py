"""What a set-up is and has, and what a command has of its environment: a command's posture, and one or two mounts."""

import json
from pathlib import Path
from typing import Any

from folkmoot.runner.environment import profile
from folkmoot.runner.environment.profile import SOCKET, TARGET
from folkmoot.runner.local.toolchain import Toolchains, environment
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures.workspace import bench, toolchains
from tests.security.abuse.posture import ASK, STATUS
from tests.security.test_posture import DEVICES, WRITABLE

__all__ = ["toolchains"]

CONFIG = '[environment]\nset = "base"\nlock = ["ask.py"]\nsetup = "python3 ask.py >/opt/environment/said"\n'


async def test_posture(tmp_path: Path, toolchains: Toolchains) -> None:
    """No right, namespace or interface more than a command has. A set-up has a folder to write in and the socket of the
    proxy, and no objects of the repository; a command that folder read-only, nosuid and nodev, and no socket."""
    files: dict[str, bytes | str] = {"README.md": "x\n", ".moot.toml": CONFIG, "ask.py": ASK}
    settings = RunnerSettings(setup_hosts="packages.example")
    async with bench(tmp_path, toolchains, files=files, settings=settings) as runner:
        await runner.registry.prepare(runner.base)
        workspace = await runner.workspace()
        set_up = json.loads((await workspace.run(["cat", f"{TARGET}/said"])).stdout)
        command = json.loads((await workspace.run(["python3", "-c", ASK])).stdout)
    shown = {mount.target for mount in toolchains.mounts if mount.kind in ("ro", "tmpfs")}
    hidden = {mount.target for mount in toolchains.mounts if mount.kind == "tmpfs"}
    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    common = shown | devices | WRITABLE | {"/", "/proc", "/dev", TARGET}
    for seen, places, written in (
        (set_up, common | {SOCKET}, WRITABLE | devices | hidden | {TARGET}),
        (command, common | {"/base.git"}, WRITABLE | devices | hidden),
    ):
        assert _statuses(seen) == [STATUS] * 3
        assert (seen["interfaces"], seen["devices"]) == (["lo"], [*DEVICES, "zero"])
        assert {m[0] for m in seen["mounts"]} == places
        assert {m[0] for m in seen["mounts"] if m[1] == "rw"} == written
        assert {m[0] for m in seen["mounts"] if not m[2]} == set(), "nosuid"
        assert {m[0] for m in seen["mounts"] if not m[3]} == devices | {"/dev/pts"}, "nodev"
    plain, trusted = environment(toolchains), Path(profile.AUTHORITIES).is_file()
    way_out = profile.setting_up(plain, venv=False, online=True, trusted=trusted)
    assert set_up["environment"] == way_out | {"PWD": "/workspace"}
    assert command["environment"] == profile.seen(plain, venv=False) | {"PWD": "/workspace"}


def _statuses(seen: dict[str, Any]) -> list[dict[str, Any]]:
    """But for groups: nobody's only."""
    assert all(set(status["Groups"]) <= {"65534"} for status in seen["status"])
    return [{name: value for name, value in status.items() if name != "Groups"} for status in seen["status"]]
