"""One command in one bubblewrap sandbox: the argv (pure), and the process tree seen from outside.

Knows nothing of repositories. Every command gets fresh namespaces; when its first process ends, or a limit is hit, the
kernel kills whatever is left in them. Memory and processes are watched besides being limited: RLIMIT_AS would refuse
Go and Node, which reserve far more than they use, and RLIMIT_NPROC does not bind sandboxes that must run as root.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import platform
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.local import launcher, watch
from folkmoot.runner.local.groups import Group, Groups
from folkmoot.runner.local.pipes import Pipes, descriptors, feed, reader
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

UID = 65534
"""Inside; and group. Nobody, as everywhere."""
TMP_BYTES = 512 * 1024**2
SHM_BYTES = 64 * 1024**2
_PIECE = 256 * 1024
_SIGNALS = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 24, 25, 31})
"""bwrap says 128+n for signal n. Not 1: git says 129 for a wrong use of it."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the sandbox's file system; a later one covers an earlier one."""

    kind: str
    """`ro` and `rw` bind `source`; `tmpfs`; `link` to `source`; `overlay` over `source`, writes go to `upper`."""
    target: str
    source: str = ""
    size: int = 0
    """Bytes of a tmpfs."""
    upper: str = ""
    work: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    processes: int
    open_files: int
    file_bytes: int
    memory_bytes: int
    """Resident, of the whole tree."""
    disk_bytes: int
    """Of `Profile.charged`."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of sandbox: everything but the command."""

    bwrap: Path
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    limits: Limits
    charged: Path
    """The folder whose size counts as disk."""
    prefix: tuple[str, ...] = ()
    """A program and its arguments that becomes bwrap as another user: `Stage.prefix`."""
    locked: bool = False
    """Commands begin behind Landlock, where the kernel has it: `launcher.locking`."""
    groups: Groups | None = None
    """That the kernel counts commands by, where it lets us."""
    mark: str = ""
    """By which the next runner knows a sandbox of this one that was left: `orphans.mark`."""

    @classmethod
    def plain(
        cls, bwrap: Path, mounts: tuple[Mount, ...], *, charged: Path, prefix: tuple[str, ...], locked: bool = False
    ) -> "Profile":
        """For a small command of ours, without a workspace."""
        limits = Limits(processes=64, open_files=256, file_bytes=2**20, memory_bytes=2**30, disk_bytes=2**30)
        return cls(
            bwrap=bwrap,
            mounts=mounts,
            environment={},
            limits=limits,
            charged=charged,
            prefix=prefix,
            locked=locked,
        )


_NAMESPACES = ("user", "ipc", "pid", "net", "uts", "cgroup")


