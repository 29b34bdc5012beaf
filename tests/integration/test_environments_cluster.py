"""Environments in a cluster: a base's own image, where the installation allows it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.backend import Warming
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.local import toolchain
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings, Settings
from tests.fixtures.apiserver import IMAGE, ApiServer
from tests.fixtures.workspace import Bench, bench

OWN = f"registry.example/own@sha256:{'1' * 64}"
FOLDERS = ("/opt/python/bin", "/usr/bin", "/bin")
"""Where pods look for programs: Go is elsewhere on most machines."""
PYTHON = f"registry.example/python@sha256:{'2' * 64}"


@pytest.fixture
def api(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    (tmp_path / "api").mkdir()
    found = toolchain.discover(tmp_path_factory.mktemp("toolchains"))
    return ApiServer(tmp_path / "api", msgspec.structs.replace(found, path=FOLDERS))


@pytest.fixture
async def ready(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, api: ApiServer) -> AsyncIterator[Bench]:
    async with api.serving() as settings:
        wanted = msgspec.structs.replace(settings, images=f"{OWN}, python-3.11={PYTHON}")

        def make(folder: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
            return _untried(folder, sources, wanted)

        toolchains = toolchain.discover(tmp_path_factory.mktemp("unused"))
        async with bench(tmp_path, toolchains, backend=make) as made:
            yield made


def _untried(folder: Path, sources: Sources, wanted: KubernetesSettings) -> AbstractAsyncContextManager[Warming]:
    return untried(folder, sources=sources, settings=Settings(kubernetes=wanted), clock=SystemClock())


@pytest.mark.parametrize(
    ("environment", "image"),
    [("", IMAGE), ("set = 'base'", IMAGE), (f"image = '{OWN}'", OWN), ("image = 'python-3.11'", PYTHON)],
)
async def test_a_base_chooses_its_image(ready: Bench, api: ApiServer, environment: str, image: str) -> None:
    """By digest or as a library set, of those that are allowed; without a word the installation's own."""
    ready.repo.commit({".moot.toml": f"[environment]\n{environment}\n"})
    base = await ready.mirrors.prepare(str(ready.repo.folder), "HEAD")
    await ready.registry.prepare(base)
    workspace = await ready.workspace(base_commit=base.commit)
    assert (await workspace.run(["true"])).end.ok
    (job,) = api.jobs.values()
    pod = job["spec"]["template"]["spec"]
    assert {c["image"] for c in (*pod["containers"], *pod.get("initContainers", ()))} == {image}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (f"setup = 'true'\nimage = 'other{OWN}'", "which this installation does not allow"),
        (f"image = 'other{OWN}'", "which this installation does not allow"),
        ("set = 'go'", "library set go"),
    ],
)
async def test_what_a_cluster_does_not_do(ready: Bench, api: ApiServer, environment: str, words: str) -> None:
    """Is refused when the task begins and when a workspace is asked for, and no Job is made."""
    ready.repo.commit({".moot.toml": f"[environment]\n{environment}\n"})
    base = await ready.mirrors.prepare(str(ready.repo.folder), "HEAD")
    with pytest.raises(FailedPrecondition, match=words) as caught:
        await ready.registry.prepare(base)
    assert caught.value.guard == "environment"
    with pytest.raises(FailedPrecondition, match=words):
        await ready.opened(base_commit=base.commit)
    assert api.jobs == {}


@pytest.mark.parametrize(
    ("program", "files"),
    [
        ("go", {"go.mod": "module x\n", "x_test.go": "package x\n"}),
        ("node", {"package.json": "{}", "x.test.mjs": "import 'node:test'\n"}),
    ],
)
async def test_tests_whose_program_the_image_has_not(
    ready: Bench, api: ApiServer, program: str, files: dict[str, bytes | str]
) -> None:
    """An error that names the program and the image, where it has none; asked in a pod once, and nothing is left."""
    ready.repo.commit(files)
    base = await ready.mirrors.prepare(str(ready.repo.folder), "HEAD")
    there = shutil.which(program, path=":".join(FOLDERS))
    for _ in range(2):
        if there:
            await ready.registry.prepare(base)
            continue
        with pytest.raises(
            FailedPrecondition, match=f"the tests at base need {program}, which the image {IMAGE} has not"
        ):
            await ready.registry.prepare(base)
    assert [method for method, _ in api.asked].count("POST") == 1
    assert api.jobs == {}
