"""Editing by exact match: what is said when there is none."""

import time

import pytest

from folkmoot.tools.edit import NoEdit, edited


def hint(text: str, old: str) -> str:
    with pytest.raises(NoEdit) as caught:
        edited(text, old, "new", replace_all=False)
    return str(caught.value)


def test_a_line_that_was_meant_is_shown() -> None:
    """With its number and its indentation, to be copied."""
    assert hint("def f():\n    return total\n", "return totals\n").endswith("\n2:     return total")


def test_a_large_file_of_lines_alike_is_searched_in_little_time() -> None:
    """All agents of a process wait meanwhile; the line with the most words in common is found wherever it stands."""
    rows = [",".join(str((n * 7919 + i * 104_729) % 90_001) for i in range(20)) for n in range(20_000)]
    wanted = rows[15_000].replace(",", ", ", 1)
    began = time.process_time()
    assert f"\n15001: {rows[15_000]}" in hint("\n".join(rows), wanted)
    assert time.process_time() - began < 3
