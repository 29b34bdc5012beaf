"""What leaves the process: JSON on stdout for programs, words on stderr for people."""

import json
import sys
from typing import Any

import msgspec

from folkmoot.cli.codes import Complaint
from folkmoot.cli.text import clean


def emit(document: Any) -> None:
    """One JSON document on one line of stdout; all ASCII, so that no terminal can be steered with it."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(document), ensure_ascii=True) + "\n")
    sys.stdout.flush()


def say(words: str) -> None:
    """A sentence for people."""
    sys.stderr.write(clean(words) + "\n")
    sys.stderr.flush()


def complain(complaint: Complaint, *, as_json: bool) -> None:
    if as_json:
        emit({"error": {"kind": complaint.kind, "message": complaint.message, "hint": complaint.hint}})
    say(f"moot: {complaint.message}")
    if complaint.hint:
        say(f"  hint: {complaint.hint}")
