"""What every workspace promises, in every backend, through gRPC."""

import asyncio
import os

import pytest

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.ids import CommitId
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import Chunk, WorkspaceLost
from tests.fixtures.backends import runner
from tests.fixtures.workspace import Bench, toolchains, workspace

__all__ = ["runner", "toolchains", "workspace"]


async def test_exit_status(workspace: GrpcWorkspace) -> None:
    """A command that failed is a value."""
    done = await workspace.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.end.exit_code, done.stdout, done.stderr, done.truncated) == (3, b"out\n", b"err\n", False)


async def test_signal(workspace: GrpcWorkspace) -> None:
    """A command that a signal ended says which."""
    done = await workspace.run(["sh", "-c", "kill -9 $$"])
    assert (done.end.exit_code, done.end.signal, done.end.limit) == (None, 9, "")


async def test_unknown_program(workspace: GrpcWorkspace) -> None:
    """A program that does not exist ends with 127, as in a shell."""
    assert (await workspace.run(["no-such-program"])).end.exit_code == 127


async def test_an_argument_too_long(workspace: GrpcWorkspace) -> None:
    """It is the caller's mistake, and says nothing of the machine."""
    with pytest.raises(InvalidInput, match=r"^argv: "):
        await workspace.run(["true", "x" * 200_000])
    assert (await workspace.run(["true"])).end.ok


async def test_time_out(workspace: GrpcWorkspace) -> None:
    """The time limit ends the whole tree and is named."""
    done = await workspace.run(["sh", "-c", "trap '' TERM; sleep 100 & sleep 100"], timeout_s=0.5)
    assert (done.end.exit_code, done.end.limit) == (None, "time")
    assert done.end.duration_s < 5


async def test_output_is_capped(workspace: GrpcWorkspace) -> None:
    """What exceeds the limit is thrown away, each stream by itself, and the command ends as it would."""
    done = await workspace.run(["sh", "-c", "yes | head -c 3000000; echo e >&2"], output_limit=1000)
    assert (len(done.stdout), done.stderr, done.truncated, done.end.exit_code) == (1000, b"e\n", True, 0)


async def test_large_output_arrives_whole(workspace: GrpcWorkspace) -> None:
    """10 MB arrive byte by byte."""
    done = await workspace.run(["sh", "-c", "head -c 10000000 /dev/zero"], output_limit=20_000_000)
    assert (len(done.stdout), done.truncated) == (10_000_000, False)


async def test_output_streams(workspace: GrpcWorkspace) -> None:
    """Output arrives while the command runs; the end comes last, once."""
    parts = [p async for p in workspace.stream(["sh", "-c", "echo a; echo b >&2"])]
    assert sorted(p.data for p in parts if isinstance(p, Chunk)) == [b"a\n", b"b\n"]
    assert [type(p) for p in parts].count(CommandEnd) == 1
    assert isinstance(parts[-1], CommandEnd)


async def test_stdin_environment_folder(workspace: GrpcWorkspace) -> None:
    """Standard input is given whole; variables and folder are the caller's."""
    done = await workspace.run(
        ["sh", "-c", 'pwd; echo "$X"; wc -c'], cwd="tests", env={"X": "a b"}, stdin=b"z" * 1_000_000
    )
    assert done.stdout == b"/workspace/tests\na b\n1000000\n"


