"""Makes a workspace's image without an engine: a tree of Debian packages (mmdebstrap), finished, as one layer."""

import os
import platform
import tempfile
from pathlib import Path

from deploy.images import oci
from deploy.images.workspaces import context
from deploy.shared import Failed, cache, locked, needs, run, tree_key

USER = "65534:65534"
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d/debian.sources"))
_LEFT_OUT = ("doc", "info", "locale", "man")
_KEY = "?" * 16
_EPOCH = "1700000000"
"""Times in the tree are cut to it: the same packages give the same digest."""


def image(name: str) -> oci.Image:
    """Of that set, made now unless the same one lies in the cache. Raises Failed."""
    place = cache() / "images"
    with locked(place / f"{name}.lock"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "context"
        context.write(context.recipe(name), folder)
        key = tree_key(folder, platform.machine(), _release(), *_configuration()["Env"])
        archive = place / f"{name}-{key}.tar"
        return oci.noted(archive) or _make(name, folder, archive)


def made(name: str) -> oci.Image | None:
    """That set in the cache, as it was made last."""
    archives = sorted((cache() / "images").glob(f"{name}-{_KEY}.tar"), key=lambda p: p.stat().st_mtime)
    return oci.noted(archives[-1]) if archives else None


def _make(name: str, folder: Path, archive: Path) -> oci.Image:
    if os.geteuid():
        raise Failed("an image of Debian packages is made by root alone")
    needs(("mmdebstrap",), "make an image of Debian packages (`apt-get install mmdebstrap`)")
    layer = folder.parent / "layer.tar"
    _tree(folder, layer)
    found = oci.write(archive, f"localhost/folkmoot/workspace-{name}:1", layer, _configuration())
    oci.note(found)
    for old in archive.parent.glob(f"{name}-{_KEY}.*"):
        if old.stem != archive.stem:
            old.unlink()
    return found


def _tree(folder: Path, layer: Path) -> None:
    packages = (folder / "packages.txt").read_text("utf-8").split()
    run(
        "mmdebstrap",
        *("--variant=minbase", "--mode=root", f"--include={','.join(packages)}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _LEFT_OUT),
        f'--customize-hook={folder / "finish.sh"} "$1" {folder}',
        *(_release(), layer, *_sources()),
        extra={"SOURCE_DATE_EPOCH": _EPOCH},
    )


def _configuration() -> dict[str, list[str] | str]:
    return {
        "User": USER,
        "WorkingDir": "/workspace",
        "Env": [f"{name}={value}" for name, value in context.environment().items()],
        "Cmd": ["sleep", "infinity"],
    }


def _release() -> str:
    """Debian's code name for what this machine runs. Raises Failed on another system."""
    lines = dict(line.split("=", 1) for line in _os_release().splitlines() if "=" in line)
    if lines.get("ID") != "debian":
        raise Failed("images are made from this machine's Debian packages, and this is no Debian")
    return lines["VERSION_CODENAME"].strip('"')


def _os_release() -> str:
    path = Path("/etc/os-release")
    return path.read_text("utf-8") if path.is_file() else ""


def _sources() -> list[Path]:
    """Where this machine itself gets Debian's packages from."""
    found = [path for path in _SOURCES if path.is_file() and path.read_text("utf-8").strip()]
    if not found:
        raise Failed(f"no sources of Debian packages in {' or '.join(map(str, _SOURCES))}")
    return found
