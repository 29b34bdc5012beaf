"""What each command does, once its arguments are known. Returns exit codes; raises kernel errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.output import emit, say
from folkmoot.cli.person import person
from folkmoot.kernel.errors import InvalidInput
from folkmoot.platform.archive import backup as backing
from folkmoot.platform.archive import erase, export, restore, take_in
from folkmoot.platform.archive.reach import mirrors_of, reached
from folkmoot.runtime import settings as configuration
from folkmoot.runtime.clock import SystemClock


async def export_(of: str, output: Path | None, *, as_json: bool) -> Code:
    settings = configuration.load()
    if as_json and output is None:
        raise InvalidInput("--output", "is needed with --json: standard output cannot hold both")
    async with reached(settings) as keeper:
        with _target(output) as out:
            told = await export.export(keeper, of, out)
    if as_json:
        emit({"of": of, "subjects": len(told.subjects), "artifacts": len(told.artifacts), "file": str(output)})
    events = sum(part.events for part in told.subjects)
    say(f"{of}: {events} events and {len(told.artifacts)} artifacts, all verified")
    return Code.DONE


async def import_(file: Path, *, as_json: bool) -> Code:
    settings = configuration.load()
    _require_file(file)
    async with reached(settings, new=True) as keeper:
        done = await take_in.take_in(keeper, file, artifact_bytes=settings.log.artifact_bytes)
    if as_json:
        emit(done)
    say(f"{done.of} is here: {done.events or 'no'} new events, {done.artifacts} artifacts; nobody will act on it")
    return Code.DONE


async def forget(of: str, reason: str, *, as_json: bool) -> Code:
    settings = configuration.load()
    grace_s = settings.retention.artifacts_hours * 3_600
    async with reached(settings) as keeper:
        done = await erase.forget(
            keeper,
            of,
            actor=person(),
            reason=reason,
            clock=SystemClock(),
            mirrored=mirrors_of(settings),
            grace_s=grace_s,
        )
    if as_json:
        emit(done)
    say(f"{of} is forgotten: {done.events} events, {done.artifacts.removed} artifacts, {done.refs} refs of mirrors")
    if done.artifacts.waiting:
        say(f"{done.artifacts.waiting} artifacts wait for `moot up` to remove them: a task that runs may need them")
    if done.parked:
        say(f"{done.parked} parked messages still hold copies of it: see `moot parked list`")
    return Code.DONE


async def backup(file: Path, *, as_json: bool) -> Code:
    settings = configuration.load()
    async with reached(settings) as keeper:
        made = await backing.backup(keeper, settings.data_folder, file, now=SystemClock().now())
    if as_json:
        emit({"file": str(file), "bytes": file.stat().st_size, "made_at": made.made_at})
    say(f"{file}: {file.stat().st_size} bytes, without secrets. Whoever reads it reads every story")
    return Code.DONE


async def restore_(file: Path, data: Path, *, as_json: bool) -> Code:
    _require_file(file)
    settings = msgspec.structs.replace(configuration.load(), data=str(data.absolute()))
    done = await restore.restore(settings, file)
    if as_json:
        emit({"data": settings.data, **msgspec.to_builtins(done)})
    asked = len(done.resumed.asked_again)
    say(f"{data} is as it was on {done.made_at}; {asked or 'no'} tasks go on when it starts")
    say(f"FOLKMOOT_DATA={data} moot up --detach   (set secrets such as FOLKMOOT_MODEL_API_KEY anew)")
    return Code.DONE


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    """A file of one's own that is there only when it is whole, or standard output where that is no terminal.

    Raises Stopped.
    """
    if output is None:
        if sys.stdout.isatty():
            raise Stopped(Code.USAGE, "an export is no text", "`moot export ID > FILE`, or `--output FILE`")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(f".{output.name}.new")
    try:
        fresh.touch(mode=0o600, exist_ok=False)
        with fresh.open("wb") as out:
            yield out
        fresh.rename(output)
    finally:
        fresh.unlink(missing_ok=True)


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise Stopped(Code.USAGE, f"{file} is no file")
