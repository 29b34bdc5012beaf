"""What is counted of a process tree, on this process."""

import os
from pathlib import Path

from folkmoot.runner.local import watch


def test_files_without_a_name_are_counted_where_they_lie(tmp_path: Path) -> None:
    """One on the disk of the folder, one in memory; what has a name is counted by walking, not here."""
    nowhere = watch.held(os.getpid(), tmp_path, stop_at=10)
    with (tmp_path / "gone").open("wb") as gone, (tmp_path / "named").open("wb") as named:
        (tmp_path / "gone").unlink()
        for file in (gone, named):
            file.write(bytes(5_000_000))
            file.flush()
        memory = os.memfd_create("m")
        os.write(memory, bytes(3_000_000))
        seen = watch.held(os.getpid(), tmp_path, stop_at=10)
        os.close(memory)
    assert 4_900_000 < seen.disk_bytes - nowhere.disk_bytes < 5_200_000
    assert 2_900_000 < seen.memory_bytes - nowhere.memory_bytes < 3_200_000


def test_a_file_that_two_hold_counts_once(tmp_path: Path) -> None:
    """By two descriptors, as by two processes."""
    before = watch.held(os.getpid(), tmp_path, stop_at=10).disk_bytes
    with (tmp_path / "gone").open("wb") as gone:
        (tmp_path / "gone").unlink()
        gone.write(bytes(4_000_000))
        gone.flush()
        again = os.dup(gone.fileno())
        seen = watch.held(os.getpid(), tmp_path, stop_at=10).disk_bytes
        os.close(again)
    assert seen - before < 5_000_000


def test_a_process_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    """Nor does a folder that is gone."""
    assert watch.held(2**22 + 1, tmp_path, stop_at=10) == watch.Nameless(0, 0)
    assert watch.held(os.getpid(), tmp_path / "no", stop_at=10) == watch.Nameless(0, 0)