def arguments(
    profile: Profile, command: Command, *, status: int, filter_: int, group: Group | None = None
) -> list[str | bytes]:
    """bwrap's argv, in `group`; the numbers are inherited descriptors."""
    return [
        *(group.entrance if group is not None else ()),
        *profile.prefix,
        str(profile.bwrap),
        *(f"--unshare-{name}" for name in _NAMESPACES),
        "--disable-userns",
        *("--uid", str(UID), "--gid", str(UID), "--hostname", "workspace", "--cap-drop", "ALL"),
        *("--new-session", "--die-with-parent", "--clearenv"),
        *("--json-status-fd", str(status), "--seccomp", str(filter_)),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 -- inside
        *("--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108 -- inside
        *(part for mount in profile.mounts for part in _mounted(mount)),
        # /proc too: to a runner that is root, /proc/sys would be writable without any capability.
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
        # After --clearenv it unsets nothing: the one argument that bwrap carries and does not act upon.
        *(("--unsetenv", profile.mark) if profile.mark else ()),
        *_begun_by(profile, command),
    ]


def _begun_by(profile: Profile, command: Command) -> list[str | bytes]:
    limits = _rlimits(profile.limits)
    if not profile.locked:
        limited = launcher.limiting(limits, command.environment, command.argv)
        return [*_environment(profile.environment), "--chdir", command.cwd, "--", *limited]
    writable = (*launcher.WRITABLE, *(m.target for m in profile.mounts if m.kind in ("rw", "overlay")))
    environment = {**profile.environment, **command.environment}
    locked = launcher.locking(platform.machine(), limits, tuple(dict.fromkeys(writable)), environment, command.argv)
    return ["--chdir", command.cwd, "--", *locked]


def _mounted(mount: Mount) -> list[str]:
    match mount.kind:
        case "ro":
            return ["--ro-bind", mount.source, mount.target]
        case "rw":
            return ["--bind", mount.source, mount.target]
        case "link":
            return ["--symlink", mount.source, mount.target]
        case "tmpfs":
            return ["--size", str(mount.size), "--tmpfs", mount.target]
        case "overlay":
            return ["--overlay-src", mount.source, "--overlay", mount.upper, mount.work, mount.target]
    raise AssertionError(f"no such mount: {mount.kind}")


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [part for name, value in variables.items() for part in ("--setenv", name, value)]


async def run(profile: Profile, command: Command, sink: Sink) -> Ended:
    """Run to the end, whatever end that is; cancelling ends the whole tree.

    Raises Misconfigured when this machine cannot make the sandbox, WorkspaceLost when the sandbox broke, InvalidInput
    for an argv that is too long.
    """
    with descriptors() as pipes:
        # Not to be cancelled: a child of which bwrap has not told yet would stay for ever, half set up.
        starting = asyncio.get_running_loop().create_task(_begun(profile, command, sink, pipes), name="sandbox")
        try:
            begun = await asyncio.shield(starting)
            return await begun.to_end()
        finally:
            await asyncio.wait([starting])
            if not starting.exception():
                await starting.result().gone()


async def _started(profile: Profile, command: Command, pipes: Pipes, group: Group | None) -> asyncio.subprocess.Process:
    status, filter_ = pipes.theirs
    argv = arguments(profile, command, status=status, filter_=filter_, group=group)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if command.stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=pipes.theirs,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise InvalidInput(
                "argv", "is longer than this machine takes, by itself or with the environment"
            ) from error
        raise Misconfigured(f"{profile.bwrap} does not start: {error.strerror}") from error
    pipes.close(*pipes.theirs)
    return process


async def _begun(profile: Profile, command: Command, sink: Sink, pipes: Pipes) -> "_Run":
    """Returns once bwrap has told of its child, or has ended without one."""
    group = _grouped(profile)
    try:
        process = await _started(profile, command, pipes, group)
        try:
            status = await reader(os.dup(pipes.status))
        except OSError:
            _kill(process)
            raise
    except BaseException:
        _left(profile, group)
        raise
    told = await status.readline()
    run = _Run(process, status, profile, command, sink, began=bool(told))
    run.group = group
    return run


def _left(profile: Profile, group: Group | None) -> None:
    if group is not None and profile.groups is not None:
        profile.groups.remove(group)


def _grouped(profile: Profile) -> Group | None:
    """None where the kernel lets us no more: then the watch counts alone, as it does elsewhere."""
    limits = profile.limits
    if profile.groups is None:
        return None
    try:
        return profile.groups.made(limits.memory_bytes + TMP_BYTES + SHM_BYTES, limits.processes)
    except OSError as error:
        log.warning("no control group: %s", error, extra={"action": "sandbox"})
        return None


class _Run:
    """One command under way."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        status: asyncio.StreamReader,
        profile: Profile,
        command: Command,
        sink: Sink,
        *,
        began: bool,
    ) -> None:
        self._process = process
        self._status = status
        self._began = began
        self._profile = profile
        self._command = command
        self._sink = sink
        self._limit = ""
        self._truncated = False
        self._complaint = b""
        self.group: Group | None = None

    async def to_end(self) -> Ended:
        started = time.monotonic()
        timer = asyncio.get_running_loop().call_later(self._command.timeout_s, self.end, "time")
        try:
            last = await self._converse()
        finally:
            timer.cancel()
        end = self._judged(last, time.monotonic() - started)
        return Ended(end=end, truncated=self._truncated)

    def end(self, limit: str) -> None:
        """A limit was hit: everything in the sandbox dies."""
        self._limit = self._limit or limit
        _kill(self._process)

    async def gone(self) -> None:
        """Ends what is left of it, and returns once nothing is."""
        _kill(self._process)
        await self._process.wait()
        for stream in filter(None, (self._process.stdout, self._process.stderr)):
            await stream.read()  # what nobody heard: behind it asyncio closes the pipe
        _left(self._profile, self.group)

    async def _converse(self) -> bytes:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch(), name="limits")
            feeder = group.create_task(feed(self._process, self._command.stdin), name="stdin")
            group.create_task(self._pump("stdout", self._process.stdout), name="stdout")
            group.create_task(self._pump("stderr", self._process.stderr), name="stderr")
            await self._process.wait()
            watcher.cancel()
            feeder.cancel()
        return await self._status.read()

    async def _pump(self, name: str, stream: asyncio.StreamReader) -> None:
        room = self._command.output_limit
        while piece := await stream.read(_PIECE):
            if name == "stderr" and len(self._complaint) < 1_000:
                self._complaint += piece[:1_000]
            self._truncated |= len(piece) > room
            if room and piece:
                await self._sink(name, piece[:room])
            room = max(0, room - len(piece))

    async def _watch(self) -> None:
        limit = await watch.exceeded(
            self._process.pid,
            self._profile.charged,
            memory_bytes=self._profile.limits.memory_bytes,
            processes=self._profile.limits.processes,
            disk_bytes=self._profile.limits.disk_bytes,
        )
        self.end(limit)

    def _judged(self, last: bytes, seconds: float) -> CommandEnd:
        if self._limit == watch.CRAMPED or (not self._limit and watch.cramped(self._profile.charged)):
            raise WorkspaceLost("the disk of the workspaces is full")
        if self._limit:
            return CommandEnd(exit_code=None, limit=self._limit, duration_s=seconds)
        code = _exit_code(last)
        if code != 0 and self.group is not None and self.group.starved:
            return CommandEnd(exit_code=None, limit="memory", duration_s=seconds)
        if code is None:
            raise self._broken()
        if code - 128 in _SIGNALS:
            return CommandEnd(exit_code=None, signal=code - 128, duration_s=seconds)
        return CommandEnd(exit_code=code, duration_s=seconds)

    def _broken(self) -> Misconfigured | WorkspaceLost:
        said = self._complaint.decode("utf-8", "replace").strip() or "no word from bwrap"
        return WorkspaceLost(f"the sandbox broke: {said}") if self._began else Misconfigured(explained(said))


def explained(complaint: str) -> str:
    """What bwrap said, and what a person can do about it."""
    hint = "see `moot doctor`"
    if "userns" in complaint or "user namespace" in complaint or "uid map" in complaint:
        hint = (
            "unprivileged user namespaces are forbidden here: as root, `sysctl -w kernel.unprivileged_userns_clone=1 "
            "user.max_user_namespaces=10000`; with AppArmor (Ubuntu 23.10 and later) `sysctl -w "
            "kernel.apparmor_restrict_unprivileged_userns=0` or a profile for bwrap; in a container, run it with "
            "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`"
        )
    return f"no isolation for workspaces: {complaint}; {hint}"


def _rlimits(limits: Limits) -> dict[str, int]:
    return {
        "nproc": limits.processes,
        "nofile": limits.open_files,
        "fsize": limits.file_bytes,
        "core": 0,
        "memlock": 64 * 1024,
    }


def _exit_code(status: bytes) -> int | None:
    for line in status.splitlines():
        document = json.loads(line)
        if "exit-code" in document:
            return int(document["exit-code"])
    return None


def _kill(process: asyncio.subprocess.Process) -> None:
    """First bwrap's child, whose death is that of its pid namespace: --die-with-parent holds only once it is set up."""
    children = watch.children(process.pid) if process.returncode is None else []
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def collected(profile: Profile, command: Command) -> tuple[Ended, bytes, bytes]:
    """`run`, with both streams in memory."""
    streams = {"stdout": bytearray(), "stderr": bytearray()}

    async def keep(name: str, piece: bytes) -> None:
        streams[name] += piece

    ended = await run(profile, command, keep)
    return ended, bytes(streams["stdout"]), bytes(streams["stderr"])
