"""`make abuse`: every attack on every backend, and a table. Ends with 1 when one got through, or in CI not tried.

`python -m tests.security.abuse kubernetes` tries that backend alone.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import Attack, Verdict
from tests.security.abuse.backends import BACKENDS, NotThereError
from tests.security.abuse.table import ATTACKS

ABSENT = "not there"
REFUSED = "refused"
OPEN = "NOT REFUSED"
MEANINGLESS = "no meaning"


async def attacked(name: str) -> dict[str, Verdict] | str:
    """Verdicts by attack; why it is not there, as text."""
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="moot-abuse-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        try:
            async with BACKENDS[name](Path(folder)) as arena:
                return await _told(arena)
        except NotThereError as error:
            return str(error)


async def _told(arena: Arena) -> dict[str, Verdict]:
    """By attack. Whoever waits sees how far it is."""
    found: dict[str, Verdict] = {}
    for family in dict.fromkeys(attack.family for attack in ATTACKS):
        began = time.monotonic()
        attacks = [attack for attack in ATTACKS if attack.family == family]
        found |= zip(map(_key, attacks), await arena.tried(attacks), strict=True)
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {arena.backend}: {family} ({len(attacks)})\n")
    return found


def _key(attack: Attack) -> str:
    return f"{attack.family}: {attack.name}"


def table(found: dict[str, dict[str, Verdict] | str]) -> str:
    """One line for each attack, one column for each backend, then the sums, and what was seen of what got through."""
    width = max(len(_key(attack)) for attack in ATTACKS)
    lines = [f"{'attack':<{width}}  " + "  ".join(f"{name:<12}" for name in found)]
    for attack in ATTACKS:
        cells = [_cell(verdicts, _key(attack)) for verdicts in found.values()]
        lines.append(f"{_key(attack):<{width}}  " + "  ".join(f"{cell:<12}" for cell in cells))
    for name, verdicts in found.items():
        counts = Counter(_cell(verdicts, _key(attack)) for attack in ATTACKS)
        lines.append(f"{name}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
        lines += [f"{name}: {verdicts}"] if isinstance(verdicts, str) else _seen(name, verdicts)
    return "\n".join(lines)


def _cell(verdicts: dict[str, Verdict] | str, key: str) -> str:
    if isinstance(verdicts, str):
        return ABSENT
    if not verdicts[key].tried:
        return MEANINGLESS
    return REFUSED if verdicts[key].refused else OPEN


def _seen(name: str, verdicts: dict[str, Verdict]) -> list[str]:
    return [f"{name}: {key}: {verdict.seen}" for key, verdict in verdicts.items() if not verdict.refused]


def main() -> int:
    found = {name: asyncio.run(attacked(name)) for name in sys.argv[1:] or BACKENDS}
    sys.stdout.write(table(found) + "\n")
    cells = {_cell(verdicts, _key(attack)) for verdicts in found.values() for attack in ATTACKS}
    return int(OPEN in cells or (ABSENT in cells and os.environ.get("CI") == "true"))  # noqa: TID251 -- tests may ask where they run


if __name__ == "__main__":
    sys.exit(main())
