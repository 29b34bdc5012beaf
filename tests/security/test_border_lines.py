"""What a change costs and what it shows is not the candidate's to choose."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from folkmoot.kernel.evidence import Admission, Refusal
from tests.repositories import AGENT, TASK, File, Repo, mirrors, text_of

LONG = "".join(f"x{n} = {n}\n" for n in range(40))


async def handed_in(folder: Path, files: Mapping[str, File], toml: str = "") -> tuple[Admission | Refusal, str]:
    """The border's verdict on `files` over a small base, and the diff that a person is shown."""
    repo = Repo(folder / "origin")
    repo.commit({"app.js": "let a\n", ".moot.toml": toml})
    ours, artifacts = mirrors(folder / "mirrors")
    base = await ours.prepare(str(repo.folder), "HEAD")
    bundle = repo.bundle(repo.commit(files), base.commit)
    verdict = await ours.admit(task_id=TASK, agent_id=AGENT, round_=1, base=base, bundle=bundle, message="Mend it")
    return verdict, await text_of(artifacts, verdict.diff) if isinstance(verdict, Admission) else ""


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"app.js": "let a\n// \0\n" + LONG}, 41),
        ({"app.js": "let a\n" + LONG, ".gitattributes": "*.js -diff\n"}, 41),
        ({"app.js": "let a\n" + LONG, ".gitattributes": "* binary\n"}, 41),
        ({"new.bin": "\0" + LONG}, 40),
        ({"one.js": LONG.replace("\n", "\r")}, 40),
        ({"one.js": "x" * 401}, 3),
        ({"diff.txt": "@@ -1,9 +1,9 @@\n+++ b\n--- a\n"}, 3),
    ],
)
async def test_every_file_is_counted_and_shown(tmp_path: Path, files: Mapping[str, File], lines: int) -> None:
    """A NUL byte, attributes, other line ends and long lines neither make a change cheap nor hide it."""
    verdict, diff = await handed_in(tmp_path, files)
    assert isinstance(verdict, Admission), verdict
    assert (verdict.lines_added, verdict.lines_removed) == (lines, 0)
    assert "Binary files" not in diff
    assert all(f"b/{name}" in diff for name in files)


@pytest.mark.parametrize("content", ["\0\n" * 11, "\0\n" * 50_000, "x" * 2_001], ids=["lines", "many", "long"])
async def test_the_limit_on_lines_holds_for_every_file(tmp_path: Path, content: str) -> None:
    """`limits.diff_lines`, also for what git does not take for text."""
    verdict, _ = await handed_in(tmp_path, {"a.bin": content}, "[limits]\ndiff_lines = 10\n")
    assert isinstance(verdict, Refusal)
    assert "the change adds and removes" in verdict.reason
