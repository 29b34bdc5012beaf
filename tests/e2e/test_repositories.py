"""Repositories as they are in the world: fetched from a URL, and made by somebody who means harm."""

from __future__ import annotations

import functools
import socket
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tests.fixtures.platform import Done, Moot
from tests.fixtures.small import CHECK, MEND, SMALL, SUBMIT, Case, run_tool, served
from tests.repositories import Repo
from tests.security.test_hostile_origin import armed

LINGERER = "86399.25"
"""Seconds that nobody else sleeps for: what is left running is found by this."""


@pytest.fixture
def case(moot: Moot, tmp_path: Path) -> Case:
    return Case(moot, tmp_path)


def still_running(token: str) -> list[str]:
    """Command lines of this machine's processes that hold `token`."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in lines if token in line]


def suite_counts(case: Case, done: Done) -> list[tuple[int, int]]:
    """Passed and failed tests of each run of base's own suite."""
    evidence = case.moot("evidence", done.json["task_id"], "--json").json
    return [(e["passed"], e["failed"]) for e in evidence["examinations"] if e["kind"] == "tests"]


def test_from_a_url(case: Case, tmp_path: Path) -> None:
    """file:// and a plain HTTP server both do; what is not there, and a dead server, are told apart."""
    work = Repo(tmp_path / "work")
    work.commit(SMALL)
    work.git("clone", "-q", "--bare", str(work.folder), str(tmp_path / "web" / "small.git"))
    Repo(tmp_path / "web" / "small.git").git("update-server-info")

    class Files(SimpleHTTPRequestHandler):
        __init__ = functools.partialmethod(SimpleHTTPRequestHandler.__init__, directory=str(tmp_path / "web"))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
            """Silent."""

    with served(Files) as url:
        found = case.solve_in(f"{url}/small.git", MEND, "--check", CHECK)
        missing = case.solve_in(f"{url}/none.git", [])
    local = case.solve_in(work.folder.as_uri(), MEND, "--check", CHECK)
    dead = case.solve_in(f"{url}/small.git", [])
    assert [d.code for d in (found, local, missing, dead)] == [0, 0, 4, 4], (found, local, missing, dead)
    assert "does not exist, or needs credentials" in missing.json["reasons"][0]
    assert "cannot be reached" in dead.json["reasons"][0]


def test_an_environment(case: Case) -> None:
    """What base's set-up made is there for the agent, for base's tests and for checks; the result says what it was made
    from."""
    at = "$FOLKMOOT_ENVIRONMENT/lib"
    tested = SMALL["test_calc.py"]
    assert isinstance(tested, str)
    files = {
        **SMALL,
        "test_calc.py": f"import helper\n\n{tested}",
        "requirements.txt": "helper\n",
        ".moot.toml": f"""
            [tests]
            command = 'PYTHONPATH="{at}" python -m pytest -q'
            report = "junit"
            [environment]
            set = "base"
            setup = 'mkdir {at}; touch {at}/$(cat requirements.txt).py'
            """,
    }
    look = run_tool(f"test -r {at}/helper.py && echo x >>seen.txt; touch {at}/more.py || echo x >>seen.txt")
    done = case.solve(
        files, [look, *MEND], "--check", CHECK, "--check", f"test -e {at}/helper.py && grep -c x seen.txt"
    )
    assert done.code == 0, done
    assert {failed for _, failed in suite_counts(case, done)} == {0}
    assert any("set up from base's 1 file (requirements.txt)" in reason for reason in done.json["reasons"]), done


