"""Environments in a cluster's pods: made once by base's set-up behind the tunnel, laid read-only into every pod.

The cluster is the small API server, whose pods are real and isolate nothing; `test_environments_kubernetes.py` has it
on a real one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from folkmoot.kernel.errors import FailedPrecondition, Unavailable
from folkmoot.runner.backend import Warming
from folkmoot.runner.environment.profile import TARGET
from folkmoot.runner.kubernetes.cluster import Cluster
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.local import toolchain
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings, RunnerSettings, Settings
from folkmoot.runtime.supervise import together
from tests.fixtures.apiserver import ApiServer
from tests.fixtures.indexes import Index, serving_files, simple_index, wheel
from tests.fixtures.warming import ClockAhead, demanded
from tests.fixtures.workspace import Bench, bench
from tests.integration.test_environments import COUNTED, HOST, changed, files, resolve, shell


@pytest.fixture(scope="session")
def toolchains(tmp_path_factory: pytest.TempPathFactory) -> Toolchains:
    return toolchain.discover(tmp_path_factory.mktemp("toolchains"))


class Served(ApiServer):
    """With the settings that lead to it."""

    settings: KubernetesSettings


@pytest.fixture
async def api(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Served]:
    (tmp_path / "api").mkdir()
    made = Served(tmp_path / "api", toolchains)
    async with made.serving() as made.settings:
        yield made


@asynccontextmanager
async def environed(
    folder: Path,
    api: Served,
    setup: str,
    *,
    base: bool = True,
    warm: ClockAhead | None = None,
    **changes: object,
) -> AsyncIterator[Bench]:
    """`changes` are fields of RunnerSettings; without them there is no way out. `base`: of the library set of that
    name, which has no Python environment."""
    settings = RunnerSettings(**{"setup_hosts": "", **changes})  # type: ignore[arg-type]
    every = Settings(kubernetes=api.settings, runner=settings)

    def make(place: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
        return untried(place, sources=sources, settings=every, clock=SystemClock(), resolve=resolve)

    content, of = files(setup, set_="base"), api.toolchains
    if not base:
        content[".moot.toml"] = str(content[".moot.toml"]).replace('set = "base"\n', "")
    async with bench(
        folder, of, files=content, settings=settings, backend=make, warm=warm is not None, clock=warm
    ) as ready:
        yield ready


def made(ready: Bench) -> list[Path]:
    return sorted((ready.places.parent / "pod-environments").iterdir())


async def test_made_once_for_all_and_frozen(tmp_path: Path, api: Served) -> None:
    """Tasks at once wait for one run; agents and examinations see the same, read-only; a base with other lock files
    gets its own; the next runner finds it, and workspaces that have it."""
    async with environed(tmp_path, api, COUNTED) as ready:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ready.registry.prepare(ready.base))
        assert len(api.jobs) == 0
        look = f"cd {TARGET}; cat lock; ls | grep -c run-; touch z; rm lock; cd /workspace; git status --short"
        refused = "touch: cannot touch 'z': Read-only file system\nrm: cannot remove 'lock': Read-only file system\n"
        assert await shell(ready, look) == f"x\n1\n{refused}"
        assert await shell(ready, look, overlay=2) == f"x\n1\n{refused}"
        other = await changed(ready, {"requirements.txt": "y\n"})
        await ready.registry.prepare(other)
        assert len(made(ready)) == 2
        assert await shell(ready, f"cat {TARGET}/lock", base_commit=other.commit) == "y\n"
        kept = await ready.opened(holder="kept")
    async with environed(tmp_path, api, COUNTED) as again:
        await again.registry.prepare(other)
        assert len(made(again)) == 2
        assert await shell(again, f"cat {TARGET}/lock", holder="new", base_commit=other.commit) == "y\n"
        done = await again.holding(kept).run(["sh", "-c", f"cat {TARGET}/lock; echo $FOLKMOOT_ENVIRONMENT"])
        assert done.stdout == f"x\n{TARGET}\n".encode()


async def test_what_one_does_to_its_copy_reaches_nobody_else(tmp_path: Path, api: Served) -> None:
    """Not even where a mount were not read-only: each pod has a copy of its own, and the runner's is never written."""
    async with environed(tmp_path, api, COUNTED) as ready:
        first, second = await ready.workspace(), await ready.workspace()
        (packed,) = made(ready)
        before = (packed / "packed.tar.gz").read_bytes()
        for pod in api.running.values():
            (pod.folder / "environment" / "lock").write_text(pod.folder.name, "utf-8")
            break
        seen = [(await w.run(["cat", f"{TARGET}/lock"])).stdout for w in (first, second)]
        assert sorted(s == b"x\n" for s in seen) == [False, True]
        assert await shell(ready, f"cat {TARGET}/lock") == "x\n"
        assert (packed / "packed.tar.gz").read_bytes() == before


