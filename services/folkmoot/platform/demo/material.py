"""Repositories written from data: the demo's, and those that tests describe in the same form.

Git runs only on folders that are written here, with an identity and a date that never change, so that the same data
has the same commit id everywhere.
"""

import subprocess
from importlib import resources
from pathlib import Path

import msgspec
import yaml

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.ids import CommitId
from folkmoot.runtime.settings import inherited

_DATE = "2024-05-06T07:08:09+00:00"


class Material(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A repository with a bug, and the story that reports it."""

    name: str
    title: str
    text: str
    checks: tuple[str, ...]
    """Shell commands that fail at base, at least one of them, and pass on a right change."""
    files: dict[str, str]
    """Content by path."""


def demo() -> Material:
    """What `moot demo` submits."""
    return parse((resources.files("folkmoot.platform.demo") / "tally.yaml").read_text("utf-8"))


def parse(text: str) -> Material:
    """Raises InvalidInput naming what is wrong."""
    try:
        return msgspec.convert(yaml.safe_load(text), Material)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput("material", str(error)) from error


def write_repository(folder: Path, material: Material | None = None) -> CommitId:
    """Write `material` (the demo's, unless given) to `folder` as a git repository of one commit on `main`; its id.

    Raises InvalidInput when the folder is not empty, Misconfigured when git is missing or fails.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput("folder", f"{folder} is not empty")
    for path, content in (material or demo()).files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8", newline="\n")
    _git(folder, "init", "--quiet", "--template=", "--object-format=sha1", "--initial-branch=main")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "Import")
    return CommitId(_git(folder, "rev-parse", "HEAD"))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=false", "-C", str(folder), *arguments],
            env=_environment(folder),
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise Misconfigured("git is not installed; get it from your system's packages") from error
    except subprocess.CalledProcessError as error:
        raise Misconfigured(f"git {arguments[0]} failed: {error.stderr.strip()}") from error
    return done.stdout.strip()


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's: a signing key, a hook or an ignore file of theirs would change the commit or stop it."""
    person = {"NAME": "Folkmoot", "EMAIL": "demo@folkmoot.invalid", "DATE": _DATE}
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in person.items()}
    nothing = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(folder)}
    return inherited("PATH") | identity | nothing
