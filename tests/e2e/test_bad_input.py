"""What people give by mistake, and what they get: a clear sentence, the right exit code, nothing left running."""

from __future__ import annotations  # the generated stub types exist for the checker only

import fcntl
import json
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel.errors import AlreadyExists, InvalidInput, NotFound, Unauthenticated
from folkmoot.kernel.result import State
from folkmoot.kernel.task import MAX_TEXT_CHARS
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.results import result_from_wire
from tests.fixtures.platform import Moot
from tests.fixtures.small import CHECK, MEND, SMALL, SUBMIT, Case, playing, run_tool, served
from tests.repositories import Repo

NOWHERE = "http://127.0.0.1:9/v1"
"""Nobody listens on the port `discard`."""


@pytest.fixture
def case(moot: Moot, tmp_path: Path) -> Iterator[Case]:
    """A small repository with a bug; afterwards no workspace is left open."""
    case = Case(moot, tmp_path)
    yield case
    assert case.left_open() == []


# --- refused before anything runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["", "--repo", "{repo}"], "TEXT: is empty"),
        (["  \n", "--repo", "{repo}"], "TEXT: is empty"),
        (["x" * (MAX_TEXT_CHARS + 1), "--repo", "{repo}"], f"at most {MAX_TEXT_CHARS}"),
        (["x", "--repo", "{folder}/nowhere"], "is no folder"),
        (["x", "--repo", "{folder}"], "is in no git repository"),
        (["x", "--repo", "ext::sh -c 'touch {folder}/ran'"], "is no folder"),
        (
            ["x", "--repo", "https://ada:secret@example.org/a.git", "--model-url", NOWHERE, "--model", "m"],
            "credentials",
        ),
        (["x", "--repo", "{repo}", "--base", "--upload-pack=x"], "is no name of a commit"),
        (["x", "--repo", "{repo}", "--base", "nope"], "--base: 'nope' names no commit of"),
        (["x", "--repo", "{empty}"], "has no commit yet"),
        (["x", "--repo", "{fake}"], "is not a git repository"),
        (["x", "--repo", "{repo}", "--model-url", "http://ada:secret@h/v1", "--model", "m"], "credentials"),
        (["x", "--repo", "{repo}", "--model-url", "nonsense", "--model", "m"], "no base URL"),
        (["x", "--repo", "{repo}", "--model-url", NOWHERE], "does not list its models: nobody answers there"),
        (["x", "--repo", "{repo}"], "no model is configured"),
        (["x", "--repo", "{repo}", "--agents", "17"], "equal to 16"),
    ],
)
def test_a_wrong_call_is_usage(moot: Moot, tmp_path: Path, arguments: Sequence[str], says: str) -> None:
    """Exit code 2 and one sentence, in JSON too; a secret is not repeated."""
    (tmp_path / "folder").mkdir()
    Repo(tmp_path / "repo").commit(SMALL)
    Repo(tmp_path / "empty")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / ".git").write_text("gitdir: /nowhere\n")
    given = [re.sub(r"\{(folder|repo|empty|fake)\}", lambda found: str(tmp_path / found[1]), a) for a in arguments]
    done = moot("solve", *given, "--json")
    assert (done.code, says in done.json["error"]["message"]) == (2, True), done
    assert "secret" not in done.out + done.err
    assert not (tmp_path / "folder" / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--base", "nope"], "names no commit"),
        (["--rigor", "L1", "--max-agents", "5"], "max_agents: more join at L2 and L3 only"),
        (["--rigor", "L9"], "none of L0, L1"),
        (["--analysis", "--check", "true"], "checks: an analysis ends in a document"),
    ],
)
def test_a_wish_that_cannot_be_starts_no_platform(tmp_path: Path, arguments: Sequence[str], says: str) -> None:
    """Where none is up: the answer comes at once, and nothing is left behind."""
    Repo(tmp_path / "repo").commit(SMALL)
    wish = ["solve", "x", "--repo", str(tmp_path / "repo"), "--model-url", NOWHERE, "--model", "m"]
    done = Moot(tmp_path / "data")(*wish, *arguments)
    assert (done.code, done.out, says in done.err) == (2, "", True), done
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("command", ["result", "watch", "evidence", "diff", "cancel", "apply"])
def test_an_unknown_task_is_not_found(moot: Moot, command: str) -> None:
    """Exit code 6 for an id that nobody has; what is no id at all is usage."""
    done = moot(command, "t-0123456789abcdef0123", "--json")
    assert (done.code, done.json["error"]["kind"]) == (6, "NotFound"), done
    assert moot(command, "../x").code == 2


