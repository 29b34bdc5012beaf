"""Where a restored file goes."""

import os
from pathlib import Path

import pytest

from folkmoot.cli.codes import Stopped
from folkmoot.cli.versions.client import Name
from folkmoot.cli.versions.place import write
from folkmoot.kernel.errors import InvalidInput


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "r/.git").mkdir(parents=True)
    return tmp_path / "r"


def test_a_new_file_is_written_with_its_mode(repository: Path) -> None:
    """With the folders on its way; the second time there is nothing to do."""
    place = repository / "a/run.sh"
    assert write("ignored", place, b"x", executable=True, force=False) == (place, True)
    assert os.access(place, os.X_OK)
    assert write("ignored", place, b"x", executable=True, force=False) == (place, False)


def test_nothing_is_lost_unless_told(repository: Path) -> None:
    """Other content and a link are left alone; with force the link itself is replaced."""
    other, link = repository / "other", repository / "link"
    other.write_bytes(b"mine")
    link.symlink_to(other)
    for place in (other, link):
        with pytest.raises(Stopped, match="something else"):
            write("ignored", place, b"theirs", executable=False, force=False)
    write("ignored", link, b"theirs", executable=False, force=True)
    assert (other.read_bytes(), link.is_symlink(), link.read_bytes()) == (b"mine", False, b"theirs")


@pytest.mark.parametrize(
    "text", ["", "dev-1", "dev-1@1", "dev-1@.1", "@1.1", "dev-1@1.1.1", "dev-1@-1.2", "a@1." + "9" * 30]
)
def test_what_names_no_version(text: str) -> None:
    """Refused, with the way to find one."""
    with pytest.raises(InvalidInput, match="VERSION"):
        Name.parse(text)
