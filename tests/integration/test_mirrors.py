"""Mirrors over real repositories: what is prepared, what is admitted, and that saying it twice changes nothing."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal, Runner
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runner.store import quarantine, sweep
from tests.repositories import AGENT, TASK, Repo, mirrors, text_of

TEST = "def test_x():\n    assert True\n"


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "origin")
    repo.commit({"app.py": "x = 1\n", "tests/test_app.py": TEST}, "first")
    repo.commit({"app.py": "x = 2\n"}, "second")
    return repo


def agent_of(origin: Repo, folder: Path, base: PreparedBase) -> Repo:
    agent = Repo(folder)
    agent.git("fetch", "-q", str(origin.folder), base.commit)
    agent.git("checkout", "-q", base.commit)
    return agent


async def hand_in(
    ours: Mirrors, base: PreparedBase, agent: Repo, *, who: AgentId = AGENT, message: str = "Mend it"
) -> Admission | Refusal:
    bundle = agent.bundle(agent.line("rev-parse", "HEAD"), base.commit)
    return await ours.admit(task_id=TASK, agent_id=who, round_=1, base=base, bundle=bundle, message=message)


async def admitted(ours: Mirrors, base: PreparedBase, agent: Repo, *, who: AgentId = AGENT) -> Admission:
    verdict = await hand_in(ours, base, agent, who=who)
    assert isinstance(verdict, Admission), verdict
    return verdict


async def test_resolves_refs_against_the_origin(origin: Repo, tmp_path: Path) -> None:
    """Branches, tags, HEAD, full and short ids and ancestors; also after the origin has moved on."""
    ours, _ = mirrors(tmp_path / "m")
    first, second = origin.line("rev-parse", "HEAD~1"), origin.line("rev-parse", "HEAD")
    origin.git("tag", "-a", "-m", "t", "v1", first)
    origin.git("branch", "topic/a", first)
    for ref, commit in [
        ("HEAD", second), ("main", second), ("HEAD~1", first), ("v1", first), ("topic/a", first),
        (first, first), (first[:9], first), ("refs/heads/main", second),
    ]:  # fmt: skip
        assert (await ours.prepare(str(origin.folder), ref)).commit == commit
    origin.git("branch", "-D", "topic/a")
    third = origin.commit({"app.py": "x = 3\n"}, "third")
    assert (await ours.prepare(str(origin.folder), "HEAD")).commit == third
    with pytest.raises(InvalidInput, match=r"^base_ref: "):
        await ours.prepare(str(origin.folder), "topic/a")


@pytest.mark.parametrize("ref", ["nothing", "0" * 40, "main:app.py", "main..HEAD~1", "-x", "", "a\0b", "HEAD^{tree}"])
async def test_an_unknown_base_is_said(origin: Repo, tmp_path: Path, ref: str) -> None:
    """What names no commit is the caller's mistake, by name."""
    ours, _ = mirrors(tmp_path / "m")
    with pytest.raises(InvalidInput) as caught:
        await ours.prepare(str(origin.folder), ref)
    assert caught.value.field == "base_ref"


