"""Whether a report of tests is the one that our own pytest wrote: `sealed` runs inside, this stands outside."""

import hmac
import re
import secrets
from pathlib import Path

import msgspec

from folkmoot.kernel.evidence import TestSuite
from folkmoot.kernel.jury.evidence import DOUBTED

VARIABLE = "FOLKMOOT_PYTEST"
"""A command that runs what stands in it, where it is set, can be sealed."""
_SOURCE = Path(__file__).with_name("sealed.py").read_text("utf-8")
_LAST = re.compile(rb"\n<!--moot ([^\n|]{0,8000})\|([0-9a-f]{64})-->\n$")


class Seal(msgspec.Struct, frozen=True):
    """Of one run."""

    secret: bytes

    @property
    def stdin(self) -> bytes:
        return self.secret + b"\n"

    @property
    def env(self) -> dict[str, str]:
        return {VARIABLE: _SOURCE}

    def doubt(self, report: bytes) -> str:
        """Why the report cannot be believed; empty when it can."""
        found = _LAST.search(report)
        if not found or not hmac.compare_digest(self._sign(report[: found.end(1) + 1]), found[2]):
            return f"{DOUBTED}it was not written by the runner, was changed behind it, or the process ended early"
        changed = found[1].decode("utf-8", "backslashreplace")[:2_000]
        return f"{DOUBTED}{changed}" if changed else ""

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self.secret, body, "sha256").hexdigest().encode("ascii")


def seal_of(suite: TestSuite) -> Seal | None:
    return Seal(secrets.token_hex(16).encode("ascii")) if f"${{{VARIABLE}:-" in suite.command else None
