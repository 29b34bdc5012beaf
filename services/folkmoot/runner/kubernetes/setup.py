"""One run of a set-up in a cluster: in a pod of nobody's workspace, kept off the network as all are, whose one way out
is a tunnel to the runner's own proxy. What it made comes to the runner packed, and is never unpacked here.
"""

import asyncio
import contextlib
import hashlib
import io
import os
import tarfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, Unavailable
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runner.command import REPO, Command, Ended
from folkmoot.runner.environment import profile, scripts, sets
from folkmoot.runner.environment.ground import FINISH_S, Errand, Made, Said, failed, limits_of, unfinished
from folkmoot.runner.environment.proxy import Proxy, Resolve
from folkmoot.runner.environment.wanted import File, Wanted
from folkmoot.runner.kubernetes import job
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.images import Images
from folkmoot.runner.kubernetes.plan import MEMORY_SHARE, Plan, Volume
from folkmoot.runner.kubernetes.pod import pack
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runner.kubernetes.stream import Place, Stream, streaming
from folkmoot.runner.kubernetes.tunnel import way_out
from folkmoot.runner.kubernetes.wire import Limits
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.workspace.port import WorkspaceLost

Check = Callable[[Wanted], Awaitable[None]]
"""Whether the installation's own image has what is wanted: `Toolcheck.require`."""
Raise = Callable[[Plan, Limits, int], AbstractAsyncContextManager[PodRoom]]
"""A pod of nobody's, seen to be kept off the network, with a deadline in seconds; gone at the end."""