def test_traps_in_a_repository_do_not_spring(case: Case, tmp_path: Path) -> None:
    """Hooks, fsmonitor, filters, drivers, helpers: none runs on the host, from `moot solve` to `moot apply`."""
    marker = tmp_path / "sprung"
    repo = armed(tmp_path / "origin", marker)
    inside = f"""
        mkdir -p .git/hooks
        for hook in post-checkout pre-commit post-commit reference-transaction post-index-change; do
            printf '#!/bin/sh\\ntouch {marker}\\n' >.git/hooks/$hook; chmod +x .git/hooks/$hook
        done
        git config core.fsmonitor 'touch {marker}; false'
        git config filter.evil.clean 'touch {marker}; cat'
        git config uploadpack.packObjectsHook 'touch {marker}; exec'
        ln -s /etc/passwd out; ln -s ../../../../.. up
        echo 'y = 2' >>app.py
    """
    done = case.solve_in(repo.folder, [run_tool(inside), SUBMIT])
    assert done.json["state"] in {"decided", "abstained", "failed"}, done
    assert done.json["reasons"]
    plain = case.solve_in(repo.folder, [run_tool("echo 'y = 2' >>app.py"), SUBMIT])
    assert plain.code == 0, plain
    applied = case.moot("apply", plain.json["task_id"], cwd=repo.folder)
    assert applied.code == 0, applied.err
    assert not marker.exists()


WALLS = """
import os, pathlib, socket, subprocess, sys

import pytest


@pytest.mark.parametrize("path", {hidden!r})
def test_files_of_the_host_are_not_there(path):
    assert not os.path.exists(path)


@pytest.mark.parametrize("port", {ports!r})
def test_nobody_answers(port):
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_no_way_out():
    with pytest.raises(OSError):
        socket.create_connection(("192.0.2.1", 80), timeout=5)


def test_no_secret_in_the_environment():
    assert not [name for name in os.environ if "TOKEN" in name or "PASSWORD" in name or "KEY" in name]


def test_leaves_a_process():
    subprocess.Popen(["setsid", "sleep", "{lingerer}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
"""
CONFTEST = """
import os, pathlib, subprocess

for target in {targets!r}:
    try:
        pathlib.Path(target).write_text("conftest was here")
    except OSError:
        pass
subprocess.Popen(["setsid", "sleep", "{lingerer}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
"""


def test_code_under_test_stays_inside(case: Case, tmp_path: Path) -> None:
    """Base's conftest and tests find no file, port or secret of the host, and what they leave running dies."""
    secret = tmp_path / "secret.txt"
    secret.write_text("of the host")
    info = case.moot.info
    services = (info.nats, info.planning, info.orchestrator, info.runner, info.context)
    with socket.create_server(("127.0.0.1", 0)) as bait:
        ports = [bait.getsockname()[1], *(int(a.rpartition(":")[2]) for a in services)]
        hidden = [str(secret), str(case.moot.data / "platform.json"), str(case.moot.data / "mirrors")]
        targets = [str(tmp_path / "ran"), str(case.moot.data / "ran"), str(secret)]
        files = {
            **SMALL,
            "conftest.py": CONFTEST.format(targets=targets, lingerer=LINGERER),
            "test_walls.py": WALLS.format(hidden=hidden, ports=ports, lingerer=LINGERER),
        }
        done = case.solve(files, [run_tool(f"setsid sleep {LINGERER} & exit 0"), *MEND], "--check", CHECK)
    assert done.code == 0, done
    assert suite_counts(case, done) == [(1 + len(hidden) + len(ports) + 3, 0)] * 3
    assert secret.read_text() == "of the host"
    assert not [t for t in targets[:2] if Path(t).exists()]
    assert still_running(LINGERER) == []


def test_packages_named_like_ours_are_only_files(case: Case, tmp_path: Path) -> None:
    """`folkmoot`, `pytest`, `grpc`, `sitecustomize` at a repository's root are imported by nobody outside."""
    marker = tmp_path / "imported"
    trap = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    names = ("folkmoot/__init__.py", "folkmoot/kernel/__init__.py", "pytest/__init__.py", "grpc.py", "sitecustomize.py")
    repo = case.repository({**SMALL, **dict.fromkeys(names, trap)})
    # Standing in the repository, as people do.
    done = case.solve_in(".", MEND, "--check", CHECK, cwd=repo)
    assert done.code == 0, done
    assert suite_counts(case, done) == [(1, 0)] * 3, "base's own suite, twice at base and once at the candidate"
    assert "named `folkmoot`" in "\n".join(done.json["reasons"])
    assert case.moot("apply", done.json["task_id"], cwd=repo).code == 0
    assert not marker.exists()
