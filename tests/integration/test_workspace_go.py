"""Go in a workspace: its build cache is warm, stays within the workspace, and passes nothing on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.runner.local.gocache import TARGET
from folkmoot.runner.local.toolchain import Toolchains
from tests.fixtures.golang import Warmed
from tests.fixtures.workspace import Bench, bench, toolchains

__all__ = ["toolchains"]

FILES: dict[str, bytes | str] = {
    "go.mod": "module adder\n\ngo 1.21\n",
    "adder.go": "package adder\n\nfunc Add(a, b int) int { return a + b }\n",
    "adder_test.go": 'package adder\n\nimport "testing"\n\nfunc TestAdd(t *testing.T) {\n'
    '\tif Add(1, 2) != 3 {\n\t\tt.Fatal("sum")\n\t}\n}\n',
    "README.md": "adder\n",
}


@pytest.fixture
async def go(tmp_path: Path, toolchains: Toolchains, warmed_go: Warmed) -> AsyncIterator[Bench]:
    with warmed_go(tmp_path / "runner"):
        async with bench(tmp_path, toolchains, files=FILES) as ready:
            yield ready


async def test_the_cache_is_warm_kept_and_private(go: Bench) -> None:
    """The library is there compiled; what one call compiles the next finds; another workspace sees none of it."""
    for _ in range(4):
        await (await go.workspace()).close()  # On a busy machine the library takes longer than an opener waits.
    one, other = await go.workspace(), await go.workspace()
    count = f"find {TARGET} -type f | wc -l"
    warm = int((await one.run(["sh", "-c", count])).stdout)
    assert warm > 100
    first = await one.run(["go", "test", "-x", "./..."])
    assert first.end.ok, first.stderr
    assert b"# fmt\n" not in first.stderr
    second = await one.run(["go", "test", "./..."])
    assert b"(cached)" in second.stdout
    poison = f"for f in $(find {TARGET} -type f); do echo evil >$f; done; true"
    await one.run(["sh", "-c", poison])
    assert int((await other.run(["sh", "-c", count])).stdout) == warm
    assert (await other.run(["sh", "-c", f"grep -rl evil {TARGET} | wc -l"])).stdout == b"0\n"
    assert (await other.run(["go", "test", "-count=1", "./..."])).end.ok
    deferred = await go.workspace(deferred=True)
    assert (await deferred.run(["go", "env", "GOCACHE"])).stdout == f"{TARGET}\n".encode()
