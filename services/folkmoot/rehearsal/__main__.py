"""`python -m folkmoot.rehearsal`: plays one script until it is told to end, or its parent or its command is gone."""

import argparse
import asyncio
import shutil
import signal
import sys
from pathlib import Path

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import AgentId
from folkmoot.rehearsal import script as scripts
from folkmoot.rehearsal.server import serving
from folkmoot.runtime.process import EXIT_MISCONFIGURED, Announcement, end_with_parent


def main() -> int:
    """The command's exit code; without one, 0 when told to end, or when the parent ends. 78: it cannot start."""
    options = _arguments().parse_args()
    end_with_parent()
    try:
        script = _script(options.script, options.cast)
        return asyncio.run(_play(script, options.listen, _runnable(options.command)))
    except InvalidInput as error:
        sys.stderr.write(f"rehearsal: {error}\n")
        return EXIT_MISCONFIGURED


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m folkmoot.rehearsal", description=__doc__)
    parser.add_argument("--script", required=True, metavar="FILE", help="a script, or `demo` for the bundled one")
    parser.add_argument("--cast", action="append", default=[], metavar="AGENT=BEHAVIOUR", help="give parts out anew")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0: any free one")
    parser.add_argument(
        "command", nargs="*", help="after `--`: run it, `{url}` replaced by the server's, and end with it"
    )
    return parser


def _script(name: str, cast: list[str]) -> scripts.Script:
    path = Path(name)
    book = scripts.load(path) if path.suffix or path.is_file() else scripts.bundled(name)
    return scripts.compose(dict(map(_part, cast)), book) if cast else book


def _runnable(command: list[str]) -> list[str]:
    if command and shutil.which(command[0]) is None:
        raise InvalidInput("command", f"{command[0]} is no program that can be run")
    return command


def _part(text: str) -> tuple[AgentId, str]:
    agent, equals, behaviour = text.partition("=")
    if not equals:
        raise InvalidInput("cast", f"{text!r} is not AGENT=BEHAVIOUR")
    return AgentId(agent), behaviour


async def _play(script: scripts.Script, listen: str, command: list[str]) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with serving(script, listen) as address:
        url = f"http://{address}/v1"
        if command:
            return await _accompany([word.replace("{url}", url) for word in command], ended)
        Announcement("rehearsal").ready(address, url=url)
        await ended.wait()
        return 0


async def _accompany(command: list[str], ended: asyncio.Event) -> int:
    """The exit code of `command`, which is told to end when we are."""
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(_end(process, ended), name="rehearsal-command")
        code = await process.wait()
        ending.cancel()
    return code if code >= 0 else 128 - code


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Event) -> None:
    await ended.wait()
    process.terminate()


if __name__ == "__main__":
    sys.exit(main())
