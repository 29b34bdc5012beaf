"""A repository that a stranger made is read without running anything of it, and without git looking elsewhere."""

import os
import socket
from pathlib import Path

import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import Admission, PreparedBase
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures import need
from tests.repositories import AGENT, TASK, Repo, mirrors

HOOKS = (
    "pre-commit", "post-checkout", "post-merge", "pre-receive", "update", "post-receive", "post-update",
    "reference-transaction", "pre-auto-gc", "post-index-change", "fsmonitor-watchman", "post-rewrite", "proc-receive",
)  # fmt: skip


def armed(folder: Path, marker: Path) -> Repo:
    """A repository in which every way that git knows of running a program makes `marker`."""
    repo = Repo(folder)
    repo.commit(
        {
            "app.py": "x = 1\n",
            "test_app.py": "def test_x(): pass\n",
            ".gitattributes": "*.py filter=evil diff=evil merge=evil\n",
            "folkmoot/__init__.py": "raise SystemExit(1)\n",
        },
        "base",
    )
    evil = folder / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat\n")
    evil.chmod(0o755)
    for name in HOOKS:
        hook = folder / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
        hook.chmod(0o755)
    _configure(repo, str(evil))
    return repo


def _configure(repo: Repo, evil: str) -> None:
    keys = (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.alternateRefsCommand", "core.askPass",
        "core.gitProxy", "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv",
        "diff.evil.command", "diff.external", "merge.evil.driver", "uploadpack.packObjectsHook", "gpg.program",
        "credential.helper", "remote.origin.uploadpack", "remote.origin.vcs", "uploadpack.hideRefsCommand",
    )  # fmt: skip
    config = repo.folder / ".git/config"
    sections = [f"[{_section(key)}]\n\t{key.rpartition('.')[2]} = {evil}\n" for key in keys]
    config.write_text(config.read_text() + "".join(sections))
    (repo.folder / ".git/hooks").mkdir(exist_ok=True)


def _section(key: str) -> str:
    first, *middle, _ = key.split(".")
    return f'{first} "{".".join(middle)}"' if middle else first


async def test_runs_nothing_of_a_hostile_repository(tmp_path: Path) -> None:
    """Hooks, fsmonitor, filters, drivers, sshCommand, pack hooks: preparing and admitting run none of them."""
    marker = tmp_path / "ran"
    repo = armed(tmp_path / "origin", marker)
    ours, _ = mirrors(tmp_path / "mirrors")
    base = await ours.prepare(str(repo.folder), "HEAD")
    await _admitted(ours, base, tmp_path / "agent", repo)
    assert not marker.exists()
    assert any("folkmoot" in notice for notice in base.notices)
    repo.git("status")
    assert marker.exists(), "the trap itself does not work"


async def _admitted(ours: Mirrors, base: PreparedBase, folder: Path, repo: Repo) -> None:
    agent = Repo(folder)
    agent.git("fetch", "-q", str(repo.folder / ".git"), "main")
    agent.git("checkout", "-q", base.commit)
    tip = agent.commit({"app.py": "x = 2\n"})
    verdict = await ours.admit(
        task_id=TASK, agent_id=AGENT, round_=1, base=base, bundle=agent.bundle(tip, base.commit), message="m"
    )
    assert isinstance(verdict, Admission)


