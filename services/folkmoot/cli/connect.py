"""Which platform a command talks to: the one that the settings name, else the one that is up on this data folder."""

import msgspec

from folkmoot.cli.codes import Code, Stopped
from folkmoot.kernel.task import ModelChoice
from folkmoot.platform import place
from folkmoot.platform.place import PlatformInfo
from folkmoot.runtime.settings import Settings


class Target(msgspec.Struct, frozen=True, kw_only=True):
    planning: str
    orchestrator: str
    """Addresses as host:port."""
    token: str
    runner: str = ""
    """Empty where nobody said."""
    model: ModelChoice | None = None
    """What the platform has configured; None when we cannot know."""


def configured(settings: Settings) -> Target | None:
    """The platform at FOLKMOOT_GRPC_ORCHESTRATOR and FOLKMOOT_GRPC_PLANNING, if they are set."""
    grpc = settings.grpc
    if not grpc.orchestrator:
        return None
    return Target(
        planning=grpc.planning or grpc.orchestrator,
        orchestrator=grpc.orchestrator,
        token=grpc.token,
        runner=grpc.runner,
    )


def running(settings: Settings) -> Target | None:
    """The platform to use, if there is one."""
    if target := configured(settings):
        return target
    info = place.find(settings)
    return target_of(info) if info else None


def target_of(info: PlatformInfo) -> Target:
    model = ModelChoice(url=info.model_url, name=info.model_name)
    return Target(
        planning=info.planning, orchestrator=info.orchestrator, token=info.token, runner=info.runner, model=model
    )


def required(settings: Settings) -> Target:
    """Raises Stopped when no platform is up."""
    target = running(settings)
    if target is None:
        raise Stopped(
            Code.OURS,
            f"no platform is up on {settings.data}",
            "`moot up --detach` starts it again with everything that its log holds",
        )
    return target