_MOST_FILES = 500_000
_PACK_S = 600.0
_HEAD_BYTES = 1_000
_AUTHORITIES = f"{job.HOME}/.authorities.crt"
_VENV = (
    'if python3 -c "import ensurepip" 2>/dev/null; then exec python3 -m venv "$1"; fi; '
    'exec python3 -m venv --without-pip "$1"'
)
_FINISH = f"""{scripts.GATHER}
packages=$(python3 -I -c 'import os, pytest; print(os.path.dirname(os.path.dirname(pytest.__file__)))' || true)
set -- "$3" "$packages"
{scripts.FINISH}"""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What `pod/pack.py` says first."""

    bytes: int
    files: int


class Setups:
    """A `Ground`."""

    result = "packed.tar.gz"

    def __init__(
        self, api: Api, raised: Raise, check: Check, *, plan: Plan, images: Images, settings: Settings, resolve: Resolve
    ) -> None:
        self._api = api
        self._raised = raised
        self._check = check
        self._image = plan.image
        self._images = images
        self._settings = settings
        self._resolve = resolve
        disk = settings.runner.setup_disk_bytes
        self._plan = msgspec.structs.replace(
            plan, disk_bytes=disk, environment=Volume(bytes=disk), together_bytes=max(disk, plan.disk_bytes)
        )
        self._most = {
            **limits_of(settings.runner),
            "memory": f"{plan.memory_bytes} bytes (FOLKMOOT_KUBERNETES_MEMORY_BYTES)",
            "processes": f"{plan.processes} (FOLKMOOT_KUBERNETES_SIZE)",
        }

    async def platform(self, wanted: Wanted) -> str | None:
        image = self._images.chosen(wanted)
        if not image:  # what is in an image of the repository's own is the repository's affair
            await self._check(wanted)
        return f"image {image or self._image}" if wanted.config.setup.strip() else None

    async def make(self, draft: Path, errand: Errand) -> Made:
        image = self._images.chosen(errand.wanted) or self._image
        plan = msgspec.structs.replace(self._plan, image=image)
        deadline_s = int(self._settings.runner.setup_s + FINISH_S + 2 * _PACK_S)
        proxy = Proxy(errand.allowed, errand.private, self._resolve)
        run = _Run(self._api, self._settings, self._most, errand.wanted, proxy)
        try:
            async with self._raised(plan, self._limits(), deadline_s) as room:
                return await run.made(room, errand.contents, draft / self.result, online=bool(errand.allowed))
        except WorkspaceLost as error:
            if limit := taken_too_much(str(error)):
                raise run.ended_by(limit) from error
            raise

    def _limits(self) -> Limits:
        runner = self._settings.runner
        return Limits(
            processes=min(self._plan.processes, runner.processes),
            memory_bytes=int(MEMORY_SHARE * self._plan.memory_bytes),
            disk_bytes=runner.setup_disk_bytes,
            charged=(REPO, job.HOME, profile.TARGET, job.TERMINATION_LOG),
            tmp_bytes=self._plan.tmp_bytes,
            tmp=(job.TMP,),
            open_files=runner.open_files,
            file_bytes=runner.setup_disk_bytes,
        )


class _Run:
    def __init__(self, api: Api, settings: Settings, most: dict[str, str], wanted: Wanted, proxy: Proxy) -> None:
        self._api = api
        self._settings = settings
        self._most = most
        self._wanted = wanted
        self._proxy = proxy
        self._patience_s = settings.kubernetes.request_s
        self._began = time.monotonic()

    async def made(self, room: PodRoom, contents: Sequence[bytes], target: Path, *, online: bool) -> Made:
        path = await self._ours(room, "sh", "-c", 'printf %s "$PATH"')
        body, trusted = await asyncio.to_thread(_furniture, self._wanted.files, contents)
        await self._ours(room, "tar", "-x", "-f", "-", "-C", "/", stdin=body)
        seconds = await self._set_up(room, path.decode(), online=online, authorities=_AUTHORITIES if trusted else "")
        venv = await self._finish(room)
        measured, size, digest = await self._packed(room, target)
        return Made(
            venv=venv,
            bytes=size,
            seconds=round(seconds, 1),
            digest=digest,
            unpacked_bytes=measured.bytes,
            path=path.decode(),
        )

    async def _set_up(self, room: PodRoom, path: str, *, online: bool, authorities: str) -> float:
        """Says how many seconds it took."""
        venv = _venv(self._wanted.config.library[0])
        seen = profile.seen({"PATH": path}, venv=bool(venv)) | profile.outward(online=online, authorities=authorities)
        frozen = (part for name in profile.FROZEN for part in ("-u", name))
        command = Command(
            argv=("env", *frozen, "sh", "-c", scripts.RUN, "setup", self._wanted.config.setup, profile.VENV, *venv),
            environment={name: value for name, value in seen.items() if name not in profile.FROZEN},
            timeout_s=self._settings.runner.setup_s,
            output_limit=2**40,
        )
        said = Said()
        async with contextlib.AsyncExitStack() as stack:
            if online:
                out = way_out(self._api, _commands(room), self._proxy, patience_s=self._patience_s)
                await stack.enter_async_context(out)
            ended = await room.run(command, said.keep)
        if not ended.end.ok:
            raise self._failed(ended, said.last)
        return ended.end.duration_s

    async def _finish(self, room: PodRoom) -> bool:
        """Says whether there is a Python environment."""
        places = (f"{REPO}/node_modules", profile.NODE_MODULES, profile.TARGET)
        command = Command(argv=("sh", "-c", _FINISH, "finish", *places), timeout_s=FINISH_S)
        said = Said()
        ended = await room.run(command, said.keep)
        if error := unfinished(ended, said.last):
            raise error
        if not ended.end.ok:
            raise self._failed(ended, said.last)
        return said.last.endswith(b"venv\n")

    async def _packed(self, room: PodRoom, target: Path) -> tuple[Measured, int, str]:
        """How much it is, and of what came the length and digest."""
        most = self._settings.runner.setup_disk_bytes
        argv = (profile.TARGET, str(most), str(_MOST_FILES))
        try:
            async with (
                asyncio.timeout(_PACK_S),
                streaming(self._api, _commands(room), pack, *argv, patience_s=self._patience_s) as stream,
            ):
                head, size, digest = await _received(stream, target, most)
                if stream.code != 0 and size <= most:
                    raise WorkspaceLost(f"what the set-up made could not be packed: {stream.complaint}")
        except TimeoutError as error:
            raise Unavailable(f"what the set-up made did not come within {_PACK_S:g} s") from error
        measured = msgspec.json.decode(head, type=Measured)
        if measured.files > _MOST_FILES:
            raise FailedPrecondition("environment", f"the set-up left more than {_MOST_FILES} files")
        if measured.bytes > most or size > most:
            raise self.ended_by("disk")
        return measured, size, digest

    async def _ours(self, room: PodRoom, *argv: str, stdin: bytes = b"") -> bytes:
        """Standard output of a command that is not the set-up's. Raises Unavailable for one that fails."""
        said = Said()
        ended = await room.run(Command(argv=argv, cwd="/", stdin=stdin), said.keep)
        if not ended.end.ok:
            raise Unavailable(f"a set-up's pod cannot be furnished: {said.last.decode('utf-8', 'replace')[-300:]}")
        return said.last

    def ended_by(self, limit: str) -> FailedPrecondition:
        end = CommandEnd(exit_code=None, limit=limit, duration_s=time.monotonic() - self._began)
        return self._failed(Ended(end=end, truncated=False), b"")

    def _failed(self, ended: Ended, said: bytes) -> FailedPrecondition:
        return failed(self._most, ended, said, self._proxy.refused)


