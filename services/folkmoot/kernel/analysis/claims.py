"""Whether a claim holds, by what the platform saw. Pure: files and outputs in, findings out.

A claim is false only where what it points at contradicts it: a command that a limit ended shows nothing.
"""

from collections.abc import Callable, Mapping

import msgspec

from folkmoot.kernel.analysis.document import PROBLEM_CHARS, Checked, Claim, Finding
from folkmoot.kernel.evidence import CommandEnd

Plain = Callable[[str], str]
"""Takes secrets out of a text, as they were taken out of the document."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """A claim's command, run once."""

    end: CommandEnd
    output: str
    """Both streams."""
    whole: bool = True


Files = Mapping[str, bytes | None]
"""What base has at the paths that claims name: not there where nothing is, None for what is no plain file."""


def checked(claim: Claim, files: Files, ran: Ran | None, plain: Plain) -> Checked:
    """`ran` is the claim's command, where it has one."""
    if not claim.checkable:
        return Checked(finding=Finding.UNCHECKED, problem="it names no place and no command")
    if claim.path and (found := _of_file(claim, files, plain)).finding is not Finding.HOLDS:
        return found
    if not claim.command:
        return Checked(finding=Finding.HOLDS)
    if ran is None:
        return _checked(Finding.UNCHECKED, "its command could not be run")
    return _of_command(claim, ran, plain)


def _of_file(claim: Claim, files: Files, plain: Plain) -> Checked:
    if claim.path not in files:
        return _checked(Finding.FALSE, f"there is no file {claim.path} at base")
    body = files[claim.path]
    if body is None:
        return _checked(Finding.UNCHECKED, f"{claim.path} is a folder, or too large to be read")
    problem = _misplaced(claim, body, plain)
    return _checked(Finding.FALSE, problem) if problem else Checked(finding=Finding.HOLDS)


def _misplaced(claim: Claim, body: bytes, plain: Plain) -> str:
    """Why the claim's lines or its quote are not in the file; empty when they are."""
    text = body.decode("utf-8", "replace")
    lines = text.splitlines()
    end = claim.end_line or claim.start_line
    if end > len(lines):
        return f"{claim.path} has {len(lines)} lines, and none with the number {end}"
    meant = lines[claim.start_line - 1 : end] if claim.start_line else lines
    if claim.quote and not _within(claim.quote, "\n".join(meant), plain):
        where = f"lines {claim.start_line} to {end} of " if claim.start_line else ""
        return f"the quote does not stand in {where}{claim.path}"
    return ""


def _of_command(claim: Claim, ran: Ran, plain: Plain) -> Checked:
    if claim.output and _within(claim.output, ran.output, plain):
        return Checked(finding=Finding.HOLDS)
    if ran.end.limit or not ran.whole:
        return _checked(Finding.UNCHECKED, f"its command was ended by the {ran.end.limit or 'output'} limit")
    if claim.output:
        return _checked(Finding.FALSE, f"what `{claim.command[:120]}` prints does not contain the output")
    if ran.end.ok:
        return Checked(finding=Finding.HOLDS)
    return _checked(Finding.FALSE, f"`{claim.command[:120]}` does not exit with 0: {ran.end.exit_code}")


def _within(wanted: str, text: str, plain: Plain) -> bool:
    """Whatever the line breaks, and the space at the ends of lines."""
    looked = _even(wanted)
    return looked in _even(text) or looked in _even(plain(text))


def _even(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _checked(finding: Finding, problem: str) -> Checked:
    return Checked(finding=finding, problem=problem[:PROBLEM_CHARS])