def test_a_data_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """One that cannot be made is named; one where another `moot` just starts its platform says what to do."""
    Repo(tmp_path / "repo").commit(SMALL)
    wish = ["solve", "x", "--repo", str(tmp_path / "repo"), "--model-url", NOWHERE, "--model", "m"]
    nowhere = Moot(Path("/proc/nowhere"))(*wish, cwd=tmp_path)
    assert (nowhere.code, "/proc/nowhere: " in nowhere.err, "unforeseen" in nowhere.err) == (1, True, False), nowhere
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "platform.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = Moot(tmp_path / "data")(*wish)
    assert (taken.code, "moot up --detach" in taken.err) == (2, True), taken


# --- base cannot be used -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[tests\n", ".moot.toml: is no TOML"),
        ("[tests]\ncomand = 'x'\n", "tests.comand: is no key"),
        ("[tests]\ntimeout_s = 'soon'\n", "tests.timeout_s"),
        ("[environment]\nset = 'base'\nsetup = 'echo no such package; exit 7'\n", "it said: no such package"),
    ],
)
def test_a_configuration_that_cannot_be_used(case: Case, toml: str, says: str) -> None:
    """The task fails and names file and key: a guess would judge candidates by other rules than were meant."""
    done = case.solve({**SMALL, ".moot.toml": toml}, [])
    assert (done.code, done.json["state"]) == (4, "failed"), done
    assert says in done.json["reasons"][0]


