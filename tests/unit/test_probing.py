"""Calls that no test makes: which are found, and the file that runs them."""

import subprocess
import sys
from pathlib import Path

from folkmoot.kernel.probing import MAX_CALLS, Probes, call_of, file_of, given, probes

TESTS = """
import pytest
from datetime import date
from clock.duration import seconds

def test_hours():
    total = "1h"
    assert seconds("1h30m") == 5400
    assert seconds(total) == 3600
    with pytest.raises(ValueError):
        seconds("5m1h", strict=True)

def test_since():
    assert seconds(date(2024, 1, 31)) == 0
    assert len("abc") == 3
"""


def test_calls_with_plain_arguments_are_found_and_changed_a_little() -> None:
    """What needs a variable of the test's own is left out, and so is what is not the product's."""
    found = probes([TESTS])
    assert found.imports == (
        "from clock.duration import seconds",
        "from datetime import date",
        "import pytest",
    )
    assert {"seconds('1h30m')", "seconds('5m1h', strict=True)", "seconds(date(2024, 1, 31))"} <= set(found.calls)
    assert {c.partition("(")[0] for c in found.calls} == {"seconds"}
    assert "seconds(total)" not in found.calls
    assert 10 < len(found.calls) <= MAX_CALLS
    assert len(set(found.calls)) == len(found.calls)


def test_the_same_tests_give_the_same_calls_in_any_order() -> None:
    """A successor, and another machine, finds what was found here."""
    other = "from clock.duration import seconds\nassert seconds('2d') == 2 * 86400\n"
    assert probes([TESTS, other]) == probes([other, TESTS, other])


def test_what_does_not_parse_or_shows_nothing_gives_no_calls() -> None:
    """Test files are foreign: they may hold anything."""
    deep = "from a import f\nf(" + "[" * 5_000 + "]" * 5_000 + ")"
    assert probes(["def (", "x = 1", deep, "from a import f\nf(x)", "\0", "import os\nos.remove('a')"]) == Probes()


def test_the_file_says_what_each_call_gives(tmp_path: Path) -> None:
    """A value, an exception by name, an address left out; a test for each, which always passes."""
    (tmp_path / "calc.py").write_text(
        "class Thing:\n    pass\n\n\ndef f(x):\n    if x > 9:\n        raise ValueError(x)\n"
        "    return Thing() if x == 0 else x / 2\n"
    )
    calls = ("f(3)", "f(10)", "f(0)", "g(1)")
    (tmp_path / "test_moot_probe.py").write_text(file_of(Probes(imports=("from calc import f",), calls=calls)))
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "test_moot_probe.py"]
    seen = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split("\n")
    said = {call_of(line): given(line) for line in seen if call_of(line)}
    assert said == {
        "000 f(3)": "1.5",
        "001 f(10)": "raises ValueError",
        "002 f(0)": "<calc.Thing object>",
        "003 g(1)": "raises NameError",
    }
