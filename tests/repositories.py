"""Real git repositories for tests: ordinary ones by commands, impossible ones object by object."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runtime.log.memory import MemoryArtifacts, MemoryStore
from folkmoot.runtime.settings import LogSettings, RunnerSettings

TASK = TaskId("t-1")
AGENT = AgentId("a-1")
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{role}_NAME": "Ada" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "ada@example.org" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_DATE": "@1700000000 +0000" for role in ("AUTHOR", "COMMITTER")},
}
File = bytes | str
Row = tuple[str, bytes, str]
"""Mode, name, object id."""


class Repo:
    """A repository that a test owns."""

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ".git").exists() and not (folder / "HEAD").exists():
            self.git("init", "-q", "-b", "main", *(["--bare"] if bare else []))

    def git(self, *args: str | bytes, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", *args], cwd=self.folder, env=_ENVIRONMENT, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout

    def line(self, *args: str | bytes, stdin: bytes = b"") -> str:
        return self.git(*args, stdin=stdin).decode().strip()

    def write(self, files: Mapping[str, File]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, File], message: str = "a change") -> CommitId:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return CommitId(self.line("rev-parse", "HEAD"))

    def blob(self, content: bytes) -> str:
        return self.line("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, rows: Sequence[Row]) -> str:
        """Any rows at all, in git's order: what `git mktree` would refuse, too."""
        ordered = sorted(rows, key=lambda r: r[1] + (b"/" if r[0] == "40000" else b""))
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(o) for mode, name, o in ordered)
        return self.line("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)

    def rows(self, commit: str) -> list[Row]:
        listing = self.git("ls-tree", "-z", commit).split(b"\0")[:-1]
        heads = [(line.split(b"\t", 1)[0].decode().split(), line.split(b"\t", 1)[1]) for line in listing]
        return [(head[0].lstrip("0"), name, head[2]) for head, name in heads]

    def commit_tree(self, tree: str, *parents: str) -> str:
        return self.line("commit-tree", tree, "-m", "made by hand", *(x for p in parents for x in ("-p", p)))

    def bundle(self, tip: str, *but: str, refs: Sequence[str] = ("refs/heads/candidate",)) -> bytes:
        for ref in refs:
            self.git("update-ref", ref, tip)
        return self.git("bundle", "create", "-q", "-", *refs, *(f"^{b}" for b in but))


def mirrors(folder: Path, settings: RunnerSettings | None = None) -> tuple[Mirrors, MemoryArtifacts]:
    artifacts = MemoryArtifacts(MemoryStore(), LogSettings())
    return Mirrors(folder, artifacts, settings or RunnerSettings()), artifacts


async def text_of(artifacts: MemoryArtifacts, ref: ArtifactRef) -> str:
    return (await artifacts.get(ref)).decode("utf-8", "replace")
