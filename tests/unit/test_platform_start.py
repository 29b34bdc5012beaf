"""Starting a platform in the background: what the one before it left, and what a person is told."""

import fcntl
from pathlib import Path

import pytest

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.platform.embedded import detach, last_words
from folkmoot.runtime.settings import Settings


async def test_a_platform_that_is_up_keeps_its_log(tmp_path: Path) -> None:
    """A second `moot up --detach` is refused before it writes anything."""
    words = tmp_path / "platform.log"
    words.write_text("what it said\n")
    with (tmp_path / "platform.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FailedPrecondition, match="running: a platform runs on"):
            await detach(Settings(data=str(tmp_path)))
    assert words.read_text() == "what it said\n"


def test_the_last_words_are_a_sentence() -> None:
    """What was logged before is for those who read logs; where nothing else was said, it has to do."""
    logged = '{"level": "warning", "message": "ray ended"}\n'
    assert last_words(logged + "ray is not ready after 60 s\n  its log\n") == "ray is not ready after 60 s\n  its log"
    assert last_words(logged) == logged
    assert last_words("") == "the platform ended without a word"
