"""Environments on this machine: made once by base's set-up, frozen, the same for everybody, and harmless."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.kernel.errors import FailedPrecondition, Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.runner.backend import Warming
from folkmoot.runner.environment.profile import TARGET
from folkmoot.runner.local.making import local
from folkmoot.runner.local.toolchain import PYTHON, Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.supervise import together
from tests.fixtures import need
from tests.fixtures.indexes import Index, go_proxy, serving_files, simple_index, wheel
from tests.fixtures.warming import ClockAhead, demanded
from tests.fixtures.workspace import Bench, bench, toolchains

__all__ = ["toolchains"]

COUNTED = f"cat requirements.txt >{TARGET}/lock; mktemp {TARGET}/run-XXXXXX"


def files(setup: str, *more: str, set_: str = "base") -> dict[str, bytes | str]:
    lines = ["[environment]", f'set = "{set_}"', f"setup = '''{setup}'''" if setup else "", *more]
    return {"README.md": "x\n", "requirements.txt": "x\n", ".moot.toml": "\n".join([*lines, ""])}


@asynccontextmanager
async def environed(
    folder: Path, toolchains: Toolchains, setup: str, *, set_: str = "base", **changes: object
) -> AsyncIterator[Bench]:
    """`changes` are fields of RunnerSettings; without them there is no way out."""
    settings = RunnerSettings(**{"setup_hosts": "", **changes})  # type: ignore[arg-type]
    async with bench(folder, toolchains, files=files(setup, set_=set_), settings=settings) as ready:
        yield ready


async def shell(ready: Bench, line: str, **changes: object) -> str:
    """In a fresh workspace."""
    done = await (await ready.workspace(**changes)).run(["sh", "-c", line])
    return (done.stdout + done.stderr).decode()


async def changed(ready: Bench, content: dict[str, bytes | str]) -> PreparedBase:
    """A base on top."""
    ready.repo.commit(content)
    return await ready.mirrors.prepare(str(ready.repo.folder), "HEAD")


def made(ready: Bench) -> list[Path]:
    return sorted((ready.places.parent / "environments").iterdir())


async def test_made_once_for_all_and_frozen(tmp_path: Path, toolchains: Toolchains) -> None:
    """Tasks at once wait for one run; agents and examinations see the same, read-only, and nothing of it in git; a base
    with the same lock files shares it, one with others gets its own; the next runner finds it."""
    async with environed(tmp_path, toolchains, COUNTED) as ready:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ready.registry.prepare(ready.base))
        look = f"cd {TARGET}; cat lock; ls | grep -c run-; touch z; rm lock; cd /workspace; git status --short"
        refused = "touch: cannot touch 'z': Read-only file system\nrm: cannot remove 'lock': Read-only file system\n"
        assert await shell(ready, look) == f"x\n1\n{refused}"
        assert await shell(ready, look, overlay=2) == f"x\n1\n{refused}"
        same = await changed(ready, {"other.py": "y = 1\n"})
        await ready.registry.prepare(same)
        assert len(made(ready)) == 1
        other = await changed(ready, {"requirements.txt": "y\n"})
        await ready.registry.prepare(other)
        assert len(made(ready)) == 2
        assert await shell(ready, f"cat {TARGET}/lock", base_commit=other.commit) == "y\n"
        kept = await ready.opened(holder="kept")
    async with environed(tmp_path, toolchains, COUNTED) as again:
        await again.registry.prepare(other)
        assert len(made(again)) == 2
        done = await again.holding(kept).run(["sh", "-c", f"cat {TARGET}/lock; ls {TARGET} | grep -c run-"])
        assert done.stdout == b"x\n1\n"


async def test_a_check_out_that_was_ready_before_has_it_too(tmp_path: Path, toolchains: Toolchains) -> None:
    """Whether a workspace was made for its asker or claimed."""
    clock = ClockAhead()
    async with bench(tmp_path, toolchains, files=files(COUNTED), warm=True, clock=clock) as ready:
        await demanded(ready, clock)
        claims = ready.pool.claims["ready"]
        assert await shell(ready, f"cat {TARGET}/lock") == "x\n"
        assert ready.pool.claims["ready"] == claims + 1


async def test_only_base_says_what_it_is(tmp_path: Path, toolchains: Toolchains) -> None:
    """A candidate's `.moot.toml` and lock files change nothing of what it is examined in, and the task is told so."""
    async with environed(tmp_path, toolchains, COUNTED) as ready:
        await ready.registry.prepare(ready.base)
        tip = ready.repo.commit({"requirements.txt": "evil\n", **files("touch $FOLKMOOT_ENVIRONMENT/evil")})
        bundle = ready.repo.bundle(tip, ready.base.commit)
        workspace = await ready.workspace()
        await workspace.import_bundle(bundle, tip)
        done = await workspace.run(["sh", "-c", f"grep -c evil .moot.toml; cat {TARGET}/lock; ls {TARGET} | grep evil"])
        assert done.stdout == b"1\nx\n"
        assert any("requirements.txt" in notice and "examined without" in notice for notice in ready.base.notices)


