"""Tasks that start from decided commits: what a merge is, what it names, and that it comes in like any candidate."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.platform.archive.mirrors import forget
from folkmoot.runner.border.bundle import written
from folkmoot.runner.merges import hunks
from folkmoot.runner.mirrors import Mirrors
from tests.repositories import File, Repo, mirrors

MERGER = AgentId("merger")
DEV = AgentId("dev-1")
FILES: Mapping[str, File] = {
    "app.py": "a = 1\nb = 2\nc = 3\n",
    "other.py": "x = 1\n",
    "folder/deep/one.py": "one = 1\ntwo = 2\nthree = 3\n",
    "tests/test_app.py": "def test_x():\n    assert True\n",
    "image.bin": b"\0\1\2",
}
GONE = None


class Story:
    """A repository, its mirror, and the tasks that were decided in it."""

    def __init__(self, folder: Path, object_format: str = "sha1") -> None:
        self.folder = folder
        Repo(folder / "bootstrap").git("init", "-q", "-b", "main", f"--object-format={object_format}", "../origin")
        self.repo = Repo(folder / "origin")
        self.named = self.repo.commit(FILES)
        self.ours, self.artifacts = mirrors(folder / "m")
        self._tasks = 0

    async def prepared(self, *merge: CommitId, ours: Mirrors | None = None) -> PreparedBase:
        return await (ours or self.ours).prepare(str(self.repo.folder), self.named, merge)

    async def decided(self, files: Mapping[str, File | None], *merge: CommitId) -> CommitId:
        """The winner of a task that starts from `merge` and writes `files`, or removes where there is no content."""
        base = await self.prepared(*merge)
        agent = self.agent(base)
        for name in [n for n, content in files.items() if content is GONE]:
            (agent.folder / name).unlink()
        agent.commit({n: content for n, content in files.items() if content is not GONE})
        return await self.won(base, agent)

    async def won(self, base: PreparedBase, agent: Repo | None) -> CommitId:
        """`agent`'s work, else the platform's own merge, as a winner."""
        verdict = await self.handed_in(base, agent)
        assert isinstance(verdict, Admission), verdict
        assert verdict.tampered == ()
        await self.ours.publish(TaskId(f"t-{self._tasks}"), base.repository_id, verdict.commit)
        return verdict.commit

    async def handed_in(self, base: PreparedBase, agent: Repo | None) -> Admission | Refusal:
        self._tasks += 1
        bundle = agent.git("bundle", "create", "-q", "-", "HEAD", f"^{base.commit}") if agent else None
        return await self.ours.admit(
            task_id=TaskId(f"t-{self._tasks}"),
            agent_id=DEV if agent else MERGER,
            round_=1,
            base=base,
            bundle=bundle,
            message="Join",
        )

    def agent(self, base: PreparedBase) -> Repo:
        """A work tree where an agent of that task begins."""
        self._tasks += 1
        place = self.folder / f"agent-{self._tasks}"
        self.repo.git("clone", "-q", "--no-checkout", str(self.repo.folder), str(place))
        agent = Repo(place)
        begin = base.start or base.commit
        agent.git("fetch", "-q", str(self.kept(base).folder if base.origin else self.repo.folder), begin)
        agent.git("checkout", "-q", begin)
        return agent

    def kept(self, base: PreparedBase) -> Repo:
        return Repo(self.ours.objects(base.repository_id).parent / "candidates.git", bare=True)

    def content(self, base: PreparedBase, commit: str | None, path: str) -> str:
        return self.kept(base).git("show", f"{commit}:{path}").decode()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


async def test_one_decided_commit_is_the_base(story: Story) -> None:
    """There is nothing to merge: the task starts at the commit, and the border and the result reach back from there."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    base = await story.prepared(one)
    assert (base.commit, base.origin, base.start, base.conflicts) == (one, story.named, None, ())
    agent = story.agent(base)
    agent.commit({"app.py": "a = 3\nb = 2\nc = 3\n"})
    two = await story.won(base, agent)
    assert story.kept(base).line("rev-list", "--parents", two).split("\n")[0] == f"{two} {one}"
    await _reaches_the_origin(story, base, two)


async def _reaches_the_origin(story: Story, base: PreparedBase, winner: CommitId) -> None:
    """Whoever has what `base_ref` named can take the result in."""
    assert base.origin is not None
    place = story.folder / "result.bundle"
    place.write_bytes(await story.ours.bundle_of(base.repository_id, base.origin, winner))
    story.repo.git("fetch", "-q", str(place), "refs/moot/*:refs/got/*")
    assert story.repo.line("merge-base", story.named, winner) == story.named


