"""A candidate in a fresh workspace, with base's own copies of protected files."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.evidence import Admission, PackedFile
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.fixtures.workspace import Bench, bench, runner, toolchains

__all__ = ["runner", "toolchains"]


async def admitted(runner: Bench) -> str:
    """A commit that rewrites a protected test, adds another, and changes the code."""
    workspace = await runner.workspace()
    await workspace.write("adder.py", b"def add(a, b):\n    return b + a\n")
    await workspace.write("tests/test_adder.py", b"def test_add():\n    pass\n")
    await workspace.write("tests/test new.py", b"def test_new():\n    pass\n")
    await workspace.run(["sh", "-c", "git add -A && git commit -qm change"])
    verdict = await runner.mirrors.admit(
        task_id=TaskId("t-1"),
        agent_id=AgentId("a-1"),
        round_=1,
        base=runner.base,
        bundle=await workspace.export_bundle(runner.commit),
        message="change",
    )
    assert isinstance(verdict, Admission), verdict
    return verdict.commit


async def holding(runner: Bench, commit: str, overlay: int) -> GrpcWorkspace:
    return await runner.workspace(commit=commit, overlay=overlay, protected_paths=["tests/**"])


async def test_overlays(runner: Bench) -> None:
    """Plain: the commit as it is. Restore: base's files are back, added ones stay. Exact: added ones are gone."""
    commit = await admitted(runner)
    plain = await holding(runner, commit, 0)
    assert await plain.read("tests/test_adder.py") == b"def test_add():\n    pass\n"
    restored = await holding(runner, commit, pb.OVERLAY_RESTORE)
    exact = await holding(runner, commit, pb.OVERLAY_EXACT)
    for workspace in (restored, exact):
        assert b"add(1, 2) == 3" in await workspace.read("tests/test_adder.py")
        assert b"b + a" in await workspace.read("adder.py")
    assert [e.path for e in await restored.list("tests")] == ["tests/test new.py", "tests/test_adder.py"]
    assert [e.path for e in await exact.list("tests")] == ["tests/test_adder.py"]


async def test_attributes_of_a_candidate_recode_nothing(runner: Bench) -> None:
    """`working-tree-encoding` would write base's tests in another encoding, where they may mean something else."""
    base, repo = runner.base, runner.repo
    added = {b".gitattributes": b"*.py working-tree-encoding=UTF-16 ident\n", b"more.py": b"x = 1\n"}
    rows = [("100644", name, repo.blob(content)) for name, content in added.items()]
    tip = repo.commit_tree(repo.tree([*repo.rows(base.commit), *rows]), base.commit)
    bundle = repo.bundle(tip, base.commit)
    verdict = await runner.mirrors.admit(
        task_id=TaskId("t-1"), agent_id=AgentId("a-1"), round_=1, base=base, bundle=bundle, message="change"
    )
    assert isinstance(verdict, Admission), verdict
    for overlay in (pb.OVERLAY_RESTORE, pb.OVERLAY_EXACT):
        workspace = await holding(runner, verdict.commit, overlay)
        assert b"add(1, 2) == 3" in await workspace.read("tests/test_adder.py")
        assert await workspace.read("more.py") == b"x = 1\n"


async def test_odd_names_are_overlaid(runner: Bench) -> None:
    """Dashes, spaces and letters of any alphabet: each added protected file goes, each other one stays."""
    base, repo = runner.base, runner.repo
    names = [b"-rf", b"--", b"tests -rf", b"\xc3\xbcber.py"]
    rows = [("100644", name, repo.blob(b"x = 1\n")) for name in names]
    tip = repo.commit_tree(repo.tree([*repo.rows(base.commit), *rows]), base.commit)
    verdict = await runner.mirrors.admit(
        task_id=TaskId("t-1"),
        agent_id=AgentId("a-1"),
        round_=1,
        base=base,
        bundle=repo.bundle(tip, base.commit),
        message="change",
    )
    assert isinstance(verdict, Admission), verdict
    workspace = await runner.workspace(
        commit=verdict.commit, overlay=pb.OVERLAY_EXACT, protected_paths=["/-*", "/tests*", "/\u00fc*"]
    )
    assert [e.path for e in await workspace.list(depth=2)] == ["README.md", "adder.py", "tests", "tests/test_adder.py"]


async def deferred(runner: Bench) -> GrpcWorkspace:
    """After one that was not: the runner then knows whether Go is spoken there."""
    await runner.workspace()
    return await runner.workspace(deferred=True)


