"""Versions that come of looks from inside: real files, the program that looks, real git; no pod."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.ids import CommitId
from folkmoot.runner.border import quarantine
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.jobs import Jobs, Turns
from folkmoot.runner.kubernetes import wire
from folkmoot.runner.kubernetes.pod import look
from folkmoot.runner.versions.history import FORMAT, versions
from folkmoot.runner.versions.ledger import Ledger
from folkmoot.runner.versions.looks import Looks
from folkmoot.runner.versions.seen import Ask, Seen, read
from tests.repositories import Repo

FILES: dict[str, bytes | str] = {
    "a.py": "a\n",
    "pkg/one.py": "1\n",
    "pkg/two.py": "2\n",
    ".gitignore": "*.log\nbuild/\n",
    "node_modules/kept.js": "tracked, and looked past\n",
}
LIMIT = 1_000_000


def asked(ask: Ask, root: Path) -> dict[str, object]:
    return {**wire.look_order(ask), "root": str(root)}


def seen(ask: Ask, root: Path) -> Seen:
    return read(b"".join(look.looked(asked(ask, root))))


class Room:
    """A folder in place of a pod; commands are done by this process."""

    def __init__(self, root: Path, group: asyncio.TaskGroup, ledger: Ledger) -> None:
        self.root = root
        self.asks: list[Ask] = []
        self.tells = True
        self.seen, self.slow, self.seen_at = asyncio.Event(), asyncio.Event(), 0
        """A command that says that it is slow tells late what was seen at its end."""
        self.jobs = Jobs(group)
        self.looks = Looks(ledger, self.looked, self.jobs, Turns(4), group, limit=LIMIT)

    async def looked(self, command: Command, _: Sink, ask: Ask) -> tuple[Ended, bytes]:
        self.asks.append(ask)
        process = await asyncio.create_subprocess_exec(*command.argv, cwd=self.root)
        assert await process.wait() == 0
        body = b"".join(look.looked(asked(ask, self.root))) if self.tells else b""
        if b"slow" in os.fsencode(command.argv[-1]):
            self.seen_at = read(body).at
            self.seen.set()
            await self.slow.wait()
        return Ended(end=CommandEnd(exit_code=0, duration_s=0.0), truncated=False), body

    async def step(self, script: str) -> None:
        """As an agent's command."""
        await self.looks.settled()
        await self.command(script)
        self.looks.note(script.split("\n", maxsplit=1)[0])
        await self.looks.settled()

    async def command(self, script: str) -> None:
        await self.looks.stepping(self._plain)(Command(argv=("sh", "-c", script)), _nobody)

    async def _plain(self, command: Command, sink: Sink) -> Ended:
        self.tells, told = False, self.tells
        ended, _ = await self.looked(command, sink, Ask())
        self.tells = told
        return ended

    async def steps(self) -> list[list[tuple[str, bytes]]]:
        """What each version changed."""
        span = f"{self.looks.ledger.commit}..refs/heads/steps"
        args = ("log", "-z", "--raw", "--reverse", "--first-parent", "--no-renames", "--no-abbrev", FORMAT, span)
        found = versions("a", 1, await self.looks.ledger.git.out(*args))
        return [[(c.operation, c.path) for c in version.changes] for version in found]

    async def content(self, path: str) -> bytes:
        return await self.looks.ledger.git.out("cat-file", "blob", f"refs/heads/steps:{path}")


async def _nobody(_: str, __: bytes) -> None:
    """Takes what nobody hears."""


def checked_out(repo: Repo, folder: Path) -> CommitId:
    commit = repo.commit(FILES)
    subprocess.run(["git", "clone", "-q", "--bare", repo.folder, folder / "lender.git"], check=True)
    subprocess.run(["git", "clone", "-q", repo.folder, folder / "work"], check=True)
    return CommitId(commit)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    commit = checked_out(Repo(tmp_path / "origin"), tmp_path)
    async with asyncio.TaskGroup() as group:
        ledger = Ledger(tmp_path / "ledger", commit)
        ledger.make(tmp_path / "lender.git")
        made = Room(tmp_path / "work", group, ledger)
        await made.command("true")
        made.looks.begin()
        await made.looks.settled()
        yield made
        await made.jobs.end()


