"""Environments on a real cluster: what the small API server of `test_environments_pods.py` cannot show."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.backend import Warming
from folkmoot.runner.environment.profile import TARGET
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import RunnerSettings, Settings
from tests.fixtures.backends import NAMESPACE, settings
from tests.fixtures.cluster import Cluster
from tests.fixtures.indexes import serving_files
from tests.fixtures.warming import ClockAhead, demanded
from tests.fixtures.workspace import Bench, bench, toolchains
from tests.integration.test_environments import HOST, changed, files, resolve

__all__ = ["toolchains"]

pytestmark = pytest.mark.kubernetes
DISK = 256 * 1024**2


@asynccontextmanager
async def environed(
    folder: Path, ready: Cluster, toolchains: Toolchains, setup: str, hosts: str, clock: ClockAhead
) -> AsyncIterator[Bench]:
    """With warm workspaces."""
    ours = RunnerSettings(
        setup_hosts=hosts, setup_private_hosts=HOST, setup_disk_bytes=DISK, setup_s=120.0, warm_min=0, warm_max=1
    )
    every = Settings(kubernetes=settings(ready, folder), runner=ours)

    def make(place: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
        return untried(place, sources=sources, settings=every, clock=SystemClock(), resolve=resolve)

    content = files(setup)
    async with bench(folder, toolchains, files=content, settings=ours, backend=make, warm=True, clock=clock) as made:
        try:
            yield made
        finally:
            for manifest in made.registry.listed():
                await made.registry.close(manifest.wish.workspace_id)


def asked(ready: Cluster, at: str) -> str:
    """A set-up that fetches a file by the one way out, and tries others."""
    server = re.sub(r"https?://", "", ready.server).split(":")
    lines = [
        "import os, socket, urllib.request as u",
        f"open('{TARGET}/fetched', 'wb').write(u.urlopen('http://{at}/big').read())",
        "said = open('%s/said' % '/opt/environment', 'w')",
        f"for place in (('{server[0]}', {server[1]}), ('{ready.machine}', {at.rpartition(':')[2]}), ('8.8.8.8', 53)):",
        "    try:",
        "        socket.create_connection(place, 2)",
        "        said.write('open %s %s\\n' % place)",
        "    except OSError as error:",
        "        said.write('shut\\n')",
        "said.write('%s\\n' % bool([n for n in os.environ if n.startswith('KUBERNETES')]))",
    ]
    run = f"python3 x.py\nmkdir -p node_modules/up; mktemp {TARGET}/run-XXXXXX"
    return f"cat >x.py <<'END'\n{chr(10).join(lines)}\nEND\n{run}"


async def test_the_whole_way(tmp_path: Path, cluster: Cluster, toolchains: Toolchains) -> None:
    """A set-up reaches what is allowed and nothing else, whatever its environment says; what it made is read-only in
    every pod, cold or warm, and the same for all; no pod of it stays. A refused host is named."""
    big, clock = bytes(range(256)) * 8192, ClockAhead()
    async with serving_files({"/big": big}) as index:
        at = f"{HOST}:{index.port}"
        async with environed(tmp_path, cluster, toolchains, asked(cluster, at), at, clock) as ready:
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(ready.registry.prepare(ready.base))
            assert index.asked == ["/big"]
            assert "moot-setup" not in cluster.kubectl("get", "jobs", "--namespace", NAMESPACE, "--output", "name")
            cold = await ready.workspace()
            await demanded(ready, clock)
            claims = ready.pool.claims["ready"]
            warm = await ready.workspace()
            assert ready.pool.claims["ready"] == claims + 1
            look = f"""cd {TARGET}; cat said; sha256sum <fetched; ls -d run-*; ls /node_modules
touch z; rm fetched; touch /node_modules/z; echo $FOLKMOOT_ENVIRONMENT; mount | grep -c ' {TARGET} .*[(]ro'"""
            seen = [(await w.run(["sh", "-c", look])) for w in (cold, warm)]
            assert seen[0].stdout == seen[1].stdout
            lines = seen[0].stdout.decode().split("\n")
            assert lines[:4] == ["shut", "shut", "shut", "False"]
            assert lines[4].split()[0] == hashlib.sha256(big).hexdigest()
            assert (lines[6], lines[7:9]) == ("up", [TARGET, "1"]), lines
            assert seen[0].stderr.count(b"Read-only file system") == 3
            assert (await cold.run(["git", "status", "--short"])).stdout == b""
            refused = await changed(
                ready, files("python3 -c 'import urllib.request as u; u.urlopen(\"http://x.org/\")'")
            )
            with pytest.raises(FailedPrecondition, match=r"refused: x\.org:80 is not among the allowed hosts"):
                await ready.registry.prepare(refused)
