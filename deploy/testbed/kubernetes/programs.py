"""Builds the Go programs, once for each content of their sources: Kubernetes in one, and what pods start with.

Where they lie is named after their sources, the modules they are made of (go.sum) and Go itself.
"""

import functools
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.shared import Failed, key, locked, needs, run

HERE = Path(__file__).resolve().parent / "go"
_GO = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}


def kubernetes(built: Path) -> Path:
    """The program that is any part of Kubernetes by its first argument. Raises Failed."""
    parts = [HERE / name for name in ("go.mod", "go.sum", "main.go")]
    return program(built, "kubernetes", HERE, ".", _content(parts), f"-s -w {_versions()}")


def pause(built: Path) -> Path:
    """What every pod starts with. Raises Failed."""
    return program(built, "pause", HERE, "./pause", _content([HERE / "pause/main.go"]))


def have(built: Path) -> bool:
    """Whether nothing long is left to build."""
    parts = [HERE / name for name in ("go.mod", "go.sum", "main.go")]
    return shutil.which("go") is not None and _place(built, "kubernetes", _content(parts)).is_file()


def program(
    built: Path,
    name: str,
    folder: Path,
    package: str,
    content: list[bytes],
    flags: str = "-s -w",
    prepare: Callable[[Path], None] = lambda _: None,
) -> Path:
    """The program made of `package` in `folder`, which `prepare` readies; older ones are removed. Raises Failed."""
    needs(("go",), "build the test bed")
    place = _place(built, name, content)
    with locked(built / f"{name}.lock"):
        if not place.is_file():
            prepare(folder)
            _build(place, folder, package, flags)
        for old in built.glob(f"{name}-*"):
            if old != place.parent:
                shutil.rmtree(old)
    return place


def _place(built: Path, name: str, content: list[bytes]) -> Path:
    return built / f"{name}-{key(_go_version(), *content)}" / name


@functools.cache
def _go_version() -> str:
    return go("version", cwd=HERE)


def _build(place: Path, folder: Path, package: str, flags: str) -> None:
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent.parent, prefix=".new-") as scratch:
        draft = Path(scratch) / "draft"
        go("build", "-trimpath", "-ldflags", flags, "-o", draft / place.name, package, cwd=folder)
        draft.rename(place.parent)


def go(*arguments: object, cwd: Path) -> str:
    """What the go command says. Raises Failed."""
    return run("go", *arguments, cwd=cwd, extra=_GO)


def _content(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def _versions() -> str:
    """The linker's flags that let Kubernetes know which one it is."""
    found = re.search(
        r"^\tk8s\.io/kubernetes v((\d+)\.(\d+)\.\d+)$", (HERE / "go.mod").read_text("utf-8"), re.MULTILINE
    )
    if not found:
        raise Failed("go.mod names no version of k8s.io/kubernetes")
    whole, major, minor = found.groups()
    values = {"gitVersion": f"v{whole}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())