async def test_a_set_up_sees_what_its_key_covers(tmp_path: Path, toolchains: Toolchains) -> None:
    """And no other file of the repository: what it makes cannot depend on them."""
    setup = f"find . -type f | sort >{TARGET}/seen; sh tools/up.sh"
    async with environed(tmp_path, toolchains, "") as ready:
        content: dict[str, bytes | str] = {
            "tools/up.sh": "true\n",
            "tools/x.sh": "\n",
            "data/a b": "1\n",
            "package.json": "{}\n",
            **files(setup, 'lock = ["data/**"]'),
        }
        base = await changed(ready, content)
        await ready.registry.prepare(base)
        seen = await shell(ready, f"cat {TARGET}/seen", base_commit=base.commit)
        assert seen.splitlines() == ["./data/a b", "./package.json", "./requirements.txt", "./tools/up.sh"]


async def test_a_failed_set_up_says_why(tmp_path: Path, toolchains: Toolchains) -> None:
    """With its last lines; workspaces of the same task do not try again, the next task does; nothing of it is left."""
    setup = "echo a long story; echo no such package >&2; exit 7"
    async with environed(tmp_path, toolchains, setup) as ready:
        for _ in range(2):
            with pytest.raises(FailedPrecondition, match=r"exit code 7 (?s:.*)no such package") as caught:
                await ready.registry.prepare(ready.base)
            assert caught.value.guard == "environment"
            with pytest.raises(FailedPrecondition, match="no such package"):
                await ready.opened()
        assert made(ready) == []
        assert ready.registry.listed() == []


@pytest.mark.parametrize(
    ("setup", "changes", "words"),
    [
        ("sleep 100", {"setup_s": 1.0}, r"time limit: 1 s \(FOLKMOOT_RUNNER_SETUP_S\)"),
        (f"cat /dev/zero >{TARGET}/x", {"setup_disk_bytes": 2**22}, "failed with exit code 1|disk limit"),
        (f"for i in 1 2 3; do head -c 3M /dev/zero >{TARGET}/$i; done", {"setup_disk_bytes": 2**22}, "disk limit"),
        ("python3 -c 'x = bytes(2**28); y = x + x; input()' </dev/zero", {"memory_bytes": 2**27}, "memory limit"),
        ("kill -9 $$", {}, "failed with (signal 9|exit code 137)"),
    ],
)
async def test_a_set_up_has_limits(
    tmp_path: Path, toolchains: Toolchains, setup: str, changes: dict[str, Any], words: str
) -> None:
    """Each is named when it ends a set-up."""
    async with environed(tmp_path, toolchains, setup, **changes) as ready:
        with pytest.raises(FailedPrecondition, match=words):
            await ready.registry.prepare(ready.base)
        assert made(ready) == []


async def _drained(ready: Bench, half: Path) -> None:
    while not list(half.glob(".new-*/root/half")):  # noqa: ASYNC110 -- another process makes it
        await asyncio.sleep(0.02)
    await ready.registry.drain()


async def test_killed_in_the_middle(tmp_path: Path, toolchains: Toolchains) -> None:
    """Whoever waits hears that the runner ends; what was half-made, by it or by one that was killed, is never used."""
    half = tmp_path / "runner" / "environments"
    async with environed(tmp_path, toolchains, f"touch {TARGET}/half; sleep 1; {COUNTED}") as ready:
        with pytest.raises(Unavailable, match="this runner ends"):
            await together({"asking": ready.registry.prepare(ready.base), "ending": _drained(ready, half)})
    assert list(half.iterdir()) == []
    (half / ".new-killed" / "root").mkdir(parents=True)
    (half / ("0" * 32) / "root").mkdir(parents=True)
    async with environed(tmp_path, toolchains, "") as again:
        assert made(again) == []
        await again.registry.prepare(again.base)
        assert await shell(again, f"ls {TARGET} | grep -c run-") == "1\n"


