"""Library sets as local profiles: what each needs of this machine, and what is said of one that is not whole. Pure."""

import re
from collections.abc import Mapping

import msgspec

from folkmoot.runner.local.toolchain import PYTHON

SYSTEM_PYTHON = "/usr/bin/python3"
_MODULES = ("numpy", "pandas", "scipy", "matplotlib", "sklearn")
_VENV = ("venv", "ensurepip")


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has to be there."""

    name: str
    argv: tuple[str, ...]
    """Ends well where it is there; its version is the first number with a dot that it says."""
    debian: str
    """The package that has it."""


def _module(python: str, name: str, debian: str) -> Need:
    found = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"
    return Need(name=name, argv=(python, "-I", "-c", found), debian=debian)


_PYTHON = (
    Need(name="python", argv=(f"{PYTHON}/bin/python", "--version"), debian="python3"),
    *(_module(f"{PYTHON}/bin/python", name, "python3-venv") for name in _VENV),
)
_SCIENCE = (
    Need(name="python", argv=(SYSTEM_PYTHON, "--version"), debian="python3"),
    *(_module(SYSTEM_PYTHON, name, "python3-venv") for name in _VENV),
    *(_module(SYSTEM_PYTHON, name, f"python3-{name}") for name in _MODULES),
)
_NODE = (
    Need(name="node", argv=("node", "--version"), debian="nodejs"),
    Need(name="npm", argv=("npm", "--version"), debian="npm"),
)
_GO = (Need(name="go", argv=("go", "version"), debian="golang-go"),)

NEEDS: Mapping[str, tuple[Need, ...]] = {
    "": (),
    "base": (),
    "python": _PYTHON,
    "node": _NODE,
    "go": _GO,
    "data-science": _SCIENCE,
}
"""By library set; the first of each is the one whose version the set has."""
RUNNERS: Mapping[str, tuple[Need, ...]] = {"": (), "go": _GO, "node": _NODE[:1]}
"""Of tests that were found by their files."""


def venv(library: str) -> tuple[str, ...]:
    """What makes the Python environment of a set-up, but for its place; empty: it gets none."""
    if library == "data-science":
        return (SYSTEM_PYTHON, "-m", "venv", "--system-site-packages")
    return (f"{PYTHON}/bin/python", "-m", "venv") if library in ("", "python") else ()


def version(said: str) -> str:
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else ""


def of_version(wanted: str, there: str) -> bool:
    """`3.12` is `3.12` and `3.12.4`."""
    return not wanted or there == wanted or there.startswith(f"{wanted}.")
