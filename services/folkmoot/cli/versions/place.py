"""Where a restored file goes, on the host: only where the caller says, and over nothing that would be lost."""

import os
import tempfile
from pathlib import Path

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.repository import located
from folkmoot.kernel.errors import InvalidInput


def write(path: str, to: Path | None, content: bytes, *, executable: bool, force: bool) -> tuple[Path, bool]:
    """Where it is now, and whether it was not so already. Without `to` it is `path` in the repository that one stands
    in. Raises InvalidInput, Stopped."""
    place = to.expanduser().absolute() if to else _inside(Path(located(".")), path)
    if place.is_dir():
        raise InvalidInput("--to" if to else "PATH", f"{place} is a folder")
    if _is_so(place, content, executable=executable):
        return place, False
    if not force and (place.exists() or place.is_symlink()):
        raise Stopped(Code.USAGE, f"{place} is something else now", "`--force` writes over it; `--to FILE` beside it")
    place.parent.mkdir(parents=True, exist_ok=True)
    _replace(place, content, 0o755 if executable else 0o644)
    return place, True


def _inside(top: Path, path: str) -> Path:
    """No link on the way leads out of `top`, and none into its `.git`."""
    place = top / path
    parent = place.parent.resolve()
    inside = parent.is_relative_to(top.resolve()) and ".git" not in parent.relative_to(top.resolve()).parts
    if Path(path).is_absolute() or ".." in Path(path).parts or not inside or place.name == ".git":
        raise InvalidInput("PATH", f"{path[:200]!r} leads out of {top}: `--to FILE` writes elsewhere")
    return place


def _is_so(place: Path, content: bytes, *, executable: bool) -> bool:
    if place.is_symlink() or not place.is_file():
        return False
    return place.read_bytes() == content and bool(place.stat().st_mode & 0o100) == executable


def _replace(place: Path, content: bytes, mode: int) -> None:
    """Whole, or as it was; a link is replaced and not followed."""
    handle, draft = tempfile.mkstemp(prefix=".moot-", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).chmod(mode)
        Path(draft).replace(place)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