def taken_too_much(words: str) -> str:
    """The limit for which a cluster ended a pod, from what it says; empty where that was no doing of the pod's."""
    if "OOMKilled" in words:
        return "memory"
    return "disk" if "evicted" in words and "exceeds the" in words else ""


def _commands(room: PodRoom) -> Place:
    return Place(pod=room.pod, container=job.CONTAINER)


def _venv(library: str) -> tuple[str, ...]:
    """What makes the Python environment of a set-up, but for its place; empty: it gets none."""
    if library in ("", "python"):
        return ("sh", "-c", _VENV, "venv")
    return sets.venv(library)


def _furniture(files: Sequence[File], contents: Sequence[bytes]) -> tuple[bytes, bool]:
    """All that a set-up finds in its pod, as a tar over the root; and whether this machine says itself whose
    certificates hold."""
    body, authorities = io.BytesIO(), Path(profile.AUTHORITIES)
    with tarfile.open(fileobj=body, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file, content in zip(files, contents, strict=True):
            _add(tar, f"{REPO}/{file.path}", content, 0o755 if file.executable else 0o644)
        trusted = authorities.is_file()
        if trusted:
            _add(tar, _AUTHORITIES, authorities.read_bytes(), 0o644)
    return body.getvalue(), trusted


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


async def _received(stream: Stream, target: Path, most: int) -> tuple[bytes, int, str]:
    """The first line, and of what comes behind it into `target` the length and digest; what is longer than `most` is
    cut soon after. Raises WorkspaceLost."""
    async with contextlib.aclosing(stream.said()) as pieces:
        head, rest = await _line(pieces)
        with target.open("wb") as file:
            seen, size = hashlib.sha256(rest), file.write(rest)
            async for piece in pieces:
                seen.update(piece)
                size += await asyncio.to_thread(file.write, piece)
                if size > most:
                    break
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
    return head, size, seen.hexdigest()


async def _line(pieces: AsyncGenerator[bytes, None]) -> tuple[bytes, bytes]:
    """The first line, and what came with it. Raises WorkspaceLost where there is none."""
    head = b""
    async for piece in pieces:
        head += piece
        if b"\n" in head:
            line, _, rest = head.partition(b"\n")
            return line, rest
        if len(head) > _HEAD_BYTES:
            break
    raise WorkspaceLost(f"what packs an environment said nothing that is ours: {head[:100]!r}")
