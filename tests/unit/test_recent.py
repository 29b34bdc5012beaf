"""What a runner remembers of bodies that it had lately."""

from folkmoot.runner.recent import MOST, Recent


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    """When the bytes are too many; what is asked for stays longer."""
    kept = Recent[str](10)
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert kept.get("a") == b"1234"
    kept.put("c", b"1234")
    assert [kept.get(key) for key in "abc"] == [b"1234", None, b"1234"]


def test_small_ones_are_bounded_by_their_number() -> None:
    """Their names take memory too."""
    kept = Recent[int](1024**3)
    for number in range(MOST + 1):
        kept.put(number, b"")
    assert [kept.get(0), kept.get(1), kept.get(MOST)] == [None, b"", b""]


def test_what_is_larger_than_all_is_not_kept() -> None:
    """And takes everything else with it."""
    kept = Recent[str](3)
    kept.put("a", b"12")
    kept.put("b", b"1234")
    assert [kept.get("a"), kept.get("b")] == [None, None]
