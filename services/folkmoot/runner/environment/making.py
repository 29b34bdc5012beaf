"""One run of a set-up: in a sandbox like any other, but with one way out, and one more folder to write in.

Whatever the set-up does it does as the sandboxes' user, under limits, and to folders of its own. When it is over, a
second sandbox without a way out puts in order what it left, and the host only moves and removes it.
"""

import asyncio
import contextlib
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.command import REPO, Command, Ended
from folkmoot.runner.environment import inside, profile, scripts, sets
from folkmoot.runner.environment.ground import FINISH_S, Errand, Made, Said, failed, limits_of, unfinished
from folkmoot.runner.environment.proxy import Proxy, Resolve, listening
from folkmoot.runner.environment.wanted import File, Wanted
from folkmoot.runner.local import folders, sandbox, watch
from folkmoot.runner.local.launcher import HOME
from folkmoot.runner.local.sandbox import Limits, Mount, Profile
from folkmoot.runner.local.stage import Stage
from folkmoot.runner.local.toolchain import PYTHON, Toolchains, environment
from folkmoot.runtime.settings import RunnerSettings

_SOURCE = Path(inside.__file__).read_text("utf-8")
ROOT = "root"
_WAY_OUT = "way-out"


class Maker:
    """`folder` holds all environments; `shown` is where sandboxes find it."""

    def __init__(
        self,
        folder: Path,
        shown: Path,
        *,
        stage: Stage,
        toolchains: Toolchains,
        settings: RunnerSettings,
        resolve: Resolve,
    ) -> None:
        self._folder = folder
        self._shown = shown
        self._stage = stage
        self._toolchains = toolchains
        self._settings = settings
        self._limits = limits_of(settings)
        self._resolve = resolve

    async def make(self, draft: Path, errand: Errand) -> Made:
        """Fill `draft`, an empty folder of ours in `folder`, up to `draft/root`; what it has beside that is gone.

        Raises FailedPrecondition("environment") with the last lines of what the set-up said, WorkspaceLost.
        """
        online = bool(errand.allowed)
        await asyncio.to_thread(self._furnish, draft, errand.wanted.files, errand.contents)
        proxy = Proxy(errand.allowed, errand.private, self._resolve)
        async with _open_way(proxy, draft / _WAY_OUT, online=online):
            ended, said = await self._run(draft, self._set_up(errand.wanted, online=online))
        if not ended.end.ok:
            raise failed(self._limits, ended, said, proxy.refused)
        venv = await self._finish(draft, proxy)
        for part in ("repo", "home"):
            await folders.remove(draft / part)
        size = await asyncio.to_thread(watch.size, draft / ROOT)
        return Made(venv=venv, bytes=size, seconds=round(ended.end.duration_s, 1))

    def _furnish(self, draft: Path, files: Sequence[File], contents: Sequence[bytes]) -> None:
        """The sandboxes' user passes through `draft`, and owns what lies in it."""
        draft.chmod(0o711)
        for part in (ROOT, "repo", "home"):
            (draft / part).mkdir(mode=0o755)
        for file, content in zip(files, contents, strict=True):
            place = draft / "repo" / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o755 if file.executable else 0o644)
        for part in (ROOT, "repo", "home"):
            self._stage.owned(draft / part)

    def _set_up(self, wanted: Wanted, *, online: bool) -> "_Step":
        venv = sets.venv(wanted.config.library[0])
        argv: tuple[str, ...] = ("sh", "-c", scripts.RUN, "setup", wanted.config.setup, profile.VENV, *venv)
        if online:
            argv = (f"{PYTHON}/bin/python", "-I", "-S", "-c", _SOURCE, profile.SOCKET, str(profile.PORT), *argv)
        trusted = Path(profile.AUTHORITIES).is_file()
        variables = profile.setting_up(environment(self._toolchains), venv=bool(venv), online=online, trusted=trusted)
        return _Step(argv=argv, environment=variables, timeout_s=self._settings.setup_s, online=online)

    async def _finish(self, draft: Path, proxy: Proxy) -> bool:
        """Says whether there is a Python environment."""
        await asyncio.to_thread(_take_modules, draft)
        packages = f"{PYTHON}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        argv = ("sh", "-c", scripts.FINISH, "finish", profile.TARGET, packages)
        step = _Step(argv=argv, environment=environment(self._toolchains), timeout_s=FINISH_S, online=False)
        ended, said = await self._run(draft, step)
        if error := unfinished(ended, said):
            raise error
        if not ended.end.ok:
            raise failed(self._limits, ended, said, proxy.refused)
        if await asyncio.to_thread(watch.overfull, draft, self._settings.setup_disk_bytes):
            full = msgspec.structs.replace(ended, end=msgspec.structs.replace(ended.end, exit_code=None, limit="disk"))
            raise failed(self._limits, full, said, proxy.refused)
        return said.endswith(b"venv\n")

    async def _run(self, draft: Path, step: "_Step") -> tuple[Ended, bytes]:
        said = Said()
        command = Command(argv=step.argv, timeout_s=step.timeout_s, output_limit=2**40)
        ended = await sandbox.run(self._profile(draft, step), command, said.keep)
        return ended, said.last

    def _profile(self, draft: Path, step: "_Step") -> Profile:
        settings, shown = self._settings, self._shown / draft.name
        way_out = Mount(kind="ro", source=str(shown / _WAY_OUT), target=profile.SOCKET)
        return Profile(
            bwrap=self._toolchains.bwrap,
            mounts=(
                *self._toolchains.mounts,
                Mount(kind="rw", source=str(shown / ROOT), target=profile.TARGET),
                Mount(kind="rw", source=str(shown / "home"), target=HOME),
                Mount(kind="rw", source=str(shown / "repo"), target=REPO),
                *((way_out,) if step.online else ()),
            ),
            environment=step.environment,
            limits=Limits(
                processes=settings.processes,
                open_files=settings.open_files,
                file_bytes=settings.setup_disk_bytes,
                memory_bytes=settings.memory_bytes,
                disk_bytes=settings.setup_disk_bytes,
            ),
            charged=draft,
            prefix=self._stage.prefix,
            locked=self._toolchains.locked,
            groups=self._stage.groups,
            mark=self._stage.mark,
        )


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    environment: dict[str, str]
    timeout_s: float
    online: bool


@contextlib.asynccontextmanager
async def _open_way(proxy: Proxy, path: Path, *, online: bool) -> AsyncIterator[None]:
    if not online:
        yield
        return
    try:
        async with listening(proxy, path):
            yield
    finally:
        path.unlink(missing_ok=True)


def _take_modules(draft: Path) -> None:
    """npm installs nowhere but beside package.json. A rename follows no link at its end, and both folders are ours."""
    found, place = draft / "repo" / "node_modules", draft / ROOT / "node_modules"
    try:
        if stat.S_ISDIR(found.lstat().st_mode):
            found.rename(place)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FailedPrecondition(
            "environment", f"the set-up's node_modules cannot be kept: {error.strerror}"
        ) from error