async def test_every_shape_of_local_repository(origin: Repo, tmp_path: Path) -> None:
    """A subfolder, a worktree, a bare, a shallow and a linked clone, and a file URL are all repositories."""
    ours, _ = mirrors(tmp_path / "m")
    head = origin.line("rev-parse", "HEAD")
    origin.git("worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "HEAD~1")
    origin.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    origin.git("clone", "-q", "--depth", "1", f"file://{origin.folder}", str(tmp_path / "shallow"))
    origin.git("clone", "-q", "--shared", ".", str(tmp_path / "shared with space"))
    (tmp_path / "link").symlink_to(origin.folder)
    for place in ["origin", "origin/tests", "bare.git", "shallow", "shared with space", "link"]:
        assert (await ours.prepare(str(tmp_path / place), "HEAD")).commit == head, place
    assert (await ours.prepare(str(tmp_path / "tree"), "HEAD")).commit == origin.line("rev-parse", "HEAD~1")
    by_url = await ours.prepare(f"file://{tmp_path}/shared%20with%20space", "HEAD")
    by_path = await ours.prepare(str(tmp_path / "shared with space"), "HEAD")
    assert by_url.repository_id == by_path.repository_id


async def test_a_shallow_base_takes_candidates(origin: Repo, tmp_path: Path) -> None:
    """Where the origin's history is cut off, the border works all the same."""
    ours, _ = mirrors(tmp_path / "m")
    origin.git("clone", "-q", "--depth", "1", f"file://{origin.folder}", str(tmp_path / "shallow"))
    base = await ours.prepare(str(tmp_path / "shallow"), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 9\n"})
    verdict = await admitted(ours, base, agent)
    assert await ours.bundle_of(base.repository_id, base.commit, verdict.commit)


async def test_bad_places_are_said(tmp_path: Path) -> None:
    """No folder, a file, no repository, and one without commits: each is told apart."""
    ours, _ = mirrors(tmp_path / "m")
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("x")
    Repo(tmp_path / "empty")
    for place, words in [
        ("none", "there is no folder"),
        ("file", "is no folder"),
        ("plain", "is not a git repository"),
        ("empty", "is empty"),
    ]:
        with pytest.raises(InvalidInput, match=rf"^repository: .*{words}"):
            await ours.prepare(str(tmp_path / place), "HEAD")


async def test_notices_say_what_workspaces_lack(tmp_path: Path) -> None:
    """Submodules, LFS pointers, huge files, odd names: told, not refused; names with newlines do no harm."""
    ours, _ = mirrors(tmp_path / "m")
    repo = Repo(tmp_path / "origin")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    start = repo.commit(
        {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "a.bin": pointer,
            "name with space\nand newline.txt": "x\n",
            "folkmoot/__init__.py": "",
            "huge": b"\0" * 50_000_001,
        }
    )
    rows = [*repo.rows(start), ("160000", b"sub", start), ("100644", b"caf\xe9.txt", repo.blob(b"x\n"))]
    repo.git("update-ref", "refs/heads/main", repo.commit_tree(repo.tree(rows), start))
    base = await ours.prepare(str(repo.folder), "HEAD")
    said = "\n".join(base.notices)
    for words in ["1 submodule (sub)", "1 Git LFS pointer", "1 file (huge)", "caf\\xe9.txt", "`folkmoot`", "no tests"]:
        assert words in said


async def test_a_candidate_becomes_one_commit_of_the_platform(origin: Repo, tmp_path: Path) -> None:
    """Many commits of an agent become one on base, with trailers that only the platform sets."""
    ours, artifacts = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"secret.txt": "left behind\n"})
    (agent.folder / "secret.txt").unlink()
    agent.commit({"app.py": "x = 3\ny = 4\n"})
    verdict = await hand_in(ours, base, agent, message="Mend\x1b[2J it\r\n\r\nfolkmoot-agent: a-9\nSigned-off-by: me\n")
    assert isinstance(verdict, Admission)
    assert (verdict.files, verdict.lines_added, verdict.lines_removed) == (("app.py",), 2, 1)
    kept = Repo(ours.objects(base.repository_id).parent / "candidates.git", bare=True)
    body = kept.line("show", "-s", "--format=%P|%an <%ae>|%at|%B", verdict.commit)
    assert body.startswith(f"{base.commit}|Folkmoot <moot@localhost>|1700000001|Mend[2J it\n")
    assert "\n> folkmoot-agent: a-9\n" in body
    trailers = kept.line("show", "-s", "--format=%(trailers)", verdict.commit).split("\n")
    assert trailers == [f"Folkmoot-Task: {TASK}", f"Folkmoot-Agent: {AGENT}"]
    assert "+y = 4" in await text_of(artifacts, verdict.diff)
    assert b"left behind" not in kept.git("cat-file", "--batch-all-objects", "--batch")


async def test_a_history_that_is_no_single_line(origin: Repo, tmp_path: Path) -> None:
    """An agent may branch and merge in its own history, too; one that leaves base out stays outside."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    side = agent.commit({"side.py": "s = 1\n"})
    agent.git("checkout", "-q", base.commit)
    agent.commit({"app.py": "x = 3\n"})
    agent.git("merge", "-q", "-m", "both", side)
    verdict = await admitted(ours, base, agent)
    assert verdict.files == ("app.py", "side.py")


async def test_the_stored_bundle_can_be_fetched(origin: Repo, tmp_path: Path) -> None:
    """The bundle artifact, and the one for examinations, bring exactly the commit to whoever has base."""
    ours, artifacts = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 3\n"})
    verdict = await admitted(ours, base, agent)
    for i, body in enumerate(
        [await artifacts.get(verdict.bundle), await ours.bundle_of(base.repository_id, base.commit, verdict.commit)]
    ):
        (tmp_path / f"{i}.bundle").write_bytes(body)
        origin.git("fetch", "-q", str(tmp_path / f"{i}.bundle"), f"refs/moot/*:refs/heads/got{i}/*")
        assert origin.line("rev-parse", f"got{i}/{TASK}/{AGENT}/1") == verdict.commit


async def test_agents_never_see_each_other(origin: Repo, tmp_path: Path) -> None:
    """What a workspace is shown of a repository holds base and no candidate."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 3\n"})
    verdict = await admitted(ours, base, agent)
    await ours.publish(TASK, base.repository_id, verdict.commit)
    seen = Repo(ours.objects(base.repository_id), bare=True)
    objects = seen.git("cat-file", "--batch-all-objects", "--batch-check").decode()
    assert base.commit in objects
    assert verdict.commit not in objects
    assert verdict.tree not in objects