async def test_what_does_not_conflict_is_merged_by_the_platform(story: Story) -> None:
    """The merge has both sides as parents, comes through the border without an agent, and can be built upon."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"other.py": "x = 2\n", "new.py": "n = 1\n"})
    base = await story.prepared(one, two)
    assert (base.commit, base.origin, base.conflicts, base.conflict) == (one, story.named, (), "")
    verdict = await story.handed_in(base, None)
    assert isinstance(verdict, Admission)
    assert verdict.files == ("new.py", "other.py")
    assert story.kept(base).line("show", "-s", "--format=%P", verdict.commit) == f"{one} {two}"
    assert story.content(base, verdict.commit, "app.py").startswith("a = 2")
    joined = await story.won(base, None)
    three = await story.decided({"app.py": "a = 2\nb = 5\nc = 3\n"}, joined)
    await _reaches_the_origin(story, await story.prepared(joined), three)


async def test_a_merge_is_the_same_commit_every_time(story: Story) -> None:
    """Said again, at once or in another process, nothing is another: neither the merge nor what is admitted of it."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"})
    others = [mirrors(story.folder / "m")[0] for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(story.prepared(one, two, ours=ours)) for ours in (story.ours, *others)]
    assert len({str(t.result()) for t in tasks}) == 1
    assert await story.prepared(two, one) != tasks[0].result()


async def test_a_conflict_is_named_and_resolved_by_an_agent(story: Story) -> None:
    """The agent begins with markers, is told where they are, and what it makes of them has both sides as parents."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n", "new.py": "n = 1\n"})
    base = await story.prepared(one, two)
    assert base.conflicts == ("app.py",)
    hunk = f"<<<<<<< {one}\na = 2\n=======\na = 3\n>>>>>>> {two}\n"
    assert story.content(base, base.start, "app.py") == f"{hunk}b = 2\nc = 3\n"
    assert base.conflict == f"CONFLICT (content): Merge conflict in app.py\napp.py:\n{hunk.strip()}"
    agent = story.agent(base)
    agent.commit({"app.py": "a = 5\nb = 2\nc = 3\n"})
    verdict = await story.handed_in(base, agent)
    assert isinstance(verdict, Admission), verdict
    assert verdict.files == ("app.py", "new.py")
    assert story.kept(base).line("show", "-s", "--format=%P", verdict.commit) == f"{one} {two}"
    await _reaches_the_origin(story, base, verdict.commit)


async def test_the_first_side_may_be_the_answer(story: Story) -> None:
    """A resolution that leaves nothing of the second side changes no file of base, and comes in all the same."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"})
    base = await story.prepared(one, two)
    agent = story.agent(base)
    agent.commit({"app.py": "a = 2\nb = 2\nc = 3\n"})
    verdict = await story.handed_in(base, agent)
    assert isinstance(verdict, Admission), verdict
    assert (verdict.files, verdict.lines_added) == ((), 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "paths", "words"),
    [
        ({"n.py": "n = 1\n"}, {"n.py": "n = 2\n"}, {"n.py"}, "(add/add)"),
        ({"other.py": GONE}, {"other.py": "x = 2\n"}, {"other.py"}, "(modify/delete)"),
        ({"image.bin": b"\0\1\3"}, {"image.bin": b"\0\1\4"}, {"image.bin"}, "image.bin"),
        (
            {"folder/deep/one.py": GONE, "left.py": FILES["folder/deep/one.py"]},
            {"folder/deep/one.py": GONE, "right.py": FILES["folder/deep/one.py"]},
            {"folder/deep/one.py", "left.py", "right.py"},
            "(rename/rename)",
        ),
        ({"other.py": GONE, "other.py/in": "1\n"}, {"other.py": "x = 2\n"}, {"other.py"}, "(modify/delete)"),
    ],
    ids=["add-add", "delete-modify", "binary", "rename-rename", "folder-for-file"],
)
async def test_every_kind_of_conflict_is_named(
    story: Story,
    ours: Mapping[str, File | None],
    theirs: Mapping[str, File | None],
    paths: set[str],
    words: str,
) -> None:
    """Each has its path, and git's words for what is the matter."""
    base = await story.prepared(await story.decided(ours), await story.decided(theirs))
    assert {path.partition("~")[0] for path in base.conflicts} == paths
    assert words in base.conflict


async def test_a_rename_takes_the_other_sides_change_along(story: Story) -> None:
    """A file that one task moved and the other changed is changed where it is now."""
    moved = "folder/deep/one.py"
    one = await story.decided({moved: GONE, "elsewhere.py": FILES[moved]})
    two = await story.decided({moved: "one = 1\ntwo = 22\nthree = 3\n"})
    base = await story.prepared(one, two)
    assert base.conflicts == ()
    assert story.content(base, base.start, "elsewhere.py") == "one = 1\ntwo = 22\nthree = 3\n"