def test_a_base_that_is_not_there(case: Case, tmp_path: Path) -> None:
    """At a URL, where `moot` does not look first: an unknown ref, a repository without a commit, a `.git` that leads
    nowhere. Failed, each with its reason."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / ".git").write_text("gitdir: /nowhere\n")
    unknown = case.solve_in(f"file://{case.repository(SMALL)}", [], "--base", "nope")
    empty = case.solve_in(f"file://{Repo(tmp_path / 'empty').folder}", [])
    fake = case.solve_in(f"file://{tmp_path / 'fake'}", [])
    assert [d.code for d in (unknown, empty, fake)] == [4, 4, 4]
    assert unknown.json["reasons"] == ["base_ref: 'nope' names no commit of the repository"]
    assert "is empty: it has no commit" in empty.json["reasons"][0]
    assert "is not a git repository" in fake.json["reasons"][0]
    again = case.moot("result", unknown.json["task_id"], "--json")
    assert (again.code, again.json) == (4, unknown.json)


# --- odd, and still decided --------------------------------------------------------------------------------------


def test_an_odd_repository_is_decided_and_its_oddities_are_said(case: Case, tmp_path: Path) -> None:
    """Submodules, LFS pointers, a huge file, a folder `folkmoot`, names with spaces, newlines and without UTF-8."""
    repo = Repo(tmp_path / "odd")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    attributes = {".gitattributes": "*.psd filter=lfs diff=lfs merge=lfs -text\n", "a.psd": pointer}
    package = {"folkmoot/__init__.py": "raise SystemExit('imported')\n", "a b.txt": "x"}
    first = repo.commit({**SMALL, **attributes, **package, "huge.bin": bytes(51_000_000)})
    names = [b"new\nline\ttab.txt", b"\xff\xfe.txt", b"esc\x1b[31m.txt"]
    odd = [("100644", name, repo.blob(b"odd")) for name in names]
    tree = repo.tree([*repo.rows(first), *odd, ("160000", b"sub", "1" * 40)])
    repo.git("update-ref", "refs/heads/main", repo.commit_tree(tree, first))
    done = case.solve_in(repo.folder, MEND, "--check", CHECK)
    said = "\n".join(done.json["reasons"])
    assert (done.code, done.json["winner"]["agent_id"]) == (0, "dev-1"), done
    for notice in ("1 submodule (sub)", "1 Git LFS pointer", "of more than 50 MB", "not in UTF-8", "named `folkmoot`"):
        assert f"note: {notice}" in said or notice in said
    assert "\x1b" not in done.out + done.err
    applied = case.moot("apply", done.json["task_id"], cwd=repo.folder)
    assert applied.code == 0, applied.err
    branch = f"moot/{done.json['task_id']}"
    assert repo.line("diff", "--name-only", "main", branch) == "calc.py"


def test_without_tests_nothing_guards(case: Case) -> None:
    """Decided by the check alone, and said; without a check too, with little confidence."""
    untested = {"calc.py": SMALL["calc.py"]}
    done = case.solve(untested, MEND, "--check", CHECK)
    bare = case.solve(untested, MEND)
    assert (done.code, bare.code) == (0, 0)
    assert "note: no tests were found" in "\n".join(done.json["reasons"])
    assert bare.json["confidence"] < 0.5 < done.json["confidence"]


def test_tests_that_hang_at_base_gate_nothing(case: Case) -> None:
    """Their time limit ends them, the result says so, and the check decides."""
    files = {**SMALL, "test_hang.py": "import time\n\ndef test_hang():\n    time.sleep(3600)\n"}
    done = case.solve({**files, ".moot.toml": "[tests]\ntimeout_s = 2\n"}, MEND, "--check", CHECK)
    assert done.code == 0, done.err
    assert "ended by the time limit" in "\n".join(done.json["reasons"])
    assert "tests: ended by the time limit" in done.err


def test_tests_that_flake_or_fail_at_base_gate_nothing(case: Case) -> None:
    """Both are named; a candidate is not blamed for them."""
    flaky = "import os, pytest\nfrom calc import add\n\n@pytest.mark.parametrize('n', range(40))\ndef test_flaky(n):\n"
    flaky += "    assert add(2, 3) == 5 or os.urandom(1)[0] % 2\n"
    failing = "def test_failing():\n    assert False\n"
    done = case.solve({**SMALL, "test_flaky.py": flaky, "test_failing.py": failing}, MEND, "--check", CHECK)
    said = "\n".join(done.json["reasons"])
    assert done.code == 0, done.err
    assert "flaky" in said
    assert "failing at base" in said


def test_what_hangs_in_a_candidate_is_its_fault(case: Case) -> None:
    """A module that never returns ends at the time limits of tests and checks: abstained, exit code 3."""
    hang = {"tool": "write_file", "arguments": {"path": "calc.py", "content": "import time\ntime.sleep(3600)\n"}}
    # Long enough for base's own run on a busy machine: what takes longer there gates nothing.
    toml = {".moot.toml": "[tests]\ntimeout_s = 5\n"}
    done = case.solve({**SMALL, **toml}, [{"calls": [hang]}, SUBMIT], "--check", CHECK)
    assert (done.code, done.json["state"]) == (3, "abstained"), done
    said = "\n".join(done.json["ranking"][0]["reasons"])
    assert "base's tests: ended by the time limit" in said
    assert "(the time limit)" in said


# --- agents ------------------------------------------------------------------------------------------------------


def test_agents_that_hand_nothing_in(case: Case) -> None:
    """No commit, no tool, a bundle beyond the limit: the task fails and names each agent's reason."""
    idle = case.solve(SMALL, [SUBMIT])
    silent = case.solve(SMALL, [{"text": "I am done."}])
    huge = case.solve(SMALL, [run_tool("head -c 9000000 /dev/urandom >big.bin"), SUBMIT])
    assert [d.code for d in (idle, silent, huge)] == [4, 4, 4]
    assert "dev-1: no commit" in idle.json["reasons"][0]
    assert "You called no tool" in silent.json["reasons"][0]
    assert "dev-1: bundle_size" in huge.json["reasons"][0]


def test_a_story_cannot_steer_a_terminal(case: Case) -> None:
    """Escape sequences, bidirectional overrides and zero-width characters of a story are not printed."""
    done = case.solve(
        SMALL, MEND, text="Mend \x1b]0;owned\x07\x1b[31madd\u202e\u200b\n\x1b[2Jsecond line", as_json=False
    )
    assert done.code == 0, done.err
    assert not set(done.out + done.err) & {"\x1b", "\x07", "\u202e", "\u200b"}


# --- model servers -----------------------------------------------------------------------------------------------


class Page(BaseHTTPRequestHandler):
    """What a misplaced proxy says."""

    status, body = 200, b"<!doctype html><title>hello</title>"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST  # noqa: N815 -- its name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
        """Silent."""


class Locked(Page):
    """A server that wants a key."""

    status, body = 401, b'{"error": {"message": "no such key"}}'