async def test_saying_it_twice_changes_nothing(origin: Repo, tmp_path: Path) -> None:
    """The same admission, at once or again, in this or another process's mirrors, is the same answer."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 3\n"})
    other, _ = mirrors(tmp_path / "m")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(admitted(m, base, agent)) for m in (ours, ours, other)]
    assert len({str(t.result()) for t in tasks}) == 1
    assert await admitted(other, base, agent) == tasks[0].result()


async def test_another_candidate_for_the_same_round_is_refused(origin: Repo, tmp_path: Path) -> None:
    """One agent, one round, one commit: another one under the same name is an error, and the first one stays."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 3\n"})
    first = await admitted(ours, base, agent)
    agent.commit({"app.py": "x = 4\n"})
    with pytest.raises(AlreadyExists):
        await admitted(ours, base, agent)
    assert await ours.publish(TASK, base.repository_id, first.commit) == f"moot/{TASK}"


async def test_two_agents_at_once(origin: Repo, tmp_path: Path) -> None:
    """Concurrent admissions of different agents both come in; the same tree has the same tree id and fingerprint."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agents = [agent_of(origin, tmp_path / f"agent{i}", base) for i in range(2)]
    for agent in agents:
        agent.commit({"app.py": "x = 3\n"})
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(admitted(ours, base, a, who=AgentId(f"a-{i}"))) for i, a in enumerate(agents)]
    one, two = (t.result() for t in tasks)
    assert one.commit != two.commit
    assert (one.tree, one.fingerprint) == (two.tree, two.fingerprint)


async def test_publishing(origin: Repo, tmp_path: Path) -> None:
    """Only an admitted commit of the task becomes its branch, or one that it took over; twice is once; another one is
    refused."""
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    agent.commit({"app.py": "x = 3\n"})
    one = await admitted(ours, base, agent)
    agent.commit({"app.py": "x = 4\n"})
    two = await admitted(ours, base, agent, who=AgentId("a-2"))
    assert await ours.publish(TASK, base.repository_id, one.commit) == f"moot/{TASK}"
    assert await ours.publish(TASK, base.repository_id, one.commit) == f"moot/{TASK}"
    for task, commit, guard in [(TASK, two.commit, "published"), (TaskId("t-2"), one.commit, "admitted")]:
        with pytest.raises(FailedPrecondition) as caught:
            await ours.publish(task, base.repository_id, commit)
        assert caught.value.guard == guard
    with pytest.raises(FailedPrecondition):
        await ours.publish(TASK, base.repository_id, base.commit)
    assert await ours.publish(TaskId("t-2"), base.repository_id, one.commit, inherited=True) == "moot/t-2"
    with pytest.raises(FailedPrecondition):
        await ours.publish(TaskId("t-3"), base.repository_id, base.commit, inherited=True)
    with pytest.raises(NotFound):
        await ours.publish(TASK, RepositoryId("repo-unknown"), one.commit)
    with pytest.raises(NotFound):
        await ours.bundle_of(base.repository_id, base.commit, CommitId("1" * 40))


async def test_odd_names_come_in(origin: Repo, tmp_path: Path) -> None:
    """Spaces, quotes, umlauts and bytes that are no UTF-8 are names like others."""
    ours, artifacts = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    agent = agent_of(origin, tmp_path / "agent", base)
    names = [b'a "b" c.txt', "grün/ö.py".encode(), b"caf\xe9.txt", b"--option", b"!bang", b" lead"]
    for name in names:
        path = Path(str(agent.folder)) / name.decode("utf-8", "surrogateescape")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x\n")
    agent.commit({})
    verdict = await admitted(ours, base, agent)
    assert set(verdict.files) == {'a "b" c.txt', "grün/ö.py", "caf\\xe9.txt", "--option", "!bang", " lead"}
    assert verdict.lines_added == len(names)
    assert "caf" in await text_of(artifacts, verdict.diff)


async def test_tampering_is_told_by_content(tmp_path: Path) -> None:
    """Changed, deleted and skipped tests are tampering; a test that is only added is not."""
    ours, _ = mirrors(tmp_path / "m")
    repo = Repo(tmp_path / "origin")
    tests = {f"tests/test_{n}.py": TEST for n in "abcd"} | {"setup.cfg": "[x]\n", "uv.lock": "v = 1\n", "own/x": "1\n"}
    repo.commit(tests | {".moot.toml": '[protect]\npaths = ["own/**"]\n', "tests/end.py": "no end"})
    base = await ours.prepare(str(repo.folder), "HEAD")
    agent = agent_of(repo, tmp_path / "agent", base)
    (agent.folder / "tests/test_a.py").unlink()
    agent.commit(
        {
            "tests/test_b.py": TEST.replace("True", "1 or True"),
            "tests/test_c.py": "import pytest\n@pytest.mark.skip\n" + TEST,
            "tests/test_d.py": TEST + "\ndef test_more():\n    assert 1\n",
            "tests/test_new.py": TEST,
            "tests/end.py": "no end\nmore\n",
            "setup.cfg": "[x]\n[tool:pytest]\naddopts = --co\n",
            "own/x": "2\n",
            ".gitattributes": "* -diff\n",
            ".github/workflows/x.yml": "on: push\n",
        }
    )
    verdict = await admitted(ours, base, agent)
    assert {t.path: t.how for t in verdict.tampered} == {
        "tests/test_a.py": "deleted",
        "tests/test_b.py": "1 line removed or changed: assert True",
        "tests/test_c.py": "1 line that keep tests from counting added: @pytest.mark.skip",
        "setup.cfg": "2 lines added: [tool:pytest] | addopts = --co",
        "own/x": "1 line removed or changed: 1",
    }
    assert "adds git attributes: .gitattributes" in verdict.flags
    assert "adds a CI file: .github/workflows/x.yml" in verdict.flags


async def test_sha256_repositories(tmp_path: Path) -> None:
    """The newer object format goes the whole way."""
    ours, _ = mirrors(tmp_path / "m")
    repo = _sha256(tmp_path / "origin")
    repo.commit({"a.py": "x = 1\n"})
    base = await ours.prepare(str(repo.folder), "HEAD")
    assert len(base.commit) == 64
    repo.commit({"a.py": "x = 2\n"})
    verdict = await hand_in(ours, base, repo)
    assert isinstance(verdict, Admission), verdict


def _sha256(folder: Path) -> Repo:
    bootstrap = Repo(folder.parent / "bootstrap")
    bootstrap.git("init", "-q", "-b", "main", "--object-format=sha256", str(folder))
    return Repo(folder)


async def test_concurrent_preparations(origin: Repo, tmp_path: Path) -> None:
    """Many callers, also of several mirrors over one folder, get one answer."""
    several = [mirrors(tmp_path / "m")[0] for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(m.prepare(str(origin.folder), "HEAD")) for m in several for _ in range(3)]
    assert len({t.result().commit for t in tasks}) == 1


def test_the_sweeper_spares_the_living(tmp_path: Path) -> None:
    """A quarantine in use stays; one whose holder died goes."""
    with quarantine(tmp_path) as living:
        (tmp_path / "q-dead").mkdir()
        (tmp_path / "q-dead/lock").touch()
        assert sweep(tmp_path) == 1
        assert living.is_dir()
    assert list(tmp_path.iterdir()) == []


async def test_fetches_over_http(origin: Repo, tmp_path: Path) -> None:
    """A plain web server with a repository is an origin; a page of HTML is not, and a locked one says so."""
    ours, _ = mirrors(tmp_path / "m")
    origin.git("clone", "-q", "--bare", ".", str(tmp_path / "www/a.git"))
    Repo(tmp_path / "www/a.git", bare=True).git("update-server-info")
    (tmp_path / "www/page").mkdir()
    with web(tmp_path / "www") as address:
        base = await ours.prepare(f"{address}/a.git", "HEAD")
        assert base.commit == origin.line("rev-parse", "HEAD")
        with pytest.raises(InvalidInput, match=r"does not exist|is not a git repository"):
            await ours.prepare(f"{address}/page", "HEAD")
        with pytest.raises(InvalidInput, match="asks for credentials"):
            await ours.prepare(f"{address}/locked", "HEAD")


class _Web(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/locked"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def web(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Web, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_detects_the_suite_of_base(tmp_path: Path) -> None:
    """A Go module is tested by go, and `.moot.toml` at base overrules what is found."""
    ours, _ = mirrors(tmp_path / "m")
    repo = Repo(tmp_path / "origin")
    repo.commit({"go.mod": "module x\n", "a.go": "package a\n", "a_test.go": "package a\n"})
    found = (await ours.prepare(str(repo.folder), "HEAD")).suite
    assert found is not None
    assert found.runner is Runner.GO
    repo.commit({".moot.toml": '[tests]\ncommand = "make check"\ntimeout_s = 30\n'})
    found = (await ours.prepare(str(repo.folder), "HEAD")).suite
    assert found is not None
    assert (found.runner, found.command, found.timeout_s) == (Runner.COMMAND, "make check", 30.0)
