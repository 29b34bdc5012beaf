"""`[environment]` of `.moot.toml`: what may stand there. Pure."""

import re
from typing import Annotated, Literal

import msgspec

from folkmoot.runner.environment import hosts

SETS = ("base", "python", "node", "go", "data-science")
"""Library sets, as local profiles and as images (deploy/images/workspaces)."""

_Text = Annotated[str, msgspec.Meta(max_length=4_000)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Host = Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
_DIGEST = re.compile(r"[a-z0-9][a-zA-Z0-9._:/\-]{0,400}@sha256:[0-9a-f]{64}")
_VERSIONED = re.compile(rf"({'|'.join(SETS)})(?:-(\d+(?:\.\d+){{0,2}}))?")


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    setup: _Text = ""
    """A shell line, run once at the root of a folder with base's lock files."""
    image: _Text = ""
    """By digest, for clusters; or a library set, with or without a version: `python-3.12`."""
    set: Literal["base", "python", "node", "go", "data-science"] | None = None
    lock: Annotated[tuple[_Pattern, ...], msgspec.Meta(max_length=100)] = ()
    """gitignore-style: what else the set-up reads."""
    allow_hosts: Annotated[tuple[_Host, ...], msgspec.Meta(max_length=50)] | None = None
    """`host` or `host:port`, for the set-up; None: those that the installation allows."""

    @property
    def digest(self) -> str:
        """The image, where it is named by digest."""
        return self.image if "@" in self.image else ""

    @property
    def library(self) -> tuple[str, str]:
        """Library set and version; each may be empty."""
        found = None if self.digest else _VERSIONED.fullmatch(self.image)
        return (found[1], found[2] or "") if found else (self.set or "", "")


def complaint(environment: Environment) -> tuple[str, str] | None:
    """A key and what is wrong with it, where types alone do not tell."""
    if environment.image and not _DIGEST.fullmatch(environment.image) and not _VERSIONED.fullmatch(environment.image):
        known = ", ".join(SETS)
        return "image", f"{environment.image[:100]!r} is neither name@sha256:... nor one of {known}, as in python-3.12"
    if environment.image and environment.set:
        return "set", "says again what image says: keep one of them"
    if "\0" in environment.setup:
        return "setup", "holds a NUL character"
    if not environment.setup.strip() and environment.lock:
        return "lock", "says what the set-up reads, and there is no environment.setup"
    if not environment.setup.strip() and environment.allow_hosts:
        return "allow_hosts", "is for the set-up alone, and there is no environment.setup"
    for i, text in enumerate(environment.allow_hosts or ()):
        if problem := hosts.problem(text):
            return f"allow_hosts[{i}]", problem
    return None
