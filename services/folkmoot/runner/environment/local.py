"""Environments of this machine: folders that sandboxes are shown read-only."""

import asyncio
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.environment import profile, toolcheck
from folkmoot.runner.environment.ground import Errand, Made
from folkmoot.runner.environment.making import ROOT, Maker
from folkmoot.runner.environment.proxy import Resolve, Resolver
from folkmoot.runner.environment.store import Environments, policy_of
from folkmoot.runner.environment.toolcheck import Toolcheck
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.local.sandbox import Mount, Profile
from folkmoot.runner.local.stage import Stage
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.settings import RunnerSettings


class Machine:
    """A `Ground`: sandboxes of this machine."""

    result = ROOT

    def __init__(self, check: Toolcheck, platform: str, maker: Maker) -> None:
        self._check = check
        self._platform = platform
        self._maker = maker

    async def platform(self, wanted: Wanted) -> str | None:
        if wanted.config.digest:
            raise FailedPrecondition(
                "environment",
                "environment.image names a container image, and workspaces on this machine are no containers: name a "
                "library set (environment.set), or run workspaces in a cluster (FOLKMOOT_RUNNER_BACKEND=kubernetes)",
            )
        await self._check.require(wanted)
        return self._platform if wanted.made else None

    async def make(self, draft: Path, errand: Errand) -> Made:
        return await self._maker.make(draft, errand)


class LocalEnvironments(Environments):
    """`shown` is where sandboxes find its folder."""

    def __init__(
        self,
        folder: Path,
        ground: Machine,
        shown: Path,
        *,
        sources: Sources,
        settings: RunnerSettings,
        group: asyncio.TaskGroup,
    ) -> None:
        policy = policy_of(settings)
        super().__init__(folder, ground, sources=sources, settings=settings, policy=policy, group=group)
        self._shown = shown

    def over(self, plain: Profile, key: str) -> Profile:
        """A kind of sandbox, with the environment of that key in it; the same for none."""
        if not key:
            return plain
        made = self.made(key)
        assert made is not None, f"the environment {key} went while it was in use"
        frozen = Mount(kind="ro", source=str(self._shown / key / ROOT), target=profile.TARGET)
        modules = Mount(kind="link", source=profile.NODE_MODULES, target="/node_modules")
        return msgspec.structs.replace(
            plain,
            mounts=(*plain.mounts, frozen, modules),
            environment=profile.seen(plain.environment, venv=made.venv),
        )


async def environments(
    folder: Path,
    toolchains: Toolchains,
    *,
    shown: Toolchains,
    stage: Stage,
    sources: Sources,
    settings: RunnerSettings,
    group: asyncio.TaskGroup,
    resolve: Resolve | None = None,
) -> LocalEnvironments:
    """`shown` is `toolchains` as sandboxes find it. Raises InvalidInput naming a setting."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    place = (await stage.shown([folder]))[folder]
    ground = Machine(
        Toolcheck(toolcheck.asking(folder, shown, stage), "this machine"),
        toolcheck.platform_of(toolchains),
        Maker(folder, place, stage=stage, toolchains=shown, settings=settings, resolve=resolve or Resolver()),
    )
    made = LocalEnvironments(folder, ground, place, sources=sources, settings=settings, group=group)
    await made.resume()
    return made