async def test_a_warm_pod_has_it_already(tmp_path: Path, api: Served) -> None:
    """While it waits; whoever claims it finds it."""
    clock = ClockAhead()
    async with environed(tmp_path, api, COUNTED, warm=clock) as ready:
        await demanded(ready, clock)
        laid = [pod for pod in api.running.values() if (pod.folder / "environment" / "lock").exists()]
        assert laid
        claims = ready.pool.claims["ready"]
        assert await shell(ready, f"cat {TARGET}/lock; which x || true") == "x\n"
        assert ready.pool.claims["ready"] == claims + 1


async def test_pip_installs_and_tests_run_on_it(tmp_path: Path, api: Served) -> None:
    """From an allowed index, through the tunnel; afterwards there is none. pytest is the image's where the environment
    has no other; what is not allowed is named."""
    content = simple_index(wheel("shout", "1.0", {"shout.py": "def up(s):\n    return s.upper()\n"}))
    setup = f"pip install -i http://{{at}}/simple --trusted-host {HOST} -r requirements.txt"
    async with serving_files(content) as index, _indexed(tmp_path, api, index, setup, base=False) as ready:
        test = "from shout import up\n\n\ndef test_up():\n    assert up('a') == 'A'\n"
        base = await changed(ready, {"requirements.txt": "shout==1.0\n", "test_up.py": test})
        await ready.registry.prepare(base)
        assert "/files/shout-1.0-py3-none-any.whl" in index.asked
        assert base.suite is not None
        workspace = await ready.workspace(base_commit=base.commit)
        done = await workspace.run(["sh", "-c", base.suite.command.replace("{report}", "/tmp/r")])
        assert b"1 passed" in done.stdout, done.stdout + done.stderr
        out = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3128), 1)'; env"
        closed = await workspace.run(["sh", "-c", out])
        assert b"Connection refused" in closed.stderr
        assert b"HTTP_PROXY" not in closed.stdout


def _indexed(
    folder: Path, api: Served, index: Index, setup: str, *, base: bool = True
) -> AbstractAsyncContextManager[Bench]:
    at = f"{HOST}:{index.port}"
    line = setup.replace("{at}", at)
    return environed(folder, api, line, base=base, setup_hosts=f"{at},pypi.org", setup_private_hosts=HOST)


async def test_what_is_not_allowed_is_named(tmp_path: Path, api: Served) -> None:
    """To whoever asked, and in the error of the task."""
    ask = "import urllib.request as u; u.urlopen('http://example.org:81/x')"
    async with serving_files({}) as index, _indexed(tmp_path, api, index, f'python3 -c "{ask}"') as ready:
        words = r"refused: example\.org:81 is not among the allowed hosts; it said: (?s:.*)HTTP Error 403: Refused"
        with pytest.raises(FailedPrecondition, match=words):
            await ready.registry.prepare(ready.base)


async def test_much_comes_through_at_once(tmp_path: Path, api: Served) -> None:
    """Connections side by side, each whole and by itself, more than a window of the tunnel, and one that nobody reads
    holds up no other."""
    content = {f"/{n}": bytes([n]) * 3_000_000 for n in range(8)}
    lines = [
        "import hashlib, os, socket, threading, urllib.request as u",
        "stuck = socket.create_connection(('127.0.0.1', 3128))",
        "stuck.sendall(b'GET http://{at}/0 HTTP/1.1\\r\\nHost: {at}\\r\\n\\r\\n')",
        "said = {}",
        "def get(n):",
        "    said[n] = hashlib.sha256(u.urlopen('http://{at}/%d' % n).read()).hexdigest()",
        "tasks = [threading.Thread(target=get, args=(n,)) for n in range(8)]",
        "[t.start() for t in tasks], [t.join() for t in tasks]",
        "assert said == {n: hashlib.sha256(bytes([n]) * 3_000_000).hexdigest() for n in range(8)}, said",
    ]
    setup = f"cat >x.py <<'END'\n{chr(10).join(lines)}\nEND\npython3 x.py"
    async with serving_files(content) as index, _indexed(tmp_path, api, index, setup) as ready:
        await ready.registry.prepare(ready.base)
        assert len(made(ready)) == 1


async def test_a_failed_set_up_says_why(tmp_path: Path, api: Served) -> None:
    """With its last lines; workspaces of the same task do not try again; nothing of it is left, here or there."""
    async with environed(tmp_path, api, "echo a long story; echo no such package >&2; exit 7") as ready:
        with pytest.raises(FailedPrecondition, match=r"exit code 7 (?s:.*)no such package") as caught:
            await ready.registry.prepare(ready.base)
        assert caught.value.guard == "environment"
        with pytest.raises(FailedPrecondition, match="no such package"):
            await ready.opened()
        assert (made(ready), api.jobs) == ([], {})


