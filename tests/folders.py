"""A workspace that is a plain folder with git in it: for tests of tools and agents, with no sandbox at all.

It is not under the contract suite: a sandbox, caps and fixed paths are most of what that promises.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.ids import CommitId, WorkspaceId
from folkmoot.runtime.workspace.port import Chunk, Completed, Entry, WorkspaceLost


class FolderWorkspace:
    """Implements `Workspace` on `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = False

    @property
    def id(self) -> WorkspaceId:
        return WorkspaceId("ws-folder")

    async def stream(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> AsyncIterator[Chunk | CommandEnd]:
        done = await self.run(argv, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s, output_limit=output_limit)
        yield Chunk(stream="stdout", data=done.stdout)
        yield Chunk(stream="stderr", data=done.stderr)
        yield done.end

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> Completed:
        self._check()
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self._path(cwd),
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | dict(env or {}),  # noqa: TID251
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        limit = ""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(process.communicate(stdin))
            if not (await asyncio.wait([work], timeout=timeout_s))[0]:
                limit = "time"
                os.killpg(process.pid, 9)
        out, err = work.result()
        code = process.returncode
        end = CommandEnd(
            exit_code=code if not limit and code is not None and code >= 0 else None,
            signal=None if code is None or code >= 0 else -code,
            limit=limit,
            duration_s=time.monotonic() - began,
        )
        cut = len(out) > output_limit or len(err) > output_limit
        return Completed(end=end, stdout=out[:output_limit], stderr=err[:output_limit], truncated=cut)

    async def read(self, path: str, *, limit: int = 10_000_000) -> bytes:
        self._check()
        target = self._path(path)
        if not target.exists():
            raise NotFound(f"{path} does not exist")
        if not target.is_file():
            raise InvalidInput("path", f"{path} is no regular file")
        return target.read_bytes()[:limit]

    async def write(self, path: str, content: bytes, *, append: bool = False) -> None:
        self._check()
        target = self._path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab" if append else "wb") as file:
            file.write(content)

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 10_000) -> list[Entry]:
        self._check()
        top = self._path(path)
        if not top.is_dir():
            raise NotFound(f"{path} is no folder")
        found = [p for p in sorted(top.rglob("*")) if ".git" not in p.parts and len(p.relative_to(top).parts) <= depth]
        return [
            Entry(
                path=str(p.relative_to(self.folder)),
                kind="dir" if p.is_dir() else "file",
                size=0 if p.is_dir() else p.stat().st_size,
            )
            for p in found[:limit]
        ]

    async def export_bundle(self, base: CommitId) -> bytes:
        self._check()
        if self.git("rev-parse", "HEAD") == base:
            raise FailedPrecondition("no_commit", "HEAD is base")
        target = self.folder / ".git" / "out.bundle"
        self.git("bundle", "create", "--quiet", str(target), f"{base}..HEAD")
        return target.read_bytes()

    async def import_bundle(self, bundle: bytes, commit: CommitId) -> None:
        raise InvalidInput("bundle", "a folder takes none")

    async def close(self) -> None:
        """Nothing to end."""

    def git(self, *argv: str) -> str:
        done = subprocess.run(["git", *argv], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _check(self) -> None:
        if self.lost:
            raise WorkspaceLost("the folder is gone")

    def _path(self, path: str) -> Path:
        target = (self.folder / path).resolve()
        if not target.is_relative_to(self.folder.resolve()) or "\x00" in path:
            raise InvalidInput("path", f"{path!r} leaves the repository")
        return target


def repository(folder: Path, files: Mapping[str, str]) -> CommitId:
    """A git repository with one commit; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    who = ["-c", "user.name=base", "-c", "user.email=base@example.invalid"]
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "base"]):
        subprocess.run(["git", *argv], cwd=folder, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return CommitId(head.stdout.strip())
