"""How many workspaces of each kind to keep ready. Pure: times and numbers in, numbers out.

What was asked for at once is what is kept: as many as came within one window. It is kept for as long as that window is
remembered, so that sizes rise at once and sink late, and never swing with every ask.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import msgspec

WINDOW_S = 2.0
"""Asks that come so close to each other want one each: making another one takes about as long."""
MEMORY_S = 300.0
"""Between two tasks of a person who works on one repository; nothing is kept for one that nobody asked for lately."""

Kind = TypeVar("Kind", bound=Hashable)


class Window(msgspec.Struct, frozen=True):
    """Begins with an ask."""

    began: float
    """Seconds of a monotonic clock."""
    asks: int


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    least: int
    """Of a kind that is kept at all."""
    most: int
    """Of all kinds together."""
    room: int
    """Places that nobody else needs; may be negative."""


Windows = tuple[Window, ...]
"""Of one kind, in their order; at most one for each WINDOW_S in MEMORY_S."""


def asked(windows: Windows, now: float, asks: int = 1) -> Windows:
    """`windows` after so many more asks, without what is over."""
    lately = remembered(windows, now)
    if lately and now - lately[-1].began < WINDOW_S:
        return (*lately[:-1], Window(lately[-1].began, lately[-1].asks + asks))
    return (*lately, Window(now, asks))


def remembered(windows: Windows, now: float) -> Windows:
    return tuple(w for w in windows if now - w.began < MEMORY_S)


def wanted(windows: Windows, now: float, *, standing: bool) -> int:
    """At once, at most. Of a kind that is not `standing` one window is no demand: most bases are asked for by one task,
    and never again."""
    lately = remembered(windows, now)
    if len(lately) < 2 and not standing:
        return 0
    return max((w.asks for w in lately), default=0)


def sizes(asks: Mapping[Kind, Windows], now: float, bounds: Bounds, *, standing: Kind | None) -> dict[Kind, int]:
    """How many of each kind to keep; those asked for last come first where not all have room. The `standing` kind is
    kept at the minimum also when nobody asked."""
    left = max(0, min(bounds.most, bounds.room))
    known = dict(asks) if standing is None else {standing: (), **asks}
    found: dict[Kind, int] = {}
    for kind in sorted(known, key=lambda k: -known[k][-1].began if known[k] else float("inf")):
        number = wanted(known[kind], now, standing=kind == standing)
        if number or kind == standing:
            number = max(number, bounds.least)
        found[kind] = min(number, left)
        left -= found[kind]
    return found
