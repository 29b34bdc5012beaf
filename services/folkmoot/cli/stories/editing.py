"""A person's editor on a plan."""

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from folkmoot.cli import documents
from folkmoot.cli.codes import Code, Stopped
from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.runtime.settings import inherited


def edited(text: str, name: str) -> Path | None:
    """A file with `text` as the person left it; None when nothing was changed. The caller removes it with `discard`.

    Raises Misconfigured when there is no editor, Stopped when it fails.
    """
    file = Path(tempfile.mkdtemp(prefix="moot-")) / name
    file.write_text(text, "utf-8")
    _run([*_editor(), str(file)], file)
    now = documents.read_text(str(file))
    if now.strip() and now != text:
        return file
    discard(file)
    return None


def discard(file: Path) -> None:
    """With what an editor left beside it."""
    shutil.rmtree(file.parent)


def _editor() -> list[str]:
    """VISUAL, else EDITOR, else vi; an editor may have arguments."""
    named = inherited("VISUAL", "EDITOR")
    try:
        return shlex.split(named.get("VISUAL") or named.get("EDITOR") or "vi")
    except ValueError as error:
        raise InvalidInput("EDITOR", str(error)) from error


def _run(argv: list[str], file: Path) -> None:
    try:
        # What an editor draws must not end up in a program's JSON.
        screen = None if sys.stdout.isatty() else sys.stderr
        done = subprocess.run(argv, stdout=screen, check=False)
    except OSError as error:
        discard(file)
        hint = "name one with EDITOR, or give the plan with --file"
        raise Misconfigured(f"the editor {argv[0]} does not start: {error.strerror}; {hint}") from error
    if done.returncode != 0:
        raise Stopped(
            Code.USAGE, f"the editor {argv[0]} ended with {done.returncode}", f"what you wrote lies in {file}"
        )
