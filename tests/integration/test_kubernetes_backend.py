"""The Kubernetes backend over a small API server that fails as told; tests/contract has it on a real cluster."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from folkmoot.kernel.errors import FolkmootError, Misconfigured, ResourceExhausted, Unavailable
from folkmoot.runner.backend import Warming
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.local import toolchain
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings, RunnerSettings, Settings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.apiserver import ApiServer
from tests.fixtures.warming import ready
from tests.fixtures.workspace import Bench, Make, bench

BOUND_S = 30.0


def making(settings: KubernetesSettings) -> Make:
    def make(folder: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
        return untried(folder, sources=sources, settings=Settings(kubernetes=settings), clock=SystemClock())

    return make


@pytest.fixture(scope="session")
def toolchains(tmp_path_factory: pytest.TempPathFactory) -> Toolchains:
    """Of the pods here, which isolate nothing."""
    return toolchain.discover(tmp_path_factory.mktemp("toolchains"))


@pytest.fixture
async def api(tmp_path: Path, toolchains: Toolchains) -> ApiServer:
    (tmp_path / "api").mkdir()
    return ApiServer(tmp_path / "api", toolchains)


@pytest.fixture
async def runner(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> AsyncIterator[Bench]:
    async with api.serving() as settings, bench(tmp_path, toolchains, backend=making(settings)) as made:
        yield made


async def meanwhile(workspace: GrpcWorkspace, script: str, fault: Callable[[], Awaitable[None]]) -> None:
    """Whenever the script says something, the fault happens."""
    async for _ in workspace.stream(["sh", "-c", script]):
        await fault()


async def test_open_work_close(runner: Bench, api: ApiServer) -> None:
    """The whole way: a check-out, files, a commit, its bundle into another workspace, and nothing is left."""
    workspace = await runner.workspace()
    await workspace.write("new", b"1")
    assert await workspace.read("new") == b"1"
    done = await workspace.run(["sh", "-c", "git add -A && git commit -qm new && git log --format=%s && pwd"])
    assert (done.end.exit_code, done.stdout) == (0, b"new\na change\n/workspace\n"), done.stderr
    bundle = await workspace.export_bundle(runner.commit)
    head = (await workspace.run(["git", "rev-parse", "HEAD"])).stdout.decode().strip()
    other = await runner.workspace()
    await other.import_bundle(bundle, type(runner.commit)(head))
    assert await other.read("new") == b"1"
    for each in (workspace, other):
        await each.close()
    assert (api.jobs, api.pods) == ({}, {})


async def test_what_an_opening_asks_of_the_cluster(runner: Bench, api: ApiServer) -> None:
    """A Job, one command for the look at the network and the check-out, and a note that it is ready."""
    before = len(api.asked)
    await runner.opened()
    [job] = api.jobs
    ours = {"jobs", "exec", job}  # where pods are slow it also asks why
    asked = [(method, path.rpartition("/")[2]) for method, path in api.asked[before:]]
    asked = [each for each in asked if each[1] in ours]
    assert asked == [("POST", "jobs"), ("GET", "exec"), ("PATCH", job)]


async def test_what_a_claim_asks_of_the_cluster(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """A look and a change make it ours; meanwhile its pod is entered, once; and a note that it is ready."""
    ours = RunnerSettings(warm_min=1, warm_max=1)
    async with (
        api.serving() as settings,
        bench(tmp_path, toolchains, settings=ours, backend=making(settings), warm=True) as on,
    ):
        await ready(on.pool, 1)
        [job], before = api.jobs, len(api.asked)
        workspace = await on.workspace()
        asked = [(method, path.rpartition("/")[2]) for method, path in api.asked[before:] if job in path]
        assert sorted(asked) == [("GET", "exec"), ("GET", job), ("PATCH", job), ("PATCH", job)]
        assert (await workspace.run(["cat", "README.md"])).stdout == b"adder\n"


async def test_a_pod_is_entered_before_the_cluster_says_that_it_runs(runner: Bench, api: ApiServer) -> None:
    """As soon as it has begun, by trying: nodes say so up to a second later."""
    api.says_nothing = True
    workspace = await runner.workspace()
    assert (await workspace.run(["cat", "README.md"])).stdout == b"adder\n"


async def test_ends_of_commands(runner: Bench) -> None:
    """Status, signal, limit, a missing program, and no sight of the cluster."""
    workspace = await runner.workspace()
    assert (await workspace.run(["sh", "-c", "exit 3"])).end.exit_code == 3
    assert (await workspace.run(["sh", "-c", "kill -9 $$"])).end.signal == 9
    assert (await workspace.run(["sleep", "100"], timeout_s=0.3)).end.limit == "time"
    assert (await workspace.run(["no-such-program"])).end.exit_code == 127
    assert b"KUBERNETES" not in (await workspace.run(["env"])).stdout
    out = await workspace.run(["head", "-c", "3000000", "/dev/zero"], output_limit=2_000_000)
    assert (len(out.stdout), out.truncated) == (2_000_000, True)


async def test_a_command_whose_watcher_is_killed(runner: Bench) -> None:
    """Is a failure of the command's own; what it left dies too, and the workspace goes on."""
    workspace = await runner.workspace()
    done = await workspace.run(
        ["sh", "-c", "(while true; do date +%N > tick; done) & sleep 0.1; kill -9 $PPID; sleep 9"]
    )
    assert done.end.signal == 9
    async with asyncio.timeout(BOUND_S):
        while (await workspace.run(["pgrep", "-f", "while true"])).end.ok:
            pass


