"""Attacks on a workspace: tried for real, refused, and nothing outside changed."""

import asyncio
import contextlib
import os
import sys
from contextlib import aclosing
from pathlib import Path

import grpc
import msgspec
import pytest

from folkmoot.kernel.errors import AlreadyExists, InvalidInput, NotFound, PermissionDenied, Unauthenticated
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.workspace import Bench, bench, runner, toolchains, workspace

__all__ = ["runner", "toolchains", "workspace"]

REFUSED = {
    "write to the system": "test -w /usr/bin || test -w /usr/bin/env",
    "write to the root": "test -w /",
    "write to etc": "test -w /etc || test -w /etc/passwd",
    "write to a device folder": "test -w /dev",
    "write to base's objects": "find /base.git -writable | grep .",
    "write to our Python": "find /opt -writable -not -type l | grep .",
    "kernel settings": "find /proc/sys /proc/irq -type f -writable 2>/dev/null | grep .",
    "sysrq": "test -w /proc/sysrq-trigger",
    "another process's environment": "cat /proc/1/environ | grep -a FOLKMOOT",
    "another root": "ls /proc/1/root/root/.ssh",
    "ssh keys": "ls ~/.ssh /root/.ssh /home/*/.ssh",
    "shadow": "cat /etc/shadow",
    "container sockets": "ls /var/run/docker.sock /run/containerd/containerd.sock",
    "cgroups": "test -w /sys/fs/cgroup",
    "make a device": "mknod dev b 8 0",
    "become root": "sudo -n true || su -c true",
    "mount": "mount -t tmpfs none /tmp",
    "nested user namespace": "unshare -U true",
    "network namespace": "unshare -n true",
    "enter a namespace": "nsenter -t 1 -m true",
    "change the host name": 'hostname "$(hostname)"',
    "change the clock": 'date -s "@$(date +%s.%N)"',
    "see processes beyond": "ls -d /proc/[0-9]* | grep -vE '^/proc/[0-9]$' | grep .",
}
"""Each would be harmless if it worked: writability is asked for, a value is set to what it is."""


@pytest.mark.parametrize("attack", REFUSED)
async def test_refused(workspace: GrpcWorkspace, attack: str) -> None:
    """The command fails."""
    done = await workspace.run(["sh", "-c", REFUSED[attack]])
    assert not done.end.ok, done.stdout


_PYTHON = {
    "tcp": "socket.create_connection(('1.1.1.1', 80), 1)",
    "ipv6": "socket.create_connection(('2606:4700:4700::1111', 80), 1)",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
    "metadata": "socket.create_connection(('169.254.169.254', 80), 1)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "name": "socket.getaddrinfo('example.org', 80)",
    "ptrace": "check(ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0))",
    "io_uring": "check(ctypes.CDLL(None, use_errno=True).syscall(425, 8, ctypes.create_string_buffer(200)))",
    "bpf": "check(ctypes.CDLL(None, use_errno=True).syscall(321, 0, 0, 0))",
}


@pytest.mark.parametrize("attack", _PYTHON)
async def test_refused_by_the_kernel(workspace: GrpcWorkspace, attack: str) -> None:
    """Network and the rarer parts of the kernel answer with an error."""
    head = "import socket, ctypes\ndef check(n):\n    if n < 0: raise OSError(ctypes.get_errno(), 'refused')\n"
    program = f"{head}try:\n    {_PYTHON[attack]}\nexcept OSError as error:\n    print('refused', error)\n"
    done = await workspace.run(["python", "-c", program], timeout_s=20)
    assert done.stdout.startswith(b"refused"), done


async def test_loopback_of_the_host_is_not_there(runner: Bench, workspace: GrpcWorkspace) -> None:
    """A port that listens on the host (here our own gRPC server) is closed inside."""
    server = runner.address.rpartition(":")[2]
    done = await workspace.run(["python", "-c", f"import socket; socket.create_connection(('127.0.0.1', {server}), 2)"])
    assert b"ConnectionRefused" in done.stderr


