"""Whether this machine can isolate workspaces: tried, not guessed."""

import os
import platform
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FolkmootError, Misconfigured
from folkmoot.runner.command import Command
from folkmoot.runner.local import launcher, seccomp
from folkmoot.runner.local.sandbox import Mount, Profile, collected
from folkmoot.runner.local.stage import Stage, staged
from folkmoot.runner.local.toolchain import Toolchains, discover, environment
from folkmoot.runtime.settings import RunnerSettings

_TIMEOUT_S = 30.0
_ASK = """set -e
grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t\\n'
unshare -U true 2>/dev/null && printf ' nested' || printf ' flat'
printf ' %s' $(grep -c : /proc/net/dev)
[ -w /proc/sys/kernel/core_pattern ] && printf ' sysctl' || true
"""
_ASK_LOCK = f"{{ echo x >/wall/x; }} 2>/dev/null && echo none || {launcher.PERL} -e 'print syscall(444, 0, 0, 1)'"
_EXPECTED = "CapEff:0000000000000000NoNewPrivs:1Seccomp:2 flat 1"
_PROGRAMS = ("git", "python", "pytest", "rg", "go", "node")
_WANTED = {"git": True, "python": True, "pytest": True, "rg": True, "go": False, "node": False}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    text: str
    mend: str = ""
    """How to get what is missing; nothing fails for it."""


async def require(toolchains: Toolchains, folder: Path, *, uid: int = RunnerSettings().sandbox_uid) -> None:
    """Raises Misconfigured that says what is missing and how to get it."""
    async with staged(toolchains, uid=uid) as stage:
        finding = await _isolation(stage, await stage.toolchains(toolchains), folder)
    if not finding.ok:
        raise Misconfigured(finding.text)


async def probe(folder: Path, *, uid: int = RunnerSettings().sandbox_uid) -> list[Finding]:
    """For `moot doctor`; `folder` is the runner's own, `<data>/runner`. Never raises."""
    try:
        toolchains = discover(folder)
    except (FolkmootError, OSError) as error:
        return [Finding(name="isolation", ok=False, text=str(error))]
    async with staged(toolchains, uid=uid) as stage:
        shown = await stage.toolchains(toolchains)
        isolation = await _isolation(stage, shown, folder)
        if not isolation.ok:
            return [isolation]
        programs = [await _program(stage, shown, folder, name) for name in _PROGRAMS]
        return [isolation, identity(stage), *await walls(stage, shown, folder), *programs]


def identity(stage: Stage) -> Finding:
    """As whom sandboxes run, seen from outside."""
    if stage.doubt:
        text = f"sandboxes run as root, which is behind every wall but one: {stage.doubt}; run the runner as a user"
        return Finding(name="sandbox user", ok=False, text=text)
    return Finding(name="sandbox user", ok=True, text=f"uid {os.getuid() if stage.uid is None else stage.uid}")


async def walls(stage: Stage, toolchains: Toolchains, folder: Path) -> list[Finding]:
    """Those behind the first, of a machine that has isolation: what holds, and what a missing one means."""
    return [_filter(), await _landlock(stage, toolchains, folder), _memory(stage), _disk()]


def _filter() -> Finding:
    text = f"{seccomp.refusals(platform.machine())} system calls and all but four kinds of sockets are refused"
    return Finding(name="wall: seccomp", ok=True, text=text)


async def _landlock(stage: Stage, toolchains: Toolchains, folder: Path) -> Finding:
    """Tried with a place that the mounts let a command write, and the lock does not."""
    name, means = "wall: Landlock", "only mounts keep a command from writing outside of its folders"
    if not toolchains.locked:
        return Finding(name=name, ok=False, text=f"{launcher.PERL} is missing: {means}", mend="install perl")
    mount = Mount(kind="tmpfs", target="/wall", size=4_096)
    opened = msgspec.structs.replace(toolchains, mounts=(*toolchains.mounts, mount))
    try:
        seen = await _said(stage, opened, folder, ("sh", "-c", _ASK_LOCK))
    except FolkmootError as error:
        return Finding(name=name, ok=False, text=f"{error}: {means}")
    if not seen.isdecimal():
        mend = "a kernel of 5.13 or newer with `landlock` among its `lsm=`; `cat /sys/kernel/security/lsm` lists them"
        return Finding(name=name, ok=False, text=f"this kernel has none: {means}", mend=mend)
    return Finding(name=name, ok=True, text=f"commands are locked into their folders (generation {seen})")


def _memory(stage: Stage) -> Finding:
    if stage.groups is not None:
        text = "the kernel bounds the memory and the processes of each command (control groups, first version)"
        return Finding(name="wall: memory", ok=True, text=text)
    text = (
        "a command's processes and their memory are counted ten times a second, files without a name twice; no "
        "control group bounds what happens in between, or the kernel's own memory for a command's pipes and sockets"
    )
    mend = "run the runner itself in a container or a systemd unit with a memory limit, at best 1.5 times as large"
    return Finding(name="wall: memory", ok=False, text=text, mend=mend)


def _disk() -> Finding:
    text = (
        "a workspace's files are added up while commands run, twice a second or less often where there are many: in "
        "between it can exceed its limit by what the disk writes in that time"
    )
    mend = "put the data folder on a file system of its own: a full one stops workspaces and nothing else"
    return Finding(name="wall: disk", ok=False, text=text, mend=mend)


async def _isolation(stage: Stage, toolchains: Toolchains, folder: Path) -> Finding:
    try:
        seen = await _said(stage, toolchains, folder, ("sh", "-c", _ASK))
    except FolkmootError as error:
        return Finding(name="isolation", ok=False, text=str(error))
    if seen != _EXPECTED:
        text = f"no isolation for workspaces: inside is {seen[:200]!r}, expected {_EXPECTED!r}"
        return Finding(name="isolation", ok=False, text=text)
    return Finding(name="isolation", ok=True, text=f"workspaces run in {toolchains.bwrap}")


async def _program(stage: Stage, toolchains: Toolchains, folder: Path, name: str) -> Finding:
    found = await _said(stage, toolchains, folder, ("sh", "-c", 'command -v "$1" || true', "sh", name))
    text = found or f"{name} is not on this machine: repositories that need it cannot be tested"
    return Finding(name=name, ok=bool(found) or not _WANTED[name], text=text)


async def _said(stage: Stage, toolchains: Toolchains, folder: Path, argv: tuple[str, ...]) -> str:
    plain = Profile.plain(
        toolchains.bwrap, toolchains.mounts, charged=folder / "etc", prefix=stage.prefix, locked=toolchains.locked
    )
    profile = msgspec.structs.replace(plain, environment=environment(toolchains))
    _, stdout, _ = await collected(profile, Command(argv=argv, cwd="/", timeout_s=_TIMEOUT_S))
    return stdout.decode("utf-8", "replace").strip()