async def test_what_a_hostile_one_leaves(tmp_path: Path, toolchains: Toolchains) -> None:
    """Links are kept and followed by nobody outside; no set-user bit, pipe or socket stays; folders that nobody may
    enter, background processes and a node_modules that is a link hurt nobody; everything can be removed."""
    setup = f"""cd {TARGET}
ln -s /etc/passwd out; ln -s ../../.. up; mkfifo pipe; mkdir -p shut/in; cp /bin/true suid; chmod 6755 suid
chmod 000 shut; ln -s /etc /workspace/node_modules
(while :; do touch {TARGET}/late; sleep 0.01; done) &
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
mknod null c 1 3 || true; touch {TARGET}/done"""
    async with environed(tmp_path, toolchains, setup, environments=1) as ready:
        await ready.registry.prepare(ready.base)
        look = f"cd {TARGET}; ls; stat -c %a suid shut; find . -perm /6000; readlink out"
        seen = (await shell(ready, look)).split()
        assert {"done", "out", "up", "shut", "suid"} <= set(seen)
        assert not {"pipe", "sock", "null", "node_modules"} & set(seen)
        assert seen[-3:] == ["755", "700", "/etc/passwd"]
        (root,) = (place / "root" for place in made(ready))
        assert (root / "out").is_symlink()
        for workspace in ready.registry.listed():
            await ready.registry.close(workspace.wish.workspace_id)
        other = await changed(ready, files("true"))
        await ready.registry.prepare(other)
        assert [place.name for place in made(ready)] != [root.parent.name]
        assert len(made(ready)) == 1


@pytest.mark.parametrize("limit", [{"environments": 1}, {"environments_bytes": 1}])
async def test_room_is_made_of_what_nobody_uses(tmp_path: Path, toolchains: Toolchains, limit: dict[str, Any]) -> None:
    """The least recently used goes first; one that a workspace has stays, over any limit."""
    async with environed(tmp_path, toolchains, COUNTED, **limit) as ready:
        await ready.registry.prepare(ready.base)
        holder = await ready.workspace()
        for line in ("y\n", "z\n"):
            last = await changed(ready, {"requirements.txt": line})
            await ready.registry.prepare(last)
        assert len(made(ready)) == 2
        assert (await holder.run(["cat", f"{TARGET}/lock"])).stdout == b"x\n"
        assert await shell(ready, f"cat {TARGET}/lock", base_commit=last.commit) == "z\n"


async def test_what_is_missing_is_named(tmp_path: Path, toolchains: Toolchains) -> None:
    """A library set, another version of it, or the program of tests that were found: an error, not a failing test."""
    bare = msgspec.structs.replace(toolchains, path=(f"{PYTHON}/bin", "/bin"))
    async with environed(tmp_path, bare, "", set_="go") as ready:
        for content, words in [
            ({}, "library set go needs go, which this machine has not"),
            ({".moot.toml": '[environment]\nimage = "python-2.7"\n'}, r"python-2.7, and this machine has python 3\."),
            ({".moot.toml": f'[environment]\nimage = "x@sha256:{"0" * 64}"\n'}, "no containers"),
            ({".moot.toml": '[environment]\nsetup = "true"\nallow_hosts = ["x.org"]\n'}, "x.org:443; see FOLKMOOT_"),
            ({".moot.toml": "", "go.mod": "module x\n", "x_test.go": "package x\n"}, "tests at base need go"),
        ]:
            base = await changed(ready, {**content, "n": words})
            with pytest.raises(FailedPrecondition, match=words) as caught:
                await ready.registry.prepare(base)
            assert caught.value.guard == "environment"


HOST = "packages.example"


async def resolve(name: str, _: int) -> list[str]:
    """The index has a name of its own, at which nothing is but in these tests."""
    return ["127.0.0.1"] if name == HOST else []


@asynccontextmanager
async def indexed(
    folder: Path, toolchains: Toolchains, content: dict[str, bytes], setup: str, set_: str
) -> AsyncIterator[tuple[Bench, Index]]:
    """`setup` may reach an index with `content`, at `{index}`."""
    async with serving_files(content) as index:
        at = f"{HOST}:{index.port}"
        settings = RunnerSettings(setup_hosts=f"{at},pypi.org", setup_private_hosts=HOST)

        def backend(place: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
            return local(place, toolchains, sources=sources, settings=settings, resolve=resolve)

        started = files(setup.replace("{index}", f"http://{at}"), set_=set_)
        async with bench(folder, toolchains, files=started, settings=settings, backend=backend) as ready:
            yield ready, index


async def test_pip_installs_and_tests_run_on_it(tmp_path: Path, toolchains: Toolchains) -> None:
    """From an allowed index, through the one way out; afterwards there is none. pytest is the platform's where the
    environment has no other. Hosts that are not allowed are named by pip and by us."""
    content = simple_index(wheel("shout", "1.0", {"shout.py": "def up(s):\n    return s.upper()\n"}))
    setup = f"pip install -i {{index}}/simple --trusted-host {HOST} -r requirements.txt"
    async with indexed(tmp_path, toolchains, content, setup, "python") as (ready, index):
        test = "from shout import up\n\n\ndef test_up():\n    assert up('a') == 'A'\n"
        base = await changed(ready, {"requirements.txt": "shout==1.0\n", "test_up.py": test})
        await ready.registry.prepare(base)
        assert "/files/shout-1.0-py3-none-any.whl" in index.asked
        assert base.suite is not None
        workspace = await ready.workspace(base_commit=base.commit)
        done = await workspace.run(["sh", "-c", base.suite.command.replace("{report}", "/tmp/r")])
        assert b"1 passed" in done.stdout, done.stderr
        out = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3128), 1)'; ls /opt; env"
        closed = (await workspace.run(["sh", "-c", out])).stdout.decode()
        assert "way-out" not in closed
        assert "HTTP_PROXY" not in closed


