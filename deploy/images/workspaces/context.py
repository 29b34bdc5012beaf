"""What goes into a workspace's image, as a folder: a build context for an engine, and what our own maker reads."""

import importlib.metadata
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from deploy.shared import Failed
from folkmoot.runner.local import toolchain

HERE = Path(__file__).resolve().parent
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""And all that it imports: pure Python, of the versions that a local sandbox has."""
TOOLS = ("rg", "ruff")
_PATH = (f"{toolchain.PYTHON}/bin", "/opt/tools", "/usr/local/bin", "/usr/bin", "/bin")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One library set."""

    packages: tuple[str, ...]
    extends: str = ""
    python_sees_packages: bool = False


def recipes() -> dict[str, Recipe]:
    """By name; each with all packages of those that it extends."""
    raw = msgspec.convert(tomllib.loads((HERE / "sets.toml").read_text("utf-8")), dict[str, Recipe])
    return {name: _whole(recipe, raw) for name, recipe in raw.items()}


def recipe(name: str) -> Recipe:
    """Raises Failed, with the names that there are."""
    known = recipes()
    if name not in known:
        raise Failed(f"no set is called {name!r}; there are: {', '.join(known)}")
    return known[name]


def _whole(recipe: Recipe, known: Mapping[str, Recipe]) -> Recipe:
    below = _whole(known[recipe.extends], known).packages if recipe.extends else ()
    return msgspec.structs.replace(recipe, packages=tuple(sorted({*below, *recipe.packages})))


def environment() -> dict[str, str]:
    """What a command in a local sandbox finds, with this image's folders on PATH."""
    inside = toolchain.Toolchains(bwrap=Path(), mounts=(), path=_PATH)
    return toolchain.environment(inside)


def write(recipe: Recipe, folder: Path) -> None:
    """Fill `folder`, which must not be there. Raises Failed where a tool of ours is not installed."""
    folder.mkdir(parents=True)
    (folder / "packages.txt").write_text("".join(f"{name}\n" for name in recipe.packages), "utf-8")
    (folder / "venv.txt").write_text("--system-site-packages\n" if recipe.python_sees_packages else "", "utf-8")
    shutil.copy2(HERE / "finish.sh", folder)
    (folder / "Dockerfile").write_text((HERE / "Dockerfile").read_text("utf-8") + "".join(_engine_lines()), "utf-8")
    (folder / "tools").mkdir()
    for name in TOOLS:
        shutil.copy2(_tool(name), folder / "tools" / name)
    for name in PYTEST:
        _copy(importlib.metadata.distribution(name), folder / "site-packages")


def _engine_lines() -> Iterator[str]:
    yield from (f'ENV {name}="{value}"\n' for name, value in environment().items())


def _tool(name: str) -> Path:
    program = Path(sys.prefix) / "bin" / name
    if not program.is_file():
        raise Failed(f"{name} is not installed beside this Python: run it from the environment that `make setup` makes")
    return program.resolve()


def _copy(package: importlib.metadata.Distribution, target: Path) -> None:
    """Its files but scripts, byte code and what the installer noted down."""
    for file in package.files or ():
        if ".." in file.parts or file.suffix == ".pyc" or file.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).write_bytes(file.read_binary())