async def test_modes_are_merged(story: Story) -> None:
    """One task makes a file executable, the other changes it: both hold."""
    base = await story.prepared()
    agent = story.agent(base)
    (agent.folder / "app.py").chmod(0o755)
    agent.commit({})
    one = await story.won(base, agent)
    two = await story.decided({"app.py": "a = 1\nb = 2\nc = 4\n"})
    joined = await story.prepared(one, two)
    listed = story.kept(joined).line("ls-tree", str(joined.start), "app.py")
    assert listed.startswith("100755")
    assert story.content(joined, joined.start, "app.py").endswith("c = 4\n")


async def test_three_commits_are_joined_also_over_a_conflict(story: Story) -> None:
    """What merges cleanly is taken in though the two before it conflict; only what conflicts is named."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"})
    three = await story.decided({"other.py": "x = 3\n", "new.py": "n = 3\n"})
    four = await story.decided({"other.py": "x = 4\n"})
    base = await story.prepared(one, two, three)
    assert base.conflicts == ("app.py",)
    assert story.content(base, base.start, "new.py") == "n = 3\n"
    assert story.kept(base).line("show", "-s", "--format=%P", str(base.start)) == f"{one} {two} {three}"
    assert (await story.prepared(one, two, three, four)).conflicts == ("app.py", "other.py")
    assert (await story.prepared(one, three)).conflicts == ()


async def test_the_same_change_twice_is_no_conflict(story: Story) -> None:
    """The merge changes nothing of its first side, and is admitted: it is still what both tasks end in."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    assert one != two
    base = await story.prepared(one, two)
    verdict = await story.handed_in(base, None)
    assert isinstance(verdict, Admission), verdict
    assert verdict.files == ()


@pytest.mark.parametrize("turned", [False, True])
async def test_a_commit_that_builds_on_the_other(story: Story, turned: bool) -> None:
    """Its content is the merge's, whichever is named first."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"other.py": "x = 9\n"}, one)
    base = await story.prepared(*((two, one) if turned else (one, two)))
    verdict = await story.handed_in(base, None)
    assert isinstance(verdict, Admission), verdict
    assert verdict.tree == story.kept(base).line("rev-parse", f"{two}^{{tree}}")


async def test_sha256_repositories(tmp_path: Path) -> None:
    """The newer object format goes the whole way, over a conflict."""
    story = Story(tmp_path, "sha256")
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    base = await story.prepared(one, await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"}))
    agent = story.agent(base)
    agent.commit({"app.py": "a = 5\nb = 2\nc = 3\n"})
    assert len(await story.won(base, agent)) == 64


async def test_what_base_has_already_is_left_out(story: Story) -> None:
    """A person took a winner in, and the base ref names something newer: that is where the task starts."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    await _reaches_the_origin(story, await story.prepared(one), one)
    story.repo.git("reset", "-q", "--hard", one)
    story.named = story.repo.commit({"other.py": "x = 7\n"})
    base = await story.prepared(one)
    assert (base.commit, base.origin) == (story.named, None)


async def test_only_winners_of_the_repository_are_merged(story: Story, tmp_path: Path) -> None:
    """No id, an unknown commit, base itself, a candidate that did not win, another repository's winner: refused."""
    base = await story.prepared()
    agent = story.agent(base)
    agent.commit({"app.py": "a = 2\n"})
    lost = await story.handed_in(base, agent)
    assert isinstance(lost, Admission)
    strange = Story(tmp_path / "strange")
    foreign = await strange.decided({"other.py": "x = 1000\n"})
    for head in [CommitId("main"), CommitId("1" * 40), story.named, lost.commit, foreign]:
        with pytest.raises(InvalidInput) as caught:
            await story.prepared(head)
        assert caught.value.field == "merge"


