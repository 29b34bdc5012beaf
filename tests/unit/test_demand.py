"""How many workspaces are kept ready: what was wanted at once, no more than there is room for, and none for ever."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.runner.demand import MEMORY_S, WINDOW_S, Bounds, Windows, asked, remembered, sizes, wanted

TIMES = st.lists(st.floats(0, 2 * MEMORY_S), min_size=1, max_size=60).map(sorted)
BOUNDS = st.builds(Bounds, least=st.integers(0, 4), most=st.integers(0, 12), room=st.integers(-4, 16))


def after(times: Sequence[float]) -> Windows:
    windows: Windows = ()
    for time in times:
        windows = asked(windows, time)
    return windows


@given(TIMES, st.floats(0, MEMORY_S))
def test_what_was_wanted_at_once_is_kept_until_it_is_forgotten(times: list[float], later: float) -> None:
    """No sooner does a size sink than its burst is forgotten; then it does."""
    windows = remembered(after(times), times[-1])
    peak = max(w.asks for w in windows)
    now = times[-1] + later
    kept = now - max(w.began for w in windows if w.asks == peak) < MEMORY_S
    assert (wanted(windows, now, standing=True) == peak) == kept
    assert wanted(windows, times[-1] + 1.01 * MEMORY_S, standing=True) == 0


@given(TIMES)
def test_one_more_ask_never_keeps_less(times: list[float]) -> None:
    """Demand that grows makes nothing smaller."""
    before, now = after(times), times[-1]
    for standing in (False, True):
        assert wanted(asked(before, now), now, standing=standing) >= wanted(before, now, standing=standing)


@given(TIMES)
def test_little_is_remembered(times: list[float]) -> None:
    """However often is asked: one number for each window."""
    assert len(after(times)) <= MEMORY_S / WINDOW_S + 1
    assert sum(w.asks for w in after(times)) <= len(times)


@given(st.dictionaries(st.sampled_from("abcde"), TIMES), st.floats(0, 3 * MEMORY_S), BOUNDS)
def test_sizes_stay_within_their_bounds(asks: dict[str, list[float]], now: float, bounds: Bounds) -> None:
    """Of all kinds together, whatever was asked for; and nothing is kept that nobody asked for lately, but the
    standing kind, which has its minimum wherever there is room."""
    windows = {kind: after([t for t in times if t <= now]) for kind, times in asks.items()}
    found = sizes(windows, now, bounds, standing="a")
    assert all(size >= 0 for size in found.values())
    assert sum(found.values()) <= max(0, min(bounds.most, bounds.room))
    for kind, size in found.items():
        if kind != "a" and not any(now - w.began < MEMORY_S for w in windows[kind]):
            assert size == 0
    alone = sizes({}, now, bounds, standing="a")
    assert alone == {"a": max(0, min(bounds.least, bounds.most, bounds.room))}


def test_one_burst_is_no_demand_unless_everybody_may_want_it() -> None:
    """Most bases are one task's."""
    once = after([1.0, 1.1, 1.2])
    assert (wanted(once, 2.0, standing=False), wanted(once, 2.0, standing=True)) == (0, 3)
    again = asked(once, 60.0)
    assert wanted(again, 60.0, standing=False) == 3


def test_who_asked_last_comes_first() -> None:
    """Where not all have room."""
    asks = {"old": after([0.0, 5.0, 5.0, 5.0]), "new": after([3.0, 9.0, 9.0])}
    bounds = Bounds(least=0, most=4, room=3)
    assert sizes(asks, 10.0, bounds, standing=None) == {"new": 2, "old": 1}
