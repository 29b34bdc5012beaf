"""A story in one file: a tar that says of itself what it holds. The same log gives the same bytes."""

import io
import tarfile
from typing import BinaryIO

from folkmoot.kernel.errors import BrokenChain
from folkmoot.platform.archive import manifest
from folkmoot.platform.archive.manifest import Manifest
from folkmoot.platform.archive.record import artifacts_of, collected
from folkmoot.runtime.log.keeper import Keeper


async def export(keeper: Keeper, of: str, out: BinaryIO) -> Manifest:
    """Write the story or task `of`, which must have ended; everything is verified on its way.

    Raises NotFound (also when an artifact is gone), FailedPrecondition("running"), BrokenChain, InvalidInput.
    """
    artifacts = keeper.bus.artifacts
    found = await collected(keeper, of)
    told = manifest.described(found, await artifacts_of(found, artifacts))
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, manifest.NAME, manifest.encoded(told))
        for part, subject in zip(told.subjects, found.subjects, strict=True):
            _add(tar, part.member, manifest.lines(subject.bodies))
        for ref in told.artifacts:
            body = await artifacts.get(ref)
            if len(body) != ref.size:
                raise BrokenChain(f"artifact {ref.sha256} has {len(body)} bytes; an event says {ref.size}")
            _add(tar, f"artifacts/{ref.sha256}", body)
    return told


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    """Nothing of the machine, the person or the moment goes in."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(body), 0o644
    tar.addfile(member, io.BytesIO(body))
