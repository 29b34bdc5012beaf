"""What a patch costs to read: its lines, of every file alike. Pure."""

import re

LINE_BYTES = 200
"""A longer line counts once for each of these: what stands on one line costs no less to read."""
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def counted(patch: bytes) -> tuple[int, int]:
    """Lines added and removed by a whole `git diff-tree -p --text`, with any context. A hunk's header says how many
    lines are its own, so that none of them can pass for something else."""
    counts, left = {b"+": 0, b"-": 0}, 0
    for line in patch.split(b"\n"):
        sign = line[:1]
        if not left:
            hunk = _HUNK.match(line)
            left = sum(int(n or 1) for n in hunk.groups()) if hunk else 0
        elif sign == b" ":
            left -= 2  # it stands on both sides
        elif sign in counts:
            counts[sign] += _weight(line[1:].removesuffix(b"\r"))
            left -= 1
    return counts[b"+"], counts[b"-"]


def _weight(line: bytes) -> int:
    """Python and JavaScript end a line at a carriage return, too."""
    return 1 + max(line.count(b"\r"), (len(line) - 1) // LINE_BYTES)