async def test_each_step_holds_what_it_changed(room: Room) -> None:
    """Writes, modes, links, removals, odd names; nothing for a look; one run for each."""
    await room.step("echo b >a.py; echo new >'x y\n\"z'; chmod +x pkg/one.py")
    await room.step("cat a.py")
    await room.step("rm pkg/two.py; ln -s a.py link")
    await room.step("ln -sf pkg link; touch a.py")
    odd = b'x y\n"z'
    assert await room.steps() == [
        [("M", b"a.py"), ("M", b"pkg/one.py"), ("A", odd)],
        [("A", b"link"), ("D", b"pkg/two.py")],
        [("M", b"link")],
    ]
    assert (await room.content("a.py"), await room.content("link")) == (b"b\n", b"pkg")
    assert len(room.asks) == 5


async def test_a_folder_that_is_renamed(room: Room) -> None:
    """Its files are known by what they are: no content is asked for, and none is lost."""
    await room.step("mv pkg moved")
    assert await room.steps() == [
        [("A", b"moved/one.py"), ("A", b"moved/two.py"), ("D", b"pkg/one.py"), ("D", b"pkg/two.py")]
    ]
    assert await room.content("moved/two.py") == b"2\n"
    assert len(room.asks) == 2


async def test_what_git_leaves_is_left(room: Room) -> None:
    """By the repository's rules, and those that the agent writes; what the rules let go comes with the next step."""
    await room.step("mkdir build; echo x >build/out; echo x >run.log; mkdir -p .venv node_modules; echo x >.venv/v")
    assert await room.steps() == []
    await room.step("mkdir sub; echo '*' >sub/.gitignore; echo x >sub/own; rm node_modules/kept.js")
    assert await room.steps() == []
    await room.step("echo 'build/' >.gitignore")
    await room.step("echo '*.py' >>.gitignore; echo c >a.py; echo c >c.py")
    await room.step("rm sub/.gitignore")
    assert await room.steps() == [
        [("M", b".gitignore"), ("A", b"run.log")],
        [("M", b".gitignore"), ("M", b"a.py")],
        [("A", b"sub/own")],
    ]


async def test_what_does_not_come_by_itself_is_asked_for(room: Room) -> None:
    """Large files by one further run, what git leaves not at all; one that is too large has no versions."""
    await room.step("truncate -s 300K large; truncate -s 2000000 huge; truncate -s 3M l.log")
    assert await room.steps() == [[("A", b"huge"), ("A", b"large")]]
    assert len(await room.content("huge")) == 2_000_000
    assert [ask.want for ask in room.asks[2:]] == [(b"huge",)]
    await room.step("truncate -s 17M huge; echo d >a.py")
    assert (await room.steps())[1:] == [[("M", b"a.py")]]


async def test_hostile_names_and_kinds_hold_up_nothing(room: Room) -> None:
    """What git or the border would not take is left out: `.git` in any spelling, rules that are links, pipes, sockets,
    what cannot be read; a history of its own is part of this one."""
    await room.step("""mkdir -p .GIT own/.git 'git~1'; echo x >.GIT/config; echo x >own/.git/HEAD; echo x >own/file
        echo x >'git~1/x'; echo x >':(top)'; mkfifo pipe; rm .gitignore; ln -s /etc/passwd .gitignore
        ln -s / .gitattributes; echo e >a.py; mkdir -p d; ln -s ../a.py d/.gitignore; printf '*\\n' >'back\\slash'""")
    [changes] = await room.steps()
    assert changes == [
        ("D", b".gitignore"),
        ("A", b":(top)"),
        ("M", b"a.py"),
        ("A", b"back\\slash"),
        ("A", b"own/file"),
    ]
    # What is exported comes through the border's strictest reader.
    bundle = quarantine.header_of(await room.looks.exported(LIMIT), size=LIMIT, prerequisites=1)
    folder = room.root.parent
    async with quarantine.opened(folder / "quarantine", folder / "lender.git", sha256=False) as (git, objects):
        await quarantine.unpacked(git, objects, bundle)
        await quarantine.check_descent(git, objects, [room.looks.ledger.commit], bundle.tip, 1)


