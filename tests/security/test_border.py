"""What comes out of a workspace is hostile bytes: each kind is turned back for its own reason."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures.packs import BLOB, COMMIT, REF_DELTA, TREE, object_id, pack_of, packed
from tests.repositories import AGENT, TASK, Repo, mirrors

LIMITS = RunnerSettings(bundle_bytes=2_000_000, file_bytes=200_000, commits=5)
FILES = {"app.py": "x = 1\n", "tests/test_app.py": "def test_x():\n    assert True\n", "link.txt": "no link\n"}
TOML = "[limits]\nfiles = 5\ndiff_lines = 50\n"


class Desk:
    """A prepared repository and a place where an agent makes what it likes."""

    def __init__(self, folder: Path) -> None:
        origin = Repo(folder / "origin")
        origin.commit(FILES | {".moot.toml": TOML}, "first")
        self.base_commit = origin.commit({"app.py": "x = 2\n"}, "base")
        origin.git("clone", "-q", ".", str(folder / "agent"))
        self.origin = origin
        self.agent = Repo(folder / "agent")
        self.folder = folder / "mirrors"
        self.mirrors, self.artifacts = mirrors(self.folder, LIMITS)

    async def prepared(self) -> PreparedBase:
        return await self.mirrors.prepare(str(self.origin.folder), "HEAD")

    def with_row(self, mode: str, name: bytes, object_id: str) -> bytes:
        """Base plus one more row in its root tree."""
        rows = [r for r in self.agent.rows(self.base_commit) if r[1] != name]
        return self.of_tree(self.agent.tree([*rows, (mode, name, object_id)]))

    def of_tree(self, tree: str) -> bytes:
        return self.agent.bundle(self.agent.commit_tree(tree, self.base_commit), self.base_commit)

    def good(self) -> bytes:
        return self.agent.bundle(self.agent.commit({"app.py": "x = 3\n"}), self.base_commit)

    def file(self, name: bytes, content: bytes = b"made\n") -> bytes:
        return self.with_row("100644", name, self.agent.blob(content))

    def folder_named(self, name: bytes) -> bytes:
        inner = self.agent.tree([("100644", b"config", self.agent.blob(b"[core]\n"))])
        return self.with_row("40000", name, inner)

    def link(self, target: bytes, name: bytes = b"link") -> bytes:
        return self.with_row("120000", name, self.agent.blob(target))


async def state(mirrors: Mirrors, base: PreparedBase) -> tuple[bytes, ...]:
    """All refs and all objects of candidates.git, without base's."""
    folder = mirrors.objects(base.repository_id).parent / "candidates.git"
    refs = Repo(folder, bare=True).git("for-each-ref")
    return refs, *sorted(str(p).encode() for p in folder.glob("objects/*/*") if p.parent.name != "info")


async def admit(desk: Desk, base: PreparedBase, bundle: bytes) -> Admission | Refusal:
    return await desk.mirrors.admit(task_id=TASK, agent_id=AGENT, round_=1, base=base, bundle=bundle, message="Mend it")


def header(desk: Desk, *lines: str, version: int = 2, pack: bytes | None = None) -> bytes:
    body = desk.good().partition(b"\n\n")[2] if pack is None else pack
    return "\n".join([f"# v{version} git bundle", *lines, "", ""]).encode() + body


def lines(desk: Desk) -> tuple[str, str]:
    """The prerequisite and the ref of a good bundle."""
    head = desk.good().partition(b"\n\n")[0].decode().split("\n")
    return head[1], head[2]


def bottomless(desk: Desk, depth: int = 20_000) -> bytes:
    """Folders in folders: whoever walks down by recursion runs out of stack."""
    mode, inner, objects = b"100644", object_id(BLOB, b"x"), [packed(BLOB, b"x")]
    for _ in range(depth):
        tree = mode + b" a\0" + inner
        objects.append(packed(TREE, tree))
        mode, inner = b"40000", object_id(TREE, tree)
    who = b"a <a@b> 1700000000 +0000"
    commit = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nx\n" % (
        inner.hex().encode(),
        desk.base_commit.encode(),
        who,
        who,
    )
    tip = object_id(COMMIT, commit).hex()
    pack = pack_of(*objects, packed(COMMIT, commit))
    return header(desk, f"-{desk.base_commit} x", f"{tip} HEAD", pack=pack)


def delta_bomb(desk: Desk) -> bytes:
    """Half a kilobyte that says: copy these 65,535 bytes a hundred thousand times."""
    source, times = b"\0" * 0xFFFF, 100_000
    delta = _varint(len(source)) + _varint(len(source) * times) + b"\xb0\xff\xff" * times
    pack = pack_of(packed(BLOB, source), packed(REF_DELTA, delta, before=object_id(BLOB, source)))
    return header(desk, f"-{desk.base_commit} x", f"{'1' * 40} HEAD", pack=pack)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def many_commits(desk: Desk) -> bytes:
    tip = ""
    for i in range(LIMITS.commits + 1):
        tip = desk.agent.commit({"app.py": f"x = {i + 10}\n"})
    return desk.agent.bundle(tip, desk.base_commit)


