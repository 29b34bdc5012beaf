"""Whether this machine can isolate workspaces: tried, not guessed."""

import os
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FolkmootError, Misconfigured
from folkmoot.runner.command import Command
from folkmoot.runner.local.sandbox import Profile, collected
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
_EXPECTED = "CapEff:0000000000000000NoNewPrivs:1Seccomp:2 flat 1"
_PROGRAMS = ("git", "python", "pytest", "rg", "go", "node")
_WANTED = {"git": True, "python": True, "pytest": True, "rg": True, "go": False, "node": False}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    text: str


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
        return [isolation, identity(stage), *programs]


def identity(stage: Stage) -> Finding:
    """As whom sandboxes run, seen from outside."""
    if stage.doubt:
        text = f"sandboxes run as root, which is behind every wall but one: {stage.doubt}; run the runner as a user"
        return Finding(name="sandbox user", ok=False, text=text)
    return Finding(name="sandbox user", ok=True, text=f"uid {os.getuid() if stage.uid is None else stage.uid}")


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
    plain = Profile.plain(toolchains.bwrap, toolchains.mounts, charged=folder / "etc", prefix=stage.prefix)
    profile = msgspec.structs.replace(plain, environment=environment(toolchains))
    _, stdout, _ = await collected(profile, Command(argv=argv, cwd="/", timeout_s=_TIMEOUT_S))
    return stdout.decode("utf-8", "replace").strip()