async def test_the_first_command_makes_the_check_out(runner: Bench) -> None:
    """In one sandbox; what it says, how it ends and how long it takes is its own, and what it is told reaches it."""
    workspace = await deferred(runner)
    with pytest.raises(FailedPrecondition, match=r"^deferred: "):
        await workspace.read("README.md")
    script = "cat; cat README.md; echo oops >&2; git status --porcelain; ls .git/moot; echo $X; exit 7"
    done = await workspace.run(["sh", "-c", script], stdin=b"0\n1\nx", env={"X": "y"})
    assert (done.end.exit_code, done.stdout, done.truncated) == (7, b"0\n1\nxadder\ny\n", False)
    assert done.stderr.startswith(b"oops\n")
    assert await workspace.read("README.md") == b"adder\n"
    assert (await workspace.run(["pwd"], cwd="tests")).stdout == b"/workspace/tests\n"


async def test_limits_of_the_first_command_are_its_own(runner: Bench) -> None:
    """Output to the byte, a program that is not there, a time that is over."""
    done = await (await deferred(runner)).run(["printf", "12345"], output_limit=4)
    assert (done.stdout, done.truncated) == (b"1234", True)
    assert (await (await deferred(runner)).run(["no-such-program"])).end.exit_code == 127
    assert (await (await deferred(runner)).run(["sleep", "60"], timeout_s=2)).end.limit == "time"


async def test_a_check_out_that_fails_is_no_end_of_the_command(runner: Bench) -> None:
    """It is an error of its own, and nothing can be done there any more."""
    files = [PackedFile(path="tests/test_new.py", content=b""), PackedFile(path="adder.py/x.py", content=b"")]
    exhibit = await runner.artifacts.put(msgspec.json.encode(files))
    await runner.workspace()
    workspace = await runner.workspace(deferred=True, exhibit_sha256=exhibit.sha256, exhibit_size=exhibit.size)
    with pytest.raises(FailedPrecondition, match=r"^exhibit: adder.py is no folder$"):
        await workspace.run(["true"])
    with pytest.raises(FailedPrecondition, match=r"^deferred: "):
        await workspace.run(["true"])
    other = await runner.workspace(deferred=True)
    with pytest.raises(InvalidInput, match=r"^cwd: "):
        await other.run(["true"], cwd="tests")


async def test_one_that_is_deferred_does_not_outlive_its_runner(tmp_path: Path, toolchains: Toolchains) -> None:
    """Nobody knows how far it came; any other is found again."""
    async with bench(tmp_path, toolchains) as first:
        kept, lost = await first.workspace(), await first.workspace(deferred=True)
    async with bench(tmp_path, toolchains) as second:
        assert [m.wish.workspace_id for m in second.registry.listed()] == [kept.id]
    assert kept.id != lost.id


async def test_a_file_in_the_place_of_a_folder(runner: Bench) -> None:
    """And the other way round, and a link in the place of either: base's protected files are there all the same."""
    base, repo = runner.base, runner.repo
    x = repo.blob(b"x = 1\n")
    rows = [row for row in repo.rows(base.commit) if row[1] not in (b"tests", b"README.md")]
    inside = repo.tree([("100644", b"inside", x)])
    swaps = {
        "folder": [("100644", b"tests", x), ("40000", b"README.md", inside)],
        "link": [("120000", b"tests", repo.blob(b".")), ("120000", b"README.md", repo.blob(b"adder.py"))],
    }
    for number, (name, swap) in enumerate(swaps.items()):
        tip = repo.commit_tree(repo.tree([*rows, *swap]), base.commit)
        verdict = await runner.mirrors.admit(
            task_id=TaskId("t-1"),
            agent_id=AgentId(f"a-{number}"),
            round_=1,
            base=base,
            bundle=repo.bundle(tip, base.commit),
            message=name,
        )
        assert isinstance(verdict, Admission), verdict
        for overlay in (pb.OVERLAY_RESTORE, pb.OVERLAY_EXACT):
            workspace = await runner.workspace(
                commit=verdict.commit, overlay=overlay, protected_paths=["tests/**", "README.md"]
            )
            assert [e.path for e in await workspace.list(depth=2) if e.kind == "file"] == [
                "README.md", "adder.py", "tests/test_adder.py",
            ]  # fmt: skip
            assert await workspace.read("README.md") == b"adder\n"