def unrelated(desk: Desk) -> bytes:
    """A root commit of its own under a header that claims base."""
    tip = desk.agent.commit_tree(desk.agent.tree([("100644", b"a", desk.agent.blob(b"a"))]))
    body = desk.agent.bundle(tip).partition(b"\n\n")[2]
    return header(desk, f"-{desk.base_commit} base", f"{tip} refs/heads/x", pack=body)


def same_tree(desk: Desk) -> bytes:
    return desk.agent.bundle(desk.agent.commit({}), desk.base_commit)


def huge_message(desk: Desk) -> bytes:
    desk.agent.commit({"app.py": "x = 3\n"})
    words = b"x" * 2**21
    tip = desk.agent.line("commit-tree", "HEAD^{tree}", "-p", desk.base_commit, "-F", "-", stdin=words)
    return desk.agent.bundle(tip, desk.base_commit)


def missing_blob(desk: Desk) -> bytes:
    """A tree that names an object that nobody has."""
    return header(
        desk,
        f"-{desk.base_commit} x",
        f"{'1' * 40} refs/heads/x",
        pack=pack_of(packed(TREE, b"100644 a\0" + b"\1" * 20)),
    )


def tag_tip(desk: Desk) -> bytes:
    tip = desk.agent.commit({"app.py": "x = 3\n"})
    desk.agent.git("tag", "-a", "-m", "t", "tagged", tip)
    return desk.agent.git("bundle", "create", "-q", "-", "refs/tags/tagged", f"^{desk.base_commit}")


def bomb(desk: Desk) -> bytes:
    """Fifty megabytes that pack into fifty kilobytes."""
    return desk.file(b"bomb", b"\0" * 50_000_000)


