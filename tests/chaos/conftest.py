"""A platform for faults, shared by all tests that leave it standing; and the times that they took."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.ids import AgentId
from folkmoot.rehearsal.script import bundled, compose, dump
from tests.chaos.arena import CAST, LATENCY_S, Arena, Outcome
from tests.fixtures.platform import Moot


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a model that plays CAST with a latency."""
    yield from played(tmp_path_factory.mktemp("model"))


def played(folder: Path) -> Iterator[str]:
    script = folder / "script.yaml"
    cast = {AgentId(agent): behaviour for agent, behaviour in CAST.items()}
    script.write_text(dump(msgspec.structs.replace(compose(cast, bundled()), latency_s=LATENCY_S)), "utf-8")
    argv = [sys.executable, "-m", "folkmoot.rehearsal", "--script", str(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory, slow_model: str) -> Iterator[Arena]:
    """A platform that is up for all tests that leave it standing."""
    moot = Moot(tmp_path_factory.mktemp("arena"))
    yield from standing(moot, slow_model)


@pytest.fixture
def own_arena(tmp_path: Path, slow_model: str) -> Iterator[Arena]:
    """A platform for one test that takes it down."""
    yield from standing(Moot(tmp_path / "data"), slow_model)


def standing(moot: Moot, model_url: str) -> Iterator[Arena]:
    # Longer than in other tests: on a busy machine nobody who lives must lose a lease.
    moot.env["FOLKMOOT_LOG_ACK_WAIT_S"] = "5"
    up = moot("up", "--detach")
    assert up.code == 0, up.err
    folder = moot.data / "repositories"
    folder.mkdir()
    yield Arena(moot, folder, model_url)
    moot("down")


@pytest.fixture(scope="session")
def undisturbed(arena: Arena) -> tuple[Outcome, float]:
    """What comes of a story when nothing fails, and after how many seconds."""
    return asyncio.run(arena.undisturbed())


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The times, as a table."""
    rows = [
        f"{name}: {value}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if str(name).startswith("chaos")
    ]
    if rows:
        terminalreporter.section("faults and the time to the decision")
        terminalreporter.write_line("\n".join(rows))
