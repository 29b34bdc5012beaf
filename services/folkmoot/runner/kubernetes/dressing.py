"""Environments come to pods: laid by the runner into a volume that commands only ever see read-only."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Unavailable
from folkmoot.runner.environment import profile
from folkmoot.runner.environment.ground import Made
from folkmoot.runner.environment.store import Environments
from folkmoot.runner.kubernetes import job, network, surroundings
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.jobs import Found
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.pod import lay, reach
from folkmoot.runner.kubernetes.pods import Pod
from folkmoot.runner.kubernetes.room import ENVIRONMENT
from folkmoot.runner.kubernetes.stream import Place, Stream, only, streaming
from folkmoot.runner.kubernetes.surroundings import Surroundings
from folkmoot.runner.workspace import Manifest
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import KubernetesSettings
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

_PIECE = 1 << 20
_LAY_S = 600.0
_PARTING_S = 3.0
_GONE = "the environment is no longer there, and is made anew"
_TAR_SHARE = 2
"""A tar may be so many times as large as what it holds takes on the disk, as of many names without content."""


def variables(word: str) -> Mapping[str, str]:
    """Of commands in a pod that has what `word` says."""
    wanted = surroundings.read(word)
    if not wanted.key:
        return ENVIRONMENT
    return profile.seen({**ENVIRONMENT, "PATH": wanted.path}, venv=wanted.venv)


class Dresser:
    def __init__(
        self, api: Api, lookout: Lookout, environments: Environments, *, settings: KubernetesSettings, clock: Clock
    ) -> None:
        self._api = api
        self._lookout = lookout
        self._environments = environments
        self._settings = settings
        self._clock = clock

    async def entered(self, manifest: Manifest, image: str) -> Manifest:
        """`manifest`, with `image` and the environment of its base, which stays until `Environments.left`. Raises as
        `Environments.entered`."""
        key = (await self._environments.entered(manifest)).environment
        made = self._environments.made(key) if key else None
        if key and made is None:
            self._environments.left(manifest.wish.workspace_id)
            raise Unavailable(_GONE)
        return msgspec.structs.replace(manifest, environment=_surroundings(image, key, made).word)

    async def dressed(self, made: Found, word: str) -> bool:
        """Whether the pod of `made` is to have an environment; then it has it, and was seen to be kept off the network
        before it came. Raises Unavailable, and what waiting for a pod raises."""
        wanted = surroundings.read(word)
        if not wanted.key:
            return False
        pod = await self._lookout.running(made.uid, self._settings.ready_s, bare=True)
        place = Place(pod=pod.name, container=job.DRESSER)
        try:
            await network.shut(lambda: self._reached(place, pod), self._clock)
            await self._laid(place, wanted)
        except WorkspaceLost as error:
            raise Unavailable(f"an environment could not be laid into a pod: {error}") from error
        return True

    async def _reached(self, place: Place, pod: Pod) -> list[str]:
        wanted = network.targets(self._api.server, pod.node, ())
        asked = json.dumps({"seconds": network.AT_ONCE_S, "tcp": wanted.tcp, "udp": wanted.udp})
        async with streaming(self._api, place, reach, asked, patience_s=self._settings.request_s) as stream:
            found: list[str] = json.loads(await only(stream))
        return found

    async def _laid(self, place: Place, wanted: Surroundings) -> None:
        packed = self._environments.place(wanted.key)
        made = self._environments.made(wanted.key)
        if made is None or made.digest != wanted.digest or not packed.is_file():
            raise Unavailable(_GONE)
        argv = (profile.TARGET, str(made.bytes), made.digest, str(_TAR_SHARE * wanted.volume_bytes))
        try:
            async with (
                asyncio.timeout(_LAY_S),
                streaming(self._api, place, lay, *argv, patience_s=self._settings.request_s) as stream,
            ):
                laid = await _fed(stream, packed)
        except TimeoutError as error:
            raise Unavailable(f"an environment did not come to a pod within {_LAY_S:g} s") from error
        if not laid:
            log.warning("environment %s: %s", wanted.key, stream.complaint, extra={"action": "setup"})
            if stream.code == lay.SPOILT:
                await self._environments.spoilt(wanted.key)
            raise Unavailable(f"an environment could not be laid into a pod: {stream.complaint}")


def _surroundings(image: str, key: str, made: Made | None) -> Surroundings:
    if made is None:
        return Surroundings(image=image)
    return Surroundings(
        image=image, key=key, digest=made.digest, bytes=made.unpacked_bytes, venv=made.venv, path=made.path
    )


async def _fed(stream: Stream, packed: Path) -> bool:
    """Whether it arrived whole; then nobody can write there any more."""
    loop, laid = asyncio.get_running_loop(), False
    feeder = loop.create_task(_send(stream, packed), name="environment")
    try:
        async with asyncio.timeout(None) as parting:
            async for said in stream.said():
                if said.startswith(b"laid"):
                    laid = True
                    await stream.send(b".")
                    parting.reschedule(loop.time() + _PARTING_S)
    except TimeoutError:
        log.debug("the end of a container is not heard of", extra={"action": "setup"})
    finally:
        feeder.cancel()
        await asyncio.wait([feeder])
    return laid


async def _send(stream: Stream, packed: Path) -> None:
    with contextlib.suppress(WorkspaceLost), packed.open("rb") as file:  # whoever listens hears that it was cut
        while piece := await asyncio.to_thread(file.read, _PIECE):
            await stream.send(piece)