async def test_posture(workspace: GrpcWorkspace) -> None:
    """Capabilities, seccomp, identity, descriptors, devices and processes are the expected ones, and no more."""
    ask = (
        "grep -E '^(Uid|Gid|Cap...|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' ';"
        "ls -x /proc/self/fd; ls /dev | tr '\\n' ' '; echo; ls / | tr '\\n' ' '; echo; hostname"
    )
    done = await workspace.run(["sh", "-c", ask])
    zero = "0000000000000000"
    assert done.stdout.decode().split("\n")[:-1] == [
        "Uid: 65534 65534 65534 65534",
        "Gid: 65534 65534 65534 65534",
        *(f"{name}: {zero}" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "0  1  2  3",
        "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ",
        done.stdout.decode().split("\n")[-3],
        "workspace",
    ]


async def test_environment_is_exactly_the_expected_one(workspace: GrpcWorkspace, toolchains: Toolchains) -> None:
    """No variable of the runner's gets in."""
    from folkmoot.runner.local.toolchain import environment

    done = await workspace.run(["env", "-0"])
    seen = dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
    assert seen == environment(toolchains) | {"PWD": "/workspace"}


async def test_a_link_written_through_stays_inside(workspace: GrpcWorkspace, tmp_path: Path) -> None:
    """A link to a real file of the host reaches nothing, from any tool."""
    tripwire = tmp_path / "tripwire"
    tripwire.write_text("untouched")
    await workspace.run(["ln", "-s", str(tripwire), "link"])
    await workspace.run(["sh", "-c", "echo evil > link"])
    with pytest.raises(Exception, match="path"):
        await workspace.write("link", b"evil")
    with pytest.raises(Exception, match="path"):
        await workspace.read("link")
    assert tripwire.read_text() == "untouched"


async def test_a_folder_that_turns_into_a_link_shows_nothing(workspace: GrpcWorkspace, tmp_path: Path) -> None:
    """A file is read while the folder that it lies in is exchanged for a link to a folder of the host, and back."""
    (tmp_path / "secret").write_text("host")
    await workspace.run(["sh", "-c", 'mkdir real && echo mine >real/secret && ln -s "$1" link', "sh", str(tmp_path)])
    swap = "while :; do mv -T real d; mv -T d real; mv -T link d; mv -T d link; done"
    seen = []
    async with asyncio.TaskGroup() as group:
        swapping = group.create_task(workspace.run(["sh", "-c", swap], timeout_s=60))
        for _ in range(150):
            with contextlib.suppress(NotFound, InvalidInput):
                seen.append(await workspace.read("d/secret"))
        swapping.cancel()
    assert b"host" not in seen


async def test_hostile_git_runs_nothing_outside(runner: Bench, workspace: GrpcWorkspace, tmp_path: Path) -> None:
    """Hooks, fsmonitor, filters and start-up files run inside, if at all."""
    tripwire = tmp_path / "tripwire"
    evil = f"touch {tripwire}"
    await workspace.run(
        [
            "sh",
            "-c",
            (
                "for h in post-checkout pre-commit post-index-change reference-transaction; do mkdir -p .git/hooks; "
                'printf "#!/bin/sh\\n%s\\n" "$1" > .git/hooks/$h; chmod +x .git/hooks/$h; done; '
                'git config core.fsmonitor "$1"; git config core.sshCommand "$1"; git config filter.x.clean "$1"; '
                'echo "* filter=x" > .gitattributes; echo "$1" > ~/.profile; echo "$1" > ~/.bashrc; '
                "git add -A; git commit -qm evil --no-verify; rm -rf .git/hooks; git commit -qm evil --allow-empty; "
                "mkdir -p .git/hooks; cp /bin/true .git/hooks/post-checkout; true"
            ),
            "sh",
            evil,
        ]
    )
    await workspace.export_bundle(runner.commit)
    await workspace.close()
    assert not tripwire.exists()


async def test_outside_it_is_nobody(workspace: GrpcWorkspace, runner: Bench, tmp_path: Path) -> None:
    """A runner that is root runs the sandbox as the unprivileged user: its processes, its files, and no key of ours."""
    if os.getuid() != 0:
        pytest.skip("only root can choose a user")
    await workspace.write("mine", b"x")
    folder = runner.registry.folder / workspace.id
    assert (folder / "repo/mine").stat().st_uid == RunnerSettings().sandbox_uid
    async with aclosing(workspace.stream(["sh", "-c", "echo on; sleep 60; true", workspace.id])) as parts:
        await anext(aiter(parts))
        users = {uid for uid, argv in _processes() if workspace.id in argv}
    assert users == {RunnerSettings().sandbox_uid}
    for secret in (tmp_path / "runner/key", folder / "manifest.json"):
        assert (secret.stat().st_uid, secret.stat().st_mode & 0o077) == (0, 0)


def _processes() -> list[tuple[int, str]]:
    """User, seen from here, and arguments of everything that runs."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit():
                found.append((place.stat().st_uid, (place / "cmdline").read_text()))
    return found


async def test_memory_bomb(tmp_path: Path, toolchains: Toolchains) -> None:
    """Ends with the limit's name."""
    settings = RunnerSettings(memory_bytes=150_000_000)
    async with bench(tmp_path, toolchains, settings=settings) as small:
        bomb = "x = []\nwhile True: x.append(bytearray(b'x') * 5_000_000)"
        done = await (await small.workspace()).run(["python", "-c", bomb], timeout_s=30)
    assert done.end.limit == "memory"


async def test_fork_bomb(tmp_path: Path, toolchains: Toolchains) -> None:
    """Ends, refused by the kernel or by us, and the workspace is usable afterwards."""
    settings = RunnerSettings(processes=50)
    async with bench(tmp_path, toolchains, settings=settings) as small:
        workspace = await small.workspace()
        done = await workspace.run(
            ["sh", "-c", "i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done"], timeout_s=20
        )
        assert not done.end.ok
        assert (await workspace.run(["true"])).end.ok


async def test_disk_fill(tmp_path: Path, toolchains: Toolchains) -> None:
    """Ends with the limit's name; one file has its own cap."""
    settings = RunnerSettings(disk_bytes=20_000_000, file_bytes=10_000_000)
    async with bench(tmp_path, toolchains, settings=settings) as small:
        workspace = await small.workspace()
        one = await workspace.run(["sh", "-c", "head -c 15000000 /dev/zero > one"])
        assert not one.end.ok
        fill = "i=0; while true; do head -c 5000000 /dev/zero > f$i; i=$((i+1)); [ $i -lt 10 ] || sleep 1; done"
        done = await workspace.run(["sh", "-c", fill], timeout_s=30)
    assert done.end.limit == "disk"


async def test_tmp_is_bounded_and_private(workspace: GrpcWorkspace, runner: Bench) -> None:
    """What one call leaves in /tmp no other sees, and it is no more than its size."""
    await workspace.run(["sh", "-c", "echo secret > /tmp/s; echo secret > /dev/shm/s"])
    other = await runner.workspace()
    for each in (workspace, other):
        assert (await each.run(["sh", "-c", "ls -A /tmp /dev/shm"])).stdout == b"/dev/shm:\n\n/tmp:\n"


async def test_tokens(runner: Bench) -> None:
    """Another workspace's token, a made-up one, the service's: none opens this one."""
    mine, other = await runner.opened(), await runner.opened()
    ident = WorkspaceId(mine.workspace_id)
    for wrong in (other.token, "0" * 64, "the service's token"):
        intruder = GrpcWorkspace(runner.channel, workspace_id=ident, token=wrong)
        with pytest.raises(PermissionDenied):
            await intruder.run(["true"])
        with pytest.raises(PermissionDenied):
            await intruder.read("README.md")
    assert (await runner.holding(mine).run(["true"])).end.ok


async def test_opening_needs_the_services_token(runner: Bench) -> None:
    """An agent cannot open or list workspaces."""
    from folkmoot.api.workspace.v1 import workspace_pb2 as pb
    from folkmoot.runtime.grpc.client import credentials, mapped

    mine = await runner.opened()
    for call in (runner.stub.OpenWorkspace(pb.OpenWorkspaceRequest(), metadata=credentials(mine.token)),):
        with pytest.raises(Unauthenticated), mapped():
            await call
    with pytest.raises(grpc.aio.AioRpcError):
        await runner.stub.ListWorkspaces(pb.ListWorkspacesRequest(), metadata=credentials(mine.token))


async def test_a_reopened_workspace_is_empty_and_its_old_token_is_dead(runner: Bench) -> None:
    """Nothing of the previous user is there."""
    first = await runner.opened(holder="a")
    await runner.holding(first).write("left", b"x")
    await runner.holding(first).run(["sh", "-c", "echo x > ~/left"])
    await runner.holding(first).close()
    second = await runner.opened(holder="a")
    assert second.workspace_id == first.workspace_id
    assert (await runner.holding(second).run(["sh", "-c", "ls -A ~; ls left"])).stdout == b""
    with pytest.raises(PermissionDenied):
        await runner.holding(first).read("README.md")


async def test_another_content_under_the_same_name_is_refused(runner: Bench) -> None:
    """The same task, holder and attempt is the same workspace, or an error."""
    first = await runner.opened(holder="a")
    assert await runner.opened(holder="a", ttl_s=5.0) == first
    with pytest.raises(AlreadyExists):
        await runner.opened(holder="a", overlay=1)


async def test_an_expired_workspace_is_gone(tmp_path: Path, toolchains: Toolchains) -> None:
    """After its lease nobody gets in, and the sweeper removes it."""
    from folkmoot.runtime.clock import VirtualClock

    clock = VirtualClock()
    async with bench(tmp_path, toolchains, clock=clock) as timed:
        opened = await timed.opened(ttl_s=60.0)
        workspace = timed.holding(opened)
        assert (await workspace.run(["true"])).end.ok
        await clock.advance(61)
        with pytest.raises(WorkspaceLost):
            await workspace.run(["true"])
        assert await timed.registry.sweep() == [opened.workspace_id]
        assert list(timed.registry.folder.iterdir()) == []


async def test_trees_that_are_hard_to_remove_are_removed(runner: Bench, workspace: GrpcWorkspace) -> None:
    """Very deep, unreadable, odd names: closing leaves nothing."""
    deep = "import os\nfor _ in range(3000):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n"
    await workspace.run(["python", "-c", deep])
    await workspace.run(["sh", "-c", "mkdir -p locked/x; touch locked/x/y; chmod 000 locked/x locked; mkfifo p"])
    await workspace.close()
    assert list(runner.registry.folder.iterdir()) == []


async def test_no_token_on_disk(runner: Bench, tmp_path: Path) -> None:
    """The capability stands in no file, and the key is ours alone."""
    opened = await runner.opened()
    places = [p for p in (tmp_path / "runner").rglob("*") if p.is_file()]
    assert all(opened.token.encode() not in p.read_bytes() for p in places)
    assert (tmp_path / "runner/key").stat().st_mode & 0o077 == 0
    assert msgspec.json.decode((runner.registry.folder / opened.workspace_id / "manifest.json").read_bytes())
    assert sys.platform == "linux"