async def test_concurrent_commands(workspace: GrpcWorkspace) -> None:
    """Commands of one workspace run side by side and see the same files."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(workspace.run(["sh", "-c", f"echo {n} > f{n}; cat f{n}"])) for n in range(6)]
    assert [t.result().stdout for t in tasks] == [b"%d\n" % n for n in range(6)]
    assert len([e for e in await workspace.list() if e.path.startswith("f")]) == 6


async def test_background_processes_die(workspace: GrpcWorkspace) -> None:
    """What a call leaves running dies with it."""
    await workspace.run(["sh", "-c", "(while true; do date +%N > tick; done) & setsid sleep 1000 & exit 0"])
    before = (await workspace.run(["cat", "tick"])).stdout
    listed = await workspace.run(["sh", "-c", "ls -d /proc/[0-9]* | wc -l; cat tick"])
    count, _, after = listed.stdout.partition(b"\n")
    assert after == before
    assert int(count) <= 5


@pytest.mark.parametrize("name", ["a b", "nl\nx", "-rf", "ends\n", "ümlaut", os.fsdecode(b"\xff\xfe"), "d/e e/f"])
async def test_odd_names(workspace: GrpcWorkspace, name: str) -> None:
    """Spaces, newlines, dashes and undecodable bytes are names like any other."""
    await workspace.write(name, b"x")
    assert await workspace.read(name) == b"x"
    assert name in {e.path for e in await workspace.list(depth=5)}


async def test_binary_and_large_files(workspace: GrpcWorkspace) -> None:
    """Bytes come back as they went; appending appends; empty is empty."""
    content = bytes(range(256)) * 20_000
    await workspace.write("bin", content)
    await workspace.write("bin", b"end", append=True)
    await workspace.write("empty", b"")
    assert await workspace.read("bin") == content + b"end"
    assert await workspace.read("empty") == b""


async def test_what_cannot_be_read(workspace: GrpcWorkspace) -> None:
    """Missing, folder, pipe, too large: each its own error."""
    await workspace.run(["sh", "-c", "mkfifo pipe; head -c 100 /dev/zero > big"])
    with pytest.raises(NotFound):
        await workspace.read("missing")
    for path in ("tests", "pipe"):
        with pytest.raises(InvalidInput):
            await workspace.read(path)
    with pytest.raises(InvalidInput):
        await workspace.read("big", limit=99)
    assert len(await workspace.read("big", limit=100)) == 100


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "nul\0", "out/x", "x/../out/y"])
async def test_paths_stay_inside(workspace: GrpcWorkspace, path: str) -> None:
    """A path that leaves the repository, by itself or through a link, is refused for reading and writing."""
    await workspace.run(["ln", "-s", "/tmp", "out"])
    with pytest.raises(InvalidInput):
        await workspace.write(path, b"x")
    with pytest.raises((InvalidInput, NotFound)):
        await workspace.read(path)


async def test_listing(workspace: GrpcWorkspace) -> None:
    """Sorted, without `.git`, bounded."""
    paths = [e.path for e in await workspace.list(depth=2)]
    assert paths == ["README.md", "adder.py", "tests", "tests/test_adder.py"]
    with pytest.raises(ResourceExhausted):
        await workspace.list(depth=2, limit=3)
    with pytest.raises(NotFound):
        await workspace.list("missing")


async def test_bundle_out_and_in(runner: Bench, workspace: GrpcWorkspace) -> None:
    """What one workspace commits, another on the same base can check out."""
    with pytest.raises(FailedPrecondition) as refused:
        await workspace.export_bundle(runner.commit)
    assert refused.value.guard == "no_commit"
    await workspace.write("new", b"1")
    await workspace.run(["sh", "-c", "git add -A && git commit -qm new"])
    head = CommitId((await workspace.run(["git", "rev-parse", "HEAD"])).stdout.decode().strip())
    other = await runner.workspace()
    await other.import_bundle(await workspace.export_bundle(runner.commit), head)
    assert await other.read("new") == b"1"
    with pytest.raises(InvalidInput):
        await other.import_bundle(b"no bundle", head)


async def test_closed(runner: Bench, workspace: GrpcWorkspace) -> None:
    """Closing ends what runs, twice is fine, and nothing is left."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_lost(workspace, ["sleep", "100"]))
        assert (await workspace.run(["true"])).end.ok
        await workspace.close()
    assert running.result()
    await workspace.close()
    with pytest.raises(WorkspaceLost):
        await workspace.read("README.md")
    assert runner.registry.listed() == []
    assert [*runner.places.glob("[!.]*")] == []


async def _lost(workspace: GrpcWorkspace, argv: list[str]) -> bool:
    with pytest.raises(WorkspaceLost):
        await workspace.run(argv)
    return True


async def test_git_is_ready(workspace: GrpcWorkspace) -> None:
    """A clean branch `work` at base, with an identity."""
    done = await workspace.run(["sh", "-c", "git branch --show-current; git status --porcelain; git log --format=%s"])
    assert done.stdout == b"work\na change\n"


async def test_pytest_is_there_and_our_packages_are_not(workspace: GrpcWorkspace) -> None:
    """A repository without an environment can be tested at once, with pytest and nothing else of ours."""
    assert (await workspace.run(["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"])).end.exit_code == 0
    probe = "import importlib.util as u; print([n for n in ('folkmoot', 'ray', 'grpc', 'nats') if u.find_spec(n)])"
    for python in ("python", "python3"):
        assert (await workspace.run([python, "-c", probe])).stdout == b"[]\n"


async def test_a_package_named_like_ours_is_the_repositorys(workspace: GrpcWorkspace) -> None:
    """`import folkmoot` in a repository that has one finds that one."""
    await workspace.write("folkmoot/__init__.py", b"MINE = 1\n")
    done = await workspace.run(["python", "-c", "import folkmoot; print(folkmoot.MINE, folkmoot.__file__)"])
    assert done.stdout == b"1 /workspace/folkmoot/__init__.py\n"


async def test_a_file_may_be_named_as_a_lost_workspace_is_told(workspace: GrpcWorkspace) -> None:
    """A name that the model chose does not end its workspace."""
    with pytest.raises(NotFound):
        await workspace.read("the workspace is not open")


async def test_a_time_limit_before_the_start_is_refused(workspace: GrpcWorkspace) -> None:
    """Nor is it taken for the limit that the command hit."""
    with pytest.raises(InvalidInput, match="timeout_s"):
        await workspace.run(["true"], timeout_s=-1.0)