def test_model_servers_that_are_none(case: Case) -> None:
    """A URL that refuses, hangs, answers HTML or 401: failed, and the reason says what to look at."""
    with socket.create_server(("127.0.0.1", 0)) as hanging, served(Page) as page, served(Locked) as locked:
        urls = [NOWHERE, f"http://127.0.0.1:{hanging.getsockname()[1]}/v1", f"{page}/v1", f"{locked}/v1"]
        done = [case.ask(url) for url in urls]
    reasons = [d.json["reasons"][0] for d in done]
    assert [d.code for d in done] == [4, 4, 4, 4]
    words = [
        "is a model server running there?",
        "hangs: nothing came for",
        "is this the base URL",
        "the key is missing",
    ]
    assert [word in reason for word, reason in zip(words, reasons, strict=True)] == [True] * 4, reasons


def test_a_model_server_that_stumbles_twice_does_no_harm(case: Case) -> None:
    """500 and 500, then an answer: decided. 500 for ever: failed, and said."""
    stumbling = case.solve(SMALL, [{"status": 500, "times": 2, **MEND[0]}, SUBMIT], "--check", CHECK)
    broken = case.solve(SMALL, [{"status": 500}])
    assert (stumbling.code, broken.code) == (0, 4)
    assert "answers 500" in broken.json["reasons"][0]


# --- people ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_solve_is_cancelled(case: Case, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM call the task off, wait until it is, and print the result: exit code 5."""
    with playing(case.moot, case.folder, [{"hang": True}]) as url, case.started(url) as process:
        assert process.stderr is not None
        while "dev-1 starts" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    result = json.loads(out)
    assert (process.returncode, result["state"]) == (5, "cancelled")
    assert case.moot("result", result["task_id"], "--json").json == result


def test_several_solves_at_once_from_wherever(case: Case) -> None:
    """Two on one repository, one of them from a subfolder: each has a task of its own."""
    repo = case.repository({**SMALL, "a/b/c.txt": "x"})
    with playing(case.moot, case.folder, MEND) as url, ThreadPoolExecutor() as pool:
        jobs = [pool.submit(case.ask, url, "--check", CHECK, repo=r, cwd=repo / "a/b") for r in (".", str(repo))]
        done = [job.result() for job in jobs]
    assert [d.code for d in done] == [0, 0], done
    assert len({d.json["task_id"] for d in done}) == 2
    assert len({d.json["winner"]["commit"] for d in done}) == 2, "trailers name the task"


# --- the same over gRPC ------------------------------------------------------------------------------------------


async def test_calls_that_are_wrong_have_their_status(moot: Moot, tmp_path: Path) -> None:
    """The same key with other content, unknown tasks, wrong fields, no token: each its own error, never INTERNAL."""
    Repo(tmp_path).commit(SMALL)
    async with channel(moot.info.orchestrator) as opened:
        stub: rpc.OrchestratorServiceAsyncStub = rpc.OrchestratorServiceStub(opened)
        caller = Caller(stub, moot.info.token)
        first = await caller.submit(_task(tmp_path), tmp_path.name)
        assert await caller.submit(_task(tmp_path), tmp_path.name) == first
        with pytest.raises(AlreadyExists):
            await caller.submit(_task(tmp_path, text="another wish"), tmp_path.name)
        with pytest.raises(InvalidInput) as wrong:
            await caller.submit(_task(tmp_path, text=""), "")
        assert wrong.value.field == "text"
        with pytest.raises(NotFound):
            await caller.result("t-0123456789abcdef0123")
        with pytest.raises(Unauthenticated):
            await Caller(stub, "wrong").result(first)
        assert await caller.end(_task(tmp_path), tmp_path.name) is State.FAILED


class Caller:
    """Calls with a token; errors are the kernel's."""

    def __init__(self, stub: rpc.OrchestratorServiceAsyncStub, token: str) -> None:
        self._stub = stub
        self._metadata = credentials(token)

    async def submit(self, task: pb.Task, key: str) -> str:
        request = pb.DeliberateAsyncRequest(task=task, idempotency_key=key)
        with mapped():
            return (await self._stub.DeliberateAsync(request, metadata=self._metadata)).task_id

    async def result(self, task_id: str) -> State:
        request = pb.GetDeliberationResultRequest(task_id=task_id)
        with mapped():
            reply = await self._stub.GetDeliberationResult(request, metadata=self._metadata)
        return result_from_wire(reply.result).state

    async def end(self, task: pb.Task, key: str) -> State:
        request = pb.DeliberateRequest(task=task, idempotency_key=key)
        with mapped():
            reply = await self._stub.Deliberate(request, metadata=self._metadata, timeout=60)
        return result_from_wire(reply.result).state


def _task(repository: Path, text: str = "Mend add") -> pb.Task:
    return pb.Task(title="t", text=text, repository=str(repository), agents=1, model_url=NOWHERE, model="m")