async def test_what_was_not_seen_is_seen_later(room: Room) -> None:
    """A look that was cut off says nothing; the next one says it, or one that is taken at the end."""
    room.tells = False
    await room.step("echo lost >a.py")
    assert await room.steps() == []
    room.tells = True
    await room.step("echo x >new.py")
    assert await room.steps() == [[("M", b"a.py"), ("A", b"new.py")]]
    room.tells = False
    await room.step("echo last >a.py")
    room.tells = True
    assert await room.looks.exported(LIMIT)
    assert (await room.steps())[1:] == [[("M", b"a.py")]]


async def test_nobody_looks_in_the_middle_of_a_step(room: Room) -> None:
    """Who asks for versions meanwhile gets those of the steps that are over."""
    async with asyncio.TaskGroup() as group:
        group.create_task(room.command("echo half >a.py; : slow"))
        await room.seen.wait()
        assert await room.looks.exported(LIMIT) == b""
        assert len(room.asks) == 2
        room.slow.set()
    room.looks.note("whole")
    assert await room.looks.exported(LIMIT)
    assert len(await room.steps()) == 1


async def test_a_successor_goes_on(room: Room) -> None:
    """With what lies on the disk, and what was done while nobody looked."""
    await room.step("echo b >a.py")
    (room.root / "pkg/one.py").write_text("while the runner was away\n")
    async with asyncio.TaskGroup() as group:
        ledger = room.looks.ledger
        again = Room(room.root, group, Ledger(ledger.git.folder.parent, ledger.commit))
        assert again.looks.resume()
        await again.looks.exported(LIMIT)
        assert (await again.steps())[1:] == [[("M", b"pkg/one.py")]]
        await again.jobs.end()
        assert not Looks(
            Ledger(room.root, ledger.commit), room.looked, again.jobs, Turns(1), group, limit=LIMIT
        ).resume()


async def test_side_by_side(room: Room) -> None:
    """Two commands at once: whatever order their looks come in, nothing is lost, and nothing older comes last."""
    async with asyncio.TaskGroup() as group:
        first = group.create_task(room.command("echo 1 >one; : slow"))
        await room.seen.wait()
        while time.clock_gettime_ns(look.COARSE) == room.seen_at:
            pass
        await room.step("echo 2 >two; echo 2 >one")
        room.slow.set()
        await first
    room.looks.note("the slow one")
    await room.looks.settled()
    assert await room.steps() == [[("A", b"one"), ("A", b"two")]]
    assert (await room.content("one"), await room.content("two")) == (b"2\n", b"2\n")
    assert await room.looks.exported(LIMIT)
    assert len(await room.steps()) == 1


@pytest.mark.parametrize("cut", [0, 10, 29, 35, 50])
def test_what_is_no_look(tmp_path: Path, cut: int) -> None:
    """A piece of one, or one with something behind it, is none."""
    (tmp_path / "a").write_text("content")
    whole = b"".join(look.looked(asked(Ask(since=0), tmp_path)))
    assert [e.content for e in read(whole).entries] == [b"content"]
    for body in (whole[:cut], whole[:-1], whole + b"x", b"Q" + whole[1:], whole[:29] + b"d" + whole[30:]):
        with pytest.raises(ValueError, match="look"):
            read(body)


def test_a_look_has_an_end(tmp_path: Path) -> None:
    """More files than it may look at, or more time: it says so, and nothing else. A depth without end is not gone
    through."""
    for number in range(20):
        (tmp_path / f"{number}").touch()
    few = asked(Ask(), tmp_path) | {"files": 10}
    assert read(b"".join(look.looked(few))).too_much
    (tmp_path / "/".join(["d"] * 150)).mkdir(parents=True)
    assert len(seen(Ask(), tmp_path).entries) == 20


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """Then everything counts as changed."""
    (tmp_path / "a").write_text("x")
    before = seen(Ask(), tmp_path)
    later = Ask(since=before.at + 10**18, digest=before.digest)
    [entry] = seen(later, tmp_path).entries
    assert entry.content == b"x"