Case = tuple[str, Callable[[Desk], bytes], str]
CASES: list[Case] = [
    ("nothing", lambda _: b"", "is no git bundle"),
    ("garbage", lambda _: random.Random(1).randbytes(5_000), "is no git bundle"),
    ("another version", lambda d: header(d, *lines(d), version=4), "is no git bundle of version"),
    ("a filter", lambda d: header(d, "@filter=blob:none", *lines(d), version=3), "capability 'filter=blob:none'"),
    ("an unknown capability", lambda d: header(d, "@evil", *lines(d), version=3), "capability 'evil'"),
    ("capability in version 2", lambda d: header(d, "@object-format=sha1", *lines(d)), "of version 2 and names"),
    ("two refs", lambda d: header(d, *lines(d), f"{'a' * 40} refs/heads/two"), "brings 2 refs"),
    ("no ref", lambda d: header(d, lines(d)[0]), "brings 0 refs"),
    ("no prerequisite", lambda d: header(d, lines(d)[1]), "names 0 prerequisites"),
    ("two prerequisites", lambda d: header(d, lines(d)[0], *lines(d)), "names 2 prerequisites"),
    ("another prerequisite", lambda d: header(d, f"-{'b' * 40} x", lines(d)[1]), "not on base"),
    ("an option as ref", lambda d: header(d, lines(d)[0], f"{'a' * 40} --upload-pack=x"), "names the ref"),
    ("a ref that climbs", lambda d: header(d, lines(d)[0], f"{'a' * 40} ../../x"), "names the ref"),
    ("no object id", lambda d: header(d, lines(d)[0], "HEAD refs/heads/x"), "is no object id"),
    ("a tip that is not there", lambda d: header(d, lines(d)[0], f"{'c' * 40} HEAD"), "is no commit that it brings"),
    ("no pack", lambda d: header(d, *lines(d), pack=b""), "holds no pack"),
    ("a cut pack", lambda d: d.good()[:-30], "git refuses the bundle"),
    ("a pack with a wrong sum", lambda d: d.good()[:-1] + b"\0", "git refuses the bundle"),
    (
        "four billion objects",
        lambda d: header(d, *lines(d), pack=pack_of(packed(BLOB, b"x" * 20), count=2**32 - 1)),
        "declares 4294967295 objects",
    ),
    (
        "a huge declared size",
        lambda d: header(d, *lines(d), pack=pack_of(packed(COMMIT, b"x", declared=2**40))),
        "git refuses the bundle",
    ),
    ("an oversized bundle", lambda _: b"# v2 git bundle\n" + b"x" * LIMITS.bundle_bytes, "the bundle has"),
    ("an unpacking bomb", bomb, "has 50000000 bytes"),
    ("a delta bomb", delta_bomb, "git refuses the bundle"),
    ("a bottomless tree", bottomless, ""),  # why depends on the stack that the machine gives
    ("a large file", lambda d: d.file(b"big", b"x" * 200_001), "has 200001 bytes; at most 200000"),
    ("not descending", unrelated, "does not descend from base"),
    ("a huge message", huge_message, "bytes; at most 1048576"),
    ("too many commits", many_commits, "more than 5 commits"),
    ("no change", same_tree, "changes nothing"),
    ("missing objects", missing_blob, "git refuses the bundle"),
    ("a tag", tag_tip, "is no commit that it brings"),
    ("a folder .git", lambda d: d.folder_named(b".git"), "git refuses the bundle"),
    ("a folder .GIT", lambda d: d.folder_named(b".GIT"), "git refuses the bundle"),
    ("a folder git~1", lambda d: d.folder_named(b"git~1"), "git refuses the bundle"),
    ("a folder .git with a blank", lambda d: d.folder_named(b".git "), "git refuses the bundle"),
    ("a stream of .git", lambda d: d.folder_named(b".git::$INDEX_ALLOCATION"), "git refuses the bundle"),
    ("an invisible mark in .git", lambda d: d.folder_named(".g\u200cit".encode()), "git refuses the bundle"),
    ("wide letters", lambda d: d.folder_named(".ｇｉｔ".encode()), "is taken for `.git`"),
    ("a short name with a hash", lambda d: d.folder_named(b"gi7abc~1"), "is taken for `.git`"),
    ("..", lambda d: d.folder_named(b".."), "git refuses the bundle"),
    ("a slash in a name", lambda d: d.file(b"a/b"), "git refuses the bundle"),
    ("a backslash to .git", lambda d: d.file(b"a\\.git\\hooks"), "git refuses the bundle"),
    ("a submodule", lambda d: d.with_row("160000", b"sub", d.base_commit), "is a submodule link"),
    (".gitmodules", lambda d: d.file(b".gitmodules", b'[submodule "a"]\n\tpath = a\n\turl = ./a\n'), "submodules"),
    (".GITMODULES", lambda d: d.file(b".GitModules", b"x\n"), "submodules"),
    ("an absolute link", lambda d: d.link(b"/etc/passwd"), "leads out of the repository"),
    ("a climbing link", lambda d: d.link(b"../secret"), "leads out of the repository"),
    ("a link through a link", lambda d: d.link(b"tests/../../secret"), "leads out of the repository"),
    ("a link into .git", lambda d: d.link(b".git/config"), "leads out of the repository"),
    ("a link .gitmodules", lambda d: d.link(b"app.py", b".gitmodules"), "git refuses the bundle"),
    ("an empty link", lambda d: d.link(b""), "leads out of the repository"),
    ("a newline in a name", lambda d: d.file(b"a\nb"), "control characters"),
    ("an escape in a name", lambda d: d.file(b"a\x1b[2Jb"), "control characters"),
    ("a C1 control in a name", lambda d: d.file("a\u009bb".encode()), "control characters"),
    ("an odd mode", lambda d: d.with_row("100666", b"odd", d.agent.blob(b"x")), "git refuses the bundle"),
    (
        "too many files",
        lambda d: d.agent.bundle(d.agent.commit({f"f{i}": "x\n" for i in range(6)}), d.base_commit),
        "touches 6 files; at most 5",
    ),
    (
        "far too many files",
        lambda d: d.agent.bundle(d.agent.commit({f"{'f' * 200}{i}": "x\n" for i in range(600)}), d.base_commit),
        "too many files; at most 5",
    ),
    ("too many lines", lambda d: d.file(b"long", b"x\n" * 51), "adds and removes 51 lines; at most 50"),
]


@pytest.mark.parametrize(("make", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
async def test_turns_back(tmp_path: Path, make: Callable[[Desk], bytes], reason: str) -> None:
    """A hostile bundle is refused for its stated reason, and candidates.git and the quarantine stay as they were."""
    desk = Desk(tmp_path)
    base = await desk.prepared()
    before = await state(desk.mirrors, base)
    verdict = await admit(desk, base, make(desk))
    assert isinstance(verdict, Refusal)
    assert reason in verdict.reason
    assert verdict.reason.isprintable()
    assert await state(desk.mirrors, base) == before
    assert list((desk.folder / "quarantine").iterdir()) == []


async def test_a_cancelled_admission_leaves_nothing(tmp_path: Path) -> None:
    """Ending the caller's task ends git and removes the quarantine."""
    desk = Desk(tmp_path)
    base = await desk.prepared()
    bundle = bomb(desk)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(admit(desk, base, bundle))
        quarantine = desk.folder / "quarantine"
        # Waits for a file that another process makes.
        while not list(quarantine.glob("q-*/q.git/objects/pack/tmp_*")) and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert list(quarantine.iterdir()) == []
