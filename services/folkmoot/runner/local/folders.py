"""A workspace's folder on the host: its manifest, written whole or not at all, and its removal, whatever lies in it."""

import asyncio
import logging
import secrets
from pathlib import Path

import msgspec

from folkmoot.runner.workspace import Manifest

log = logging.getLogger(__name__)

TRASH = ".trash-"
"""Begins the name of what is being removed."""


def manifest(place: Path) -> Manifest | None:
    try:
        return msgspec.json.decode((place / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def write(place: Path, manifest: Manifest) -> None:
    draft = place / ".manifest"
    draft.write_bytes(msgspec.json.encode(manifest))
    draft.chmod(0o600)
    draft.replace(place / "manifest.json")


async def remove(place: Path) -> None:
    """First out of sight, then away. coreutils follow no links here and mind no depth."""
    if not place.exists():
        return
    trash = place
    if not place.name.startswith(TRASH):
        trash = place.rename(place.with_name(f"{TRASH}{secrets.token_hex(8)}"))
    removal = asyncio.get_running_loop().create_task(_away(trash), name="removal")
    try:
        await asyncio.shield(removal)
    finally:
        await asyncio.wait([removal])  # also when we are called off: nobody else would wait for the process


async def _away(trash: Path) -> None:
    if await _run("rm", "-rf", "--", str(trash)) == 0:
        return
    await _run("chmod", "-R", "u+rwX", "--", str(trash))
    if await _run("rm", "-rf", "--", str(trash)) != 0:
        log.warning("%s cannot be removed", trash, extra={"action": "sweep"})


async def _run(*argv: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()
