"""How the border says no, and by which limits."""

from typing import NoReturn

import msgspec


class TurnedBack(Exception):
    """What was handed in may not come in; the message says why."""


def turn_back(reason: str) -> NoReturn:
    raise TurnedBack(reason)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of any candidate; how much it may change is its base's affair."""

    bundle_bytes: int
    file_bytes: int
    """Of one new file."""
    commits: int
