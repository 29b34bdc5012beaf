"""What `moot trace` does: asks for all that the log holds of a task, and reads the time off it."""

import sys

from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.output import emit
from folkmoot.cli.screen import console
from folkmoot.cli.stories.result import task_of
from folkmoot.kernel import trace as kernel


async def trace(name: str, *, as_json: bool) -> Code:
    async with platform() as client:
        found = kernel.trace(await client.trail(await task_of(client, name)))
    if as_json:
        emit(found)
    else:
        from folkmoot.cli.trace import draw

        console(sys.stdout).print(draw.drawn(found))
    return Code.DONE
