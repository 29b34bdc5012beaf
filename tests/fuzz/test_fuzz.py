"""A short run of `make fuzz` with the same inputs every time."""

from pathlib import Path

from tests.fuzz.rounds import fuzz

SHORT = {"header": 300, "entry": 400, "tree": 60, "bundle": 60}


def test_the_border_holds(tmp_path: Path) -> None:
    """Whatever the bytes: a verdict in words, nothing outside the quarantine is touched, no process stays, and what is
    let in is no way out by a second reading of the rules."""
    report = fuzz(SHORT, tmp_path, 1)
    assert all(report[name].inputs >= 0.9 * wanted for name, wanted in SHORT.items())
    assert 0 < report["tree"].let_in < report["tree"].inputs
    assert 0 < report["entry"].let_in < report["entry"].inputs
    assert 0 < report["header"].let_in < report["header"].inputs
    assert report["bundle"].let_in < report["bundle"].inputs
