"""What a runner that was killed in the middle of `prepare` leaves behind does not trouble the next."""

from pathlib import Path

from tests.repositories import Repo, mirrors


async def test_a_fetch_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    """All refs had come, but the mirror's HEAD did not point to the origin's yet."""
    origin = Repo(tmp_path / "origin")
    first = origin.commit({"app.py": "x = 1\n"}, "first")
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    mirror = ours.objects(base.repository_id)
    assert (mirror / "HEAD").is_file()
    (mirror / "HEAD").write_text("ref: refs/heads/none\n")
    assert (await ours.prepare(str(origin.folder), "HEAD")).commit == first