@pytest.mark.parametrize(
    ("setup", "changes", "words"),
    [
        ("sleep 100", {"setup_s": 1.0}, r"time limit: 1 s \(FOLKMOOT_RUNNER_SETUP_S\)"),
        (f"for i in 1 2 3; do head -c 3M /dev/zero >{TARGET}/$i; done", {"setup_disk_bytes": 2**22}, "disk limit"),
        ("kill -9 $$", {}, "failed with (signal 9|exit code 137)"),
        ("sleep 0.2; kill -9 $PPID; sleep 9", {}, "failed with signal 9"),
    ],
)
async def test_a_set_up_has_limits(
    tmp_path: Path, api: Served, setup: str, changes: dict[str, Any], words: str
) -> None:
    """Each is named when it ends a set-up."""
    async with environed(tmp_path, api, setup, **changes) as ready:
        with pytest.raises(FailedPrecondition, match=words):
            await ready.registry.prepare(ready.base)
        assert (made(ready), api.jobs) == ([], {})


async def test_what_a_hostile_one_leaves(tmp_path: Path, api: Served) -> None:
    """Links are kept and followed by nobody; no set-user bit, pipe or socket stays; folders that nobody may enter,
    background processes and a node_modules that is a link hurt nobody; nothing lands outside of the volume."""
    setup = f"""cd {TARGET}
ln -s /etc/passwd out; ln -s ../../.. up; mkfifo pipe; mkdir -p shut/in; cp /bin/true suid; chmod 6755 suid
chmod 000 shut; ln -s /etc /workspace/node_modules; ln -s /etc node_modules
touch "a b" "$(printf 'n\\nl')" -- -x; ln suid hard
(while :; do touch {TARGET}/late; sleep 0.01; done) &
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
touch {TARGET}/done"""
    async with environed(tmp_path, api, setup) as ready:
        await ready.registry.prepare(ready.base)
        look = f"cd {TARGET}; ls -b; stat -c %a suid shut; find . -perm /6000; readlink out; ls -A /node_modules"
        seen = (await shell(ready, look)).split("\n")
        assert {"done", "out", "up", "shut", "suid", "hard", "a\\ b", "n\\nl", "-x"} <= set(seen)
        assert not {"pipe", "sock", "passwd"} & set(seen)
        assert seen[seen.index("755") :][:3] == ["755", "700", "/etc/passwd"]


async def test_the_end_of_a_runner(tmp_path: Path, api: Served) -> None:
    """In the middle of a set-up: whoever waits hears of it, nothing half-made is used, no pod stays, and the next one
    begins anew; the pod of one that was killed goes when its successor begins."""
    async with environed(tmp_path, api, f"touch {TARGET}/half; sleep 5; {COUNTED}") as ready:
        with pytest.raises(Unavailable, match="this runner ends"):
            await together({"asking": ready.registry.prepare(ready.base), "ending": _drained(ready, api)})
        assert made(ready) == []
    assert api.jobs == {}
    half = tmp_path / "runner/pod-environments/.new-killed"
    half.mkdir()
    async with environed(tmp_path, api, "") as again:
        assert not half.exists()
        assert isinstance(again.backend, Cluster)
        jobs = again.backend.jobs
        await jobs.make_setup("moot-setup-left", jobs.plan_with(""), deadline_s=60)
        assert len(api.jobs) == 1
    async with environed(tmp_path, api, ""):
        assert api.jobs == {}


async def _drained(ready: Bench, api: Served) -> None:
    while not [p for p in api.running.values() if (p.folder / "environment/half").exists()]:  # noqa: ASYNC110 -- another process makes it
        await asyncio.sleep(0.02)
    await ready.registry.drain()


async def test_a_connection_that_is_cut(tmp_path: Path, api: Served) -> None:
    """In the middle of a set-up: it is for later, no candidate and no script is blamed."""
    async with environed(tmp_path, api, f"touch {TARGET}/half; sleep 9", setup_hosts="pypi.org") as ready:
        with pytest.raises(Unavailable, match=r"lost|cut"):
            await together({"asking": ready.registry.prepare(ready.base), "cutting": _cut(api)})
        assert (made(ready), api.jobs) == ([], {})


async def _cut(api: Served) -> None:
    while not [p for p in api.running.values() if (p.folder / "environment/half").exists()]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await api.cut()


async def test_one_that_is_spoilt_is_made_anew(tmp_path: Path, api: Served) -> None:
    """What lies on the runner's disk is not what was made: no workspace gets it; who asked comes again, and has it."""
    async with environed(tmp_path, api, COUNTED) as ready:
        await ready.registry.prepare(ready.base)
        (place,) = made(ready)
        packed = place / "packed.tar.gz"
        body = bytearray(packed.read_bytes())
        body[len(body) // 2] ^= 1
        packed.write_bytes(body)
        assert await shell(ready, f"cat {TARGET}/lock") == "x\n"
        assert packed.read_bytes() != bytes(body)
