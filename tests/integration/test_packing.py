"""Mirrors are packed as they wear: fewer files, the same objects and refs."""

import asyncio
import os
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel.evidence import Admission
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner import packing
from folkmoot.runner.git import Git
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures.mirrors import candidates, everything
from tests.repositories import Repo, mirrors

EVERY = 5


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
async def test_packing_keeps_everything(tmp_path: Path, kind: str) -> None:
    """Also what no ref reaches, what is loose, and what stands twice; packed again, nothing is left to do."""
    Repo(tmp_path / "seed").git("init", "-q", "--bare", f"--object-format={kind}", str(tmp_path / "r.git"))
    repo = Repo(tmp_path / "r.git", bare=True)
    candidates(repo, [str(n) for n in range(8)])
    lost = repo.blob(b"no ref reaches this\n")
    repo.git("update-ref", "-d", "refs/moot/t-3/a-1/1")
    before = everything(repo)
    assert packing.wear(repo.folder) == 8 + 7
    await packing.pack(Git(repo.folder))
    assert everything(repo) == before
    assert lost in before[0]
    assert packing.wear(repo.folder) == 1
    files = set(repo.folder.rglob("*"))
    await packing.pack(Git(repo.folder))
    assert set(repo.folder.rglob("*")) == files


async def test_what_is_borrowed_is_not_copied(tmp_path: Path) -> None:
    """A repository over another one's objects packs its own and stays as small as it was."""
    base = Repo(tmp_path / "base.git", bare=True)
    candidates(base, [f"base-{n}" for n in range(10)])
    own = Repo(tmp_path / "own.git", bare=True)
    (own.folder / "objects/info/alternates").write_text("../../base.git/objects\n")
    candidates(own, ["a", "b", "c"])
    await packing.pack(Git(own.folder))
    [index] = (own.folder / "objects/pack").glob("*.idx")
    assert len(own.line("show-index", stdin=index.read_bytes()).splitlines()) == 3 * 3
    assert packing.wear(base.folder) == 20


async def test_a_large_pack_is_left_alone(tmp_path: Path) -> None:
    """What one packing takes has a bound, whatever the mirror holds."""
    repo = Repo(tmp_path / "r.git", bare=True)
    large = repo.blob(os.urandom(100_000))
    repo.git("pack-objects", "-q", "objects/pack/pack", stdin=f"{large}\n".encode())
    repo.git("prune-packed")
    [kept] = (repo.folder / "objects/pack").glob("*.pack")
    candidates(repo, ["a", "b"])
    await packing.pack(Git(repo.folder), largest=100_000)
    assert len(list((repo.folder / "objects/pack").glob("*.pack"))) == 2
    assert kept.exists()


def test_leftovers_of_the_dead_go(tmp_path: Path) -> None:
    """Locks and drafts that no living git can have made; younger ones may be somebody's."""
    repo = Repo(tmp_path / "r.git", bare=True)
    left = ["packed-refs.lock", "packed-refs.new", "HEAD.lock", "refs/heads/x.lock", "objects/pack/tmp_pack_1"]
    for name in left:
        (repo.folder / name).write_text("x")
    began = (repo.folder / left[0]).stat().st_mtime
    packing.clear(repo.folder, now=began + 60)
    assert all((repo.folder / name).exists() for name in left)
    packing.clear(repo.folder, now=began + 600)
    assert not any((repo.folder / name).exists() for name in left)
    assert (repo.folder / "HEAD").exists()


@given(st.lists(st.integers(1, 10**6), max_size=40).map(sorted))
def test_what_stays_grows_by_powers(sizes: list[int]) -> None:
    """Each pack that is left is at least twice as large as all smaller ones, and the new one, together."""
    count = packing.geometric(sizes)
    assert count != 1
    before = [0, *accumulate(sizes)]
    assert all(sizes[at] >= 2 * before[at] for at in range(max(count, 1), len(sizes)))
    assert len(sizes) - count <= 20


async def test_mirrors_are_packed_by_themselves(tmp_path: Path) -> None:
    """Every so many candidates, a predecessor's too; each can be published and handed on as before."""
    origin = Repo(tmp_path / "origin")
    start = origin.commit({"a.txt": "a\n"})
    ours, _ = mirrors(tmp_path / "m", RunnerSettings(pack_every=EVERY))
    base = await ours.prepare(str(origin.folder), "HEAD")
    kept = ours.objects(base.repository_id).parent / "candidates.git"
    tips = []

    for n in range(EVERY):
        origin.git("checkout", "-q", start)
        bundle = origin.bundle(origin.commit({"a.txt": f"{n}\n"}), start)
        verdict = await ours.admit(
            task_id=TaskId(f"t-{n}"), agent_id=AgentId("a-1"), round_=1, base=base, bundle=bundle, message="x"
        )
        assert isinstance(verdict, Admission)
        tips.append(verdict.commit)
    assert packing.wear(kept) == 2 * EVERY
    again, _ = mirrors(tmp_path / "m", RunnerSettings(pack_every=EVERY))
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        keeping = group.create_task(again.keep_packed())
        while packing.wear(kept) > 1:  # noqa: ASYNC110 -- nobody says when a mirror is packed
            await asyncio.sleep(0.01)
        keeping.cancel()
    for n, tip in enumerate(tips):
        assert await again.bundle_of(base.repository_id, base.commit, tip)
        assert await again.publish(TaskId(f"t-{n}"), base.repository_id, tip) == f"moot/t-{n}"