async def test_a_cut_connection(runner: Bench, api: ApiServer) -> None:
    """In the middle of a command: its outcome is unknown, it is said so, it is not run again, and it dies."""
    workspace = await runner.workspace()
    script = "echo x >> count; echo $$ > pid; echo on; exec sleep 1000"
    with pytest.raises(WorkspaceLost, match="unknown"):
        await meanwhile(workspace, script, api.cut)
    assert await workspace.read("count") == b"x\n"
    async with asyncio.timeout(BOUND_S):
        while (await workspace.run(["sh", "-c", "kill -0 $(cat pid)"])).end.ok:
            pass


async def test_a_command_that_nobody_hears_any_more(runner: Bench) -> None:
    """Leaving it ends it."""
    workspace = await runner.workspace()
    async with contextlib.aclosing(workspace.stream(["sh", "-c", "echo $$ > pid; echo on; exec sleep 1000"])) as parts:
        async for _ in parts:
            break
    async with asyncio.timeout(BOUND_S):
        while (await workspace.run(["sh", "-c", "kill -0 $(cat pid)"])).end.ok:
            pass


@pytest.mark.parametrize(
    ("method", "resource", "code", "message"),
    [
        ("GET", "exec", 503, "etcd"),
        ("GET", "exec", 500, "the kubelet is away"),
        ("POST", "jobs", 500, "etcd"),
        ("GET", "pods", 410, "too old"),
        ("PATCH", "jobs", 503, "apiserver is shutting down"),
    ],
)
async def test_a_server_that_fails_once(
    runner: Bench, api: ApiServer, method: str, resource: str, code: int, message: str
) -> None:
    """What has not begun is asked again, and nobody notices."""
    api.fails.append((method, resource, code, {"message": message}))
    api.stop_watches({"code": 410, "message": "too old"})
    assert (await (await runner.workspace()).run(["true"])).end.ok


async def test_a_create_whose_answer_was_lost(runner: Bench, api: ApiServer) -> None:
    """The second one finds the first: one Job, one pod."""
    api.loses_create = True
    await runner.workspace()
    assert len(api.jobs) == len(api.pods) == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("Error creating: pods is forbidden: exceeded quota: workspaces", ResourceExhausted),
        ('Error creating: pods "x" is forbidden: violates PodSecurity "restricted"', FolkmootError),
        ('admission webhook "policy" denied the request', FolkmootError),
    ],
)
async def test_a_job_that_gets_no_pod(runner: Bench, api: ApiServer, refusal: str, kind: type[FolkmootError]) -> None:
    """Why is said in the cluster's words; the Job is gone."""
    api.refuses_pods = refusal
    with pytest.raises(kind, match=refusal[-20:-1]):
        await runner.workspace()
    assert api.jobs == {}


async def test_an_image_that_is_missing(runner: Bench, api: ApiServer) -> None:
    """A person has to see to it, and waiting does not help."""
    api.status = {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImageNeverPull", "message": "m"}}}]}
    with pytest.raises(FolkmootError, match="ErrImageNeverPull"):
        await runner.workspace()
    assert api.jobs == {}


@pytest.mark.parametrize(("code", "kind"), [(429, ResourceExhausted), (403, FolkmootError)])
async def test_a_job_that_is_refused(runner: Bench, api: ApiServer, code: int, kind: type[FolkmootError]) -> None:
    """Too many requests: later. No right to: a person."""
    api.fails.append(("POST", "jobs", code, {"message": "no"}))
    with pytest.raises(kind):
        await runner.workspace()


async def test_a_pod_that_is_deleted(runner: Bench, api: ApiServer) -> None:
    """The workspace is lost, for the command that runs and for every later one."""
    workspace = await runner.workspace()
    (pod,) = api.pods
    with pytest.raises(WorkspaceLost):
        await meanwhile(workspace, "echo on; sleep 1000", lambda: api.lose(pod))
    with pytest.raises(WorkspaceLost):
        await workspace.run(["true"])


async def test_a_runner_that_comes_back(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Finds its workspaces in the cluster, by the same token; a Job that is none of them goes."""
    async with api.serving() as settings:
        async with bench(tmp_path, toolchains, backend=making(settings)) as first:
            opened = await first.opened(holder="a")
            await first.holding(opened).write("kept", b"1")
        stray = {**api.jobs[next(iter(api.jobs))]}
        stray["metadata"] = {**stray["metadata"], "name": "stray", "uid": "another", "annotations": {}}
        api.jobs["stray"] = stray
        async with bench(tmp_path, toolchains, backend=making(settings)) as second:
            again = await second.opened(holder="a")
            assert again.token == opened.token
            assert await second.holding(again).read("kept") == b"1"
            assert "stray" not in api.jobs


async def test_a_namespace_that_is_not_secured(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """No runner serves there."""
    api.labels = {}
    async with api.serving() as settings:
        with pytest.raises(Misconfigured, match="restricted"):
            async with bench(tmp_path, toolchains, backend=making(settings)):
                pytest.fail("it serves")


async def test_a_cluster_that_is_away_at_the_start(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Is said, after a while of patience."""
    async with api.serving() as settings:
        pass
    with pytest.raises(Unavailable, match="API server"):
        async with bench(tmp_path, toolchains, backend=making(settings)):
            pytest.fail("it serves")