async def test_what_is_not_allowed_is_named(tmp_path: Path, toolchains: Toolchains) -> None:
    """To whoever asked, and in the error of the task."""
    ask = "import urllib.request as u; u.urlopen('http://example.org:81/x')"
    async with indexed(tmp_path, toolchains, {}, f'python3 -c "{ask}"', "base") as (ready, _):
        words = r"refused: example\.org:81 is not among the allowed hosts; it said: (?s:.*)HTTP Error 403: Refused"
        with pytest.raises(FailedPrecondition, match=words):
            await ready.registry.prepare(ready.base)


async def test_there_is_no_other_way_out(tmp_path: Path, toolchains: Toolchains) -> None:
    """The set-up's own loopback is the one network that it has, whatever its variables say."""
    lines = [
        "import socket, sys",
        "for place in (('127.0.0.1', int(sys.argv[1])), ('8.8.8.8', 53), ('169.254.169.254', 80)):",
        "    try:",
        "        socket.create_connection(place, 2)",
        "    except OSError as error:",
        "        print(place[0], error.strerror)",
        "print(sorted(name for _, name in socket.if_nameindex()))",
    ]
    ask = "\n".join(lines)
    setup = f"echo {{index}} | cut -d: -f3 >port; python3 - $(cat port) >{TARGET}/said <<END\n{ask}\nEND"
    async with indexed(tmp_path, toolchains, {}, setup, "base") as (ready, index):
        await ready.registry.prepare(ready.base)
        refused, *unreachable, interfaces = (await shell(ready, f"cat {TARGET}/said")).splitlines()
        assert (refused, interfaces) == ("127.0.0.1 Connection refused", "['lo']")
        assert unreachable == ["8.8.8.8 Network is unreachable", "169.254.169.254 Network is unreachable"]
        assert index.asked == []


async def test_the_repository_itself_is_not_installed_as_a_copy(tmp_path: Path, toolchains: Toolchains) -> None:
    """Its tests would run that, whatever a candidate changed."""
    note = '{"url": "file:///workspace", "dir_info": {%s}}'
    line = f"mkdir -p {TARGET}/x.dist-info; echo '{note}' >{TARGET}/x.dist-info/direct_url.json"
    async with environed(tmp_path, toolchains, line % "") as ready:
        with pytest.raises(FailedPrecondition, match="as a copy"):
            await ready.registry.prepare(ready.base)
        await ready.registry.prepare(await changed(ready, files(line % '"editable": true')))


async def test_go_modules_are_there_without_network(tmp_path: Path, toolchains: Toolchains) -> None:
    """Downloaded by the set-up from a proxy that it may reach, read-only afterwards."""
    need(shutil.which("go"), "needs go")
    module = {"go.mod": "module example.org/up\n\ngo 1.21\n", "up.go": "package up\n\nfunc Up() int { return 1 }\n"}
    content = go_proxy("example.org/up", "v1.0.0", module)
    setup = f"export GOPROXY={{index}} GONOSUMDB=*; cp needs go.mod; go mod download all; cp go.sum {TARGET}"
    async with indexed(tmp_path, toolchains, content, setup, "go") as (ready, _):
        needs = "module x\n\ngo 1.21\n\nrequire example.org/up v1.0.0\n"
        base = await changed(ready, {"needs": needs})
        await ready.registry.prepare(base)
        line = f"cp needs go.mod; cp {TARGET}/go.sum .; go list -f '{{{{.Dir}}}}' example.org/up"
        found = await (await ready.workspace(base_commit=base.commit)).run(["sh", "-c", line])
        assert found.stdout == f"{TARGET}/go/pkg/mod/example.org/up@v1.0.0\n".encode(), found.stderr


async def test_node_modules_are_found_from_anywhere_below(tmp_path: Path, toolchains: Toolchains) -> None:
    """What npm would have left beside package.json, and nothing of it is in the repository's folder."""
    need(shutil.which("node"), "needs node")
    setup = "mkdir -p node_modules/up node_modules/.bin; echo 'module.exports = 1' >node_modules/up/index.js"
    async with environed(tmp_path, toolchains, setup, set_="node") as ready:
        await ready.registry.prepare(ready.base)
        line = "mkdir a; cd a; node -e 'console.log(require(\"up\"))'; ls -A /workspace"
        assert (await shell(ready, line)).split() == ["1", ".git", ".moot.toml", "README.md", "a", "requirements.txt"]
