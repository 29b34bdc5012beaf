"""Refs that are read as files, and commits that are written as one, are what git itself says and makes."""

from pathlib import Path

import pytest

from folkmoot.kernel.ids import CommitId, RepositoryId
from folkmoot.runner import refs
from folkmoot.runner.commits import platform_commit
from folkmoot.runner.git import Git, GitFailed
from folkmoot.runner.recent import Recent, Span
from tests.repositories import Repo

ODD = ["refs/moot/t-1/a-1/1", "refs/moot/t-1/a-10/1", "refs/moot/t-10/a-1/1", "refs/heads/grün", "refs/heads/a/b"]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "r.git", bare=True)


def commits(repo: Repo, number: int) -> list[str]:
    tree = repo.tree([("100644", b"a", repo.blob(b"a\n"))])
    tips = [repo.commit_tree(tree)]
    while len(tips) < number:
        tips.append(repo.commit_tree(tree, tips[-1]))
    return tips


def listed(repo: Repo, *under: str) -> dict[str, str]:
    lines = repo.line("for-each-ref", "--format=%(refname) %(objectname)", *under).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


def agrees(repo: Repo) -> None:
    for under in ("refs/", "refs/moot/", "refs/moot/t-1/"):
        assert refs.below(repo.folder, under) == listed(repo, under), under
        for object_id in set(listed(repo).values()):
            named = sorted(ref for ref, value in listed(repo, under).items() if value == object_id)
            assert refs.naming(repo.folder, object_id, under) == named
    for ref, object_id in listed(repo).items():
        assert refs.value(repo.folder, ref) == object_id


def test_loose_packed_and_both(repo: Repo) -> None:
    """The same refs as git lists, whether they lie in files, in one, or were packed and then changed or deleted."""
    one, two, three = commits(repo, 3)
    for ref, tip in zip(ODD, (one, one, one, two, two), strict=True):
        repo.git("update-ref", ref, tip)
    repo.git("tag", "-a", "-m", "t", "v1", one)
    agrees(repo)
    repo.git("pack-refs", "--all")
    assert refs.loose_count(repo.folder) == 0
    agrees(repo)
    repo.git("update-ref", "refs/heads/a/b", three)
    repo.git("update-ref", "-d", "refs/heads/grün")
    repo.git("update-ref", "refs/moot/t-2/a-1/1", three)
    agrees(repo)


def test_what_is_none(repo: Repo) -> None:
    """No such ref, a folder of refs, a part of a name, a symbolic ref, a repository without any."""
    assert refs.value(repo.folder, "refs/heads/x") is None
    assert refs.below(repo.folder, "refs/") == {}
    [tip] = commits(repo, 1)
    repo.git("update-ref", "refs/moot/t-1/a-1/1", tip)
    for _ in range(2):
        for name in ("refs/moot/t-1", "refs/moot/t-1/a-1/11", "moot/t-1/a-1/1", "refs/moot/t-1/a-1/1/x", "HEAD"):
            assert refs.value(repo.folder, name) is None, name
        repo.git("pack-refs", "--all")


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
@pytest.mark.parametrize("parents", [0, 1, 2])
def test_our_commits_are_gits(tmp_path: Path, parents: int, kind: str) -> None:
    """Byte for byte: what was admitted before an update is the same commit after it."""
    Repo(tmp_path / "seed").git("init", "-q", "--bare", f"--object-format={kind}", str(tmp_path / "r.git"))
    repo = Repo(tmp_path / "r.git", bare=True)
    tree, *_ = repo.line("show", "-s", "--format=%T", commits(repo, 2)[0]).split()
    onto = [CommitId(tip) for tip in commits(repo, 2)][:parents]
    text = "Mend it – grün\n\nFolkmoot-Task: t-1\n"
    made = platform_commit(Git(repo.folder), tree, onto, text, after=1_700_000_000)
    who = "Folkmoot <moot@localhost> 1700000001 +0000"
    heads = "".join(f"parent {p}\n" for p in onto)
    assert repo.git("cat-file", "commit", made).decode() == (
        f"tree {tree}\n{heads}author {who}\ncommitter {who}\n\n{text}"
    )
    theirs = repo.line("hash-object", "-t", "commit", "-w", "--stdin", stdin=repo.git("cat-file", "commit", made))
    assert theirs == made
    repo.git("fsck", "--strict", made)
    assert platform_commit(Git(repo.folder), tree, onto, text, after=1_700_000_000) == made


def test_a_commit_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """As a failure of git on a full disk is: something to try again."""
    with pytest.raises(GitFailed, match="cannot be written"):
        platform_commit(Git(tmp_path / "none.git"), "0" * 40, [], "x\n", after=0)


def test_bundles_made_lately_have_a_bound() -> None:
    """The one that nobody asked for longest goes; one that is larger than all room is not kept."""
    recent = Recent[tuple[RepositoryId, CommitId, CommitId]](10)
    a, b, c = (span(name) for name in "abc")
    recent.put(a, b"12345")
    recent.put(b, b"12345")
    assert recent.get(a)
    recent.put(c, b"1")
    assert (recent.get(a), recent.get(b), recent.get(c)) == (b"12345", None, b"1")
    recent.put(b, b"x" * 11)
    assert recent.get(b) is None


def span(name: str) -> Span:
    return RepositoryId("r"), CommitId("base"), CommitId(name)