async def test_a_partial_clone_fetches_nothing(tmp_path: Path) -> None:
    """Missing objects of a hostile partial clone are not fetched by the program that its configuration names."""
    marker = tmp_path / "ran"
    repo = Repo(tmp_path / "origin")
    repo.commit({"a": "a\n"}, "base")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    evil.chmod(0o755)
    config = repo.folder / ".git/config"
    config.write_text(
        config.read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 1")
        + "[extensions]\n\tpartialClone = origin\n"
        + f'[remote "origin"]\n\turl = {repo.folder}\n\tpromisor = true\n\tuploadpack = {evil}\n'
    )
    blob = repo.line("rev-parse", "HEAD:a")
    (repo.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    ours, _ = mirrors(tmp_path / "mirrors")
    with pytest.raises(InvalidInput, match="repository"):
        await ours.prepare(str(repo.folder), "HEAD")
    assert not marker.exists()


async def test_impossible_trees_are_mirrored_as_data(tmp_path: Path) -> None:
    """`.git` folders, escaping links and submodule URLs in base are listed, never checked out or followed."""
    marker = tmp_path / "ran"
    repo = Repo(tmp_path / "origin")
    start = repo.commit({"a": "a\n"}, "start")
    hook = repo.tree([("100755", b"post-checkout", repo.blob(f"#!/bin/sh\ntouch {marker}\n".encode()))])
    git = repo.tree([("40000", b"hooks", hook)])
    modules = f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {marker}"\n'.encode()
    rows = [
        *repo.rows(start),
        ("40000", b".GIT", git),
        ("120000", b"out", repo.blob(b"/etc/passwd")),
        ("100644", b".gitmodules", repo.blob(modules)),
        ("160000", b"x", start),
    ]
    repo.git("update-ref", "refs/heads/main", repo.commit_tree(repo.tree(rows), start))
    ours, _ = mirrors(tmp_path / "mirrors")
    base = await ours.prepare(str(repo.folder), "main")
    assert any("submodule" in notice for notice in base.notices)
    assert not marker.exists()
    assert not list(tmp_path.glob("mirrors/**/post-checkout"))


async def test_a_configuration_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """`.moot.toml` as a link to the machine's files is not followed."""
    repo = Repo(tmp_path / "origin")
    (repo.folder / ".moot.toml").symlink_to("/etc/passwd")
    repo.commit({}, "base")
    ours, _ = mirrors(tmp_path / "mirrors")
    with pytest.raises(InvalidInput, match=r"\.moot\.toml: is no regular file"):
        await ours.prepare(str(repo.folder), "HEAD")


async def test_a_repository_of_somebody_else_works(tmp_path: Path) -> None:
    """A repository under another owner is read all the same: nothing of it is trusted anyway."""
    need(os.getuid() == 0, "giving files away needs root")
    repo = Repo(tmp_path / "origin")
    commit = repo.commit({"a": "a\n"}, "base")
    for path in (repo.folder, *repo.folder.rglob("*")):
        os.chown(path, 12_345, 12_345)
    ours, _ = mirrors(tmp_path / "mirrors")
    assert (await ours.prepare(str(repo.folder), "HEAD")).commit == commit


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c 'touch ran'", "fd::7", "--upload-pack=touch ran", "-oProxyCommand=x", "git://example.org/a",
        "ftp://example.org/a", "ssh://-oProxyCommand=touch/a", "https://user:secret@example.org/a",
        "https://token@example.org/a", "relative/path", "./here", ".", "http://[::1", "https://exa\nmple.org/a",
        "transport::https://example.org/a", "https:///nowhere",
    ],
)  # fmt: skip
async def test_refuses_addresses(tmp_path: Path, address: str) -> None:
    """Options, helpers, other protocols, credentials and relative paths never reach git."""
    ours, _ = mirrors(tmp_path / "mirrors")
    with pytest.raises(InvalidInput, match=r"^repository: ") as caught:
        await ours.prepare(address, "HEAD")
    assert "secret" not in str(caught.value)


async def test_an_unreachable_server_is_said(tmp_path: Path) -> None:
    """A port where nobody listens is `cannot be reached`."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    ours, _ = mirrors(tmp_path / "mirrors")
    with pytest.raises(InvalidInput, match="cannot be reached"):
        await ours.prepare(f"http://127.0.0.1:{port}/a.git", "HEAD")


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """After the fetch's time-out git is ended and the error says so."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ours, _ = mirrors(tmp_path / "mirrors", RunnerSettings(fetch_timeout_s=0.5))
        with pytest.raises(InvalidInput, match="did not answer in time"):
            await ours.prepare(f"http://127.0.0.1:{silent.getsockname()[1]}/a.git", "HEAD")


@pytest.mark.parametrize("odd", ["\u2028", "\u0085"])
async def test_a_ref_may_hold_what_unicode_takes_for_a_line_end(tmp_path: Path, odd: str) -> None:
    """Git allows it in names; the repository is read all the same, again and again."""
    repo = Repo(tmp_path / "origin")
    tip = repo.commit({"a": "a\n"}, "base")
    repo.git("update-ref", f"refs/heads/one{odd}two".encode(), tip)
    ours, _ = mirrors(tmp_path / "mirrors")
    assert [(await ours.prepare(str(repo.folder), "main")).commit for _ in range(2)] == [tip, tip]


async def test_attributes_that_are_a_submodule_are_not_read(tmp_path: Path) -> None:
    """What is no file is no rule for Git LFS either."""
    repo = Repo(tmp_path / "origin")
    start = repo.commit({"a": "a\n"}, "start")
    rows = [("160000", b".gitattributes", "1" * 40), *repo.rows(start)]
    repo.git("update-ref", "refs/heads/main", repo.commit_tree(repo.tree(rows), start))
    ours, _ = mirrors(tmp_path / "mirrors")
    base = await ours.prepare(str(repo.folder), "main")
    assert any("submodule" in notice for notice in base.notices)
