"""What an environment is made from, and the key of it: the same key, the same environment. Pure.

A set-up sees the files that the key covers and no others, so nothing that it makes depends on anything else of the
repository: two bases, or two repositories, with one key may share what came of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from folkmoot.runner import policy, suites
from folkmoot.runner.border.tree import unfit
from folkmoot.runner.environment.config import Environment

KNOWN = (
    *policy.LOCKS, "requirements*.txt", "requirements*.in", "constraints*.txt", "pyproject.toml", "setup.py",
    "setup.cfg", ".python-version", "Pipfile", "package.json", ".npmrc", ".nvmrc", "pnpm-workspace.yaml", "go.mod",
    "go.work", "go.work.sum", "Cargo.toml", "Gemfile", "Gemfile.lock", "composer.json", "composer.lock",
)  # fmt: skip
"""Lock files, and what is installed from where there are none."""
_INSTALLED = {"node_modules", "vendor", "site-packages"}
"""Folders of what others locked."""
MAX_FILES = 5_000
MAX_BYTES = 64 * 1024**2
_RECIPE = 1
"""Counts up when the same inputs give another environment."""


class File(msgspec.Struct, frozen=True):
    """Of base's tree."""

    path: str
    object_id: str
    executable: bool
    size: int
    """Bytes."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What base asks for."""

    config: Environment = Environment()
    files: tuple[File, ...] = ()
    """That the set-up sees, by path."""
    runner: str = ""
    """`go` or `node`, where base's tests were found to be its."""

    @property
    def made(self) -> bool:
        """Whether something has to be made; else there is only something to be at hand."""
        return bool(self.config.setup.strip()) or self.config.library[0] == "data-science"

    def key(self, platform: str, hosts: Iterable[str]) -> str:
        """`platform` says all that a set-up sees of the machine, `hosts` where it may connect to."""
        config = self.config
        parts = {
            "recipe": _RECIPE,
            "platform": platform,
            "setup": config.setup,
            "library": config.library,
            "image": config.digest,
            "hosts": sorted(hosts),
            "files": [(f.path, f.object_id, f.executable) for f in self.files],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Unusable(Exception):
    """Of a key of `[environment]`, in words."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def files(config: Environment, found: Mapping[str, File]) -> tuple[File, ...]:
    """What the set-up sees, of base's plain files by path. Raises Unusable."""
    if not config.setup.strip():
        return ()
    known, named = policy.matcher(KNOWN), policy.matcher(suites.steering(config.setup, list(found)))
    chosen = {p for p in found if named.match_file(p) or (known.match_file(p) and not _INSTALLED & {*p.split("/")})}
    for i, pattern in enumerate(config.lock):
        chosen |= _matched(i, pattern, found)
    shown = tuple(found[path] for path in sorted(chosen))
    _require_few(shown)
    return shown


def _matched(index: int, pattern: str, found: Mapping[str, File]) -> set[str]:
    spec = policy.matcher([pattern])
    matched = {path for path in found if spec.match_file(path)}
    if not matched and not pattern.startswith("!"):
        raise Unusable(f"lock[{index}]", f"{pattern!r} names no file at base")
    return matched


def _require_few(shown: Sequence[File]) -> None:
    size = sum(file.size for file in shown)
    if len(shown) > MAX_FILES or size > MAX_BYTES:
        many = f"{len(shown)} files of {size} bytes are what the set-up would read"
        raise Unusable("lock", f"{many}; at most {MAX_FILES} files of {MAX_BYTES} bytes")
    for file in shown:
        if reason := unfit(file.path.encode("utf-8", "surrogateescape")):
            raise Unusable("lock", reason)