async def test_a_missing_bundle_is_no_merge_of_an_ordinary_task(story: Story) -> None:
    """Only a task that starts with a merge may propose it."""
    with pytest.raises(InvalidInput, match="bundle"):
        await story.handed_in(await story.prepared(), None)


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        ("100644", b".gitmodules", "submodules"),
        ("100644", b"git~1", "hasDotgit"),
        ("160000", b"sub", "is a submodule link"),
    ],
)
async def test_the_border_is_the_same_for_a_merge(story: Story, mode: str, name: bytes, words: str) -> None:
    """What no candidate may bring, none may bring that resolves a conflict."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    base = await story.prepared(one, await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"}))
    agent = story.agent(base)
    tip = agent.line("rev-parse", "HEAD")
    row = (mode, name, tip if mode == "160000" else agent.blob(b"1\n"))
    agent.git("update-ref", "HEAD", agent.commit_tree(agent.tree([*agent.rows(tip), row]), tip))
    verdict = await story.handed_in(base, agent)
    assert isinstance(verdict, Refusal)
    assert words in verdict.reason


async def test_a_merges_bundle_builds_on_the_merge_alone(story: Story) -> None:
    """It may name what the merged sides build on, and no commit besides; and it has to descend from base."""
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"app.py": "a = 3\nb = 2\nc = 3\n"})
    base = await story.prepared(one, two)
    agent = story.agent(base)
    work = agent.commit({"app.py": "a = 5\nb = 2\nc = 3\n"})
    stranger = agent.commit_tree(agent.line("rev-parse", "HEAD^{tree}"))
    joined = agent.commit_tree(agent.line("rev-parse", "HEAD^{tree}"), work, stranger)
    beside = agent.commit_tree(agent.line("rev-parse", "HEAD^{tree}"), two)
    pack = agent.git("pack-objects", "-q", "--stdout", "--revs", stdin=f"{beside}\n^{one}\n^{two}\n".encode())
    for bundle, words in [
        (agent.bundle(joined, one, stranger), f"builds on {stranger}, which is no part of base's merge"),
        (agent.bundle(work, two), f"not on base {one}"),
        (written("HEAD", CommitId(beside), one, pack), "does not descend from base"),
    ]:
        verdict = await story.ours.admit(
            task_id=TaskId("t-x"), agent_id=DEV, round_=1, base=base, bundle=bundle, message="x"
        )
        assert isinstance(verdict, Refusal)
        assert words in verdict.reason


async def test_a_merge_cannot_make_a_link_lead_out(story: Story) -> None:
    """A link that was fine where it was made is refused where a renamed folder takes it."""
    here = story.agent(await story.prepared())
    (here.folder / "folder/deep/link").symlink_to("../../other.py")
    here.commit({})
    linked = await story.won(await story.prepared(), here)
    moved = await story.decided({"folder/deep/one.py": GONE, "top/one.py": FILES["folder/deep/one.py"]})
    base = await story.prepared(moved, linked)
    assert "top/link" in base.conflicts
    verdict = await story.handed_in(base, None)
    assert isinstance(verdict, Refusal)
    assert "leads out of the repository" in verdict.reason


async def test_a_merge_may_be_larger_than_a_change(story: Story) -> None:
    """The limits of a task are for what is new in it, not for what the tasks before it brought."""
    story.named = story.repo.commit({".moot.toml": "[limits]\nfiles = 2\ndiff_lines = 3\n"})
    one = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"})
    two = await story.decided({"p.py": "1\n", "q.py": "2\n"})
    three = await story.decided({"r.py": "1\n", "s.py": "2\n"})
    assert isinstance(await story.handed_in(await story.prepared(one, two, three), None), Admission)


async def test_a_merge_is_forgotten_with_its_tasks(story: Story) -> None:
    """Nothing keeps the content of a deleted story; another story's winner stays, and can be merged."""
    one, two = await story.decided({"app.py": "a = 2\nb = 2\nc = 3\n"}), await story.decided({"other.py": "x = 2\n"})
    base = await story.prepared(one, two)
    gone = [TaskId(f"t-{n}") for n in range(1, 10)]
    kept = Story(story.folder / "again")
    kept.repo, kept.ours, kept.named, kept._tasks = story.repo, story.ours, story.named, 100
    other = await kept.decided({"new.py": "n = 1\n"})
    assert await forget(story.folder / "m", gone) == 5
    assert story.kept(base).line("for-each-ref", "--format=%(objectname)").split() == [other, other]
    assert (await kept.prepared(other)).commit == other


def test_hunks_are_cut_and_harmless() -> None:
    """A long hunk says how much more there is; escape sequences of a terminal are nothing that a model is told."""
    long = "".join(f"{i}\n" for i in range(100))
    first, second = hunks(f"x\n<<<<<<< a\n{long}=======\n>>>>>>> b\ny\n<<<<<<< a\n\x1b[2J\n>>>>>>> b\n".encode())
    assert first.endswith("38\n[63 more lines]")
    assert second == "<<<<<<< a\n�[2J\n>>>>>>> b"


async def test_an_outline_says_what_is_there(story: Story) -> None:
    """Paths sorted, the README's beginning, and whether there is more than is told."""
    tip = story.repo.commit({"README.md": "# Title\n" + "x" * 9_000, **{f"many/{i:04}.txt": "" for i in range(2_000)}})
    outline = await story.ours.outline(str(story.repo.folder), tip)
    assert (outline.commit, outline.truncated, len(outline.files)) == (tip, True, 2_000)
    assert list(outline.files) == sorted(outline.files)
    assert outline.readme.startswith("# Title\nxxx")
    assert len(outline.readme) == 8_000
    small = await story.ours.outline(str(story.repo.folder), story.named)
    assert (small.files, small.truncated, small.readme) == (tuple(sorted(FILES)), False, "")
