"""What `moot evidence` does: asks for what was observed, and shows it."""

import sys

import msgspec

from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.evidence.gathered import bodies
from folkmoot.cli.evidence.matrix import findings, matrix
from folkmoot.cli.output import emit, say
from folkmoot.cli.screen import console
from folkmoot.cli.stories.result import task_of
from folkmoot.kernel.evidence import SuiteKind


async def evidence(name: str, *, whole: bool, as_json: bool) -> Code:
    """`whole`: every test of the matrix, however many there are."""
    async with platform() as client:
        task = await task_of(client, name)
        found = await client.evidence(task)
        run = await bodies(client, (e for e in found.examinations if e.kind is SuiteKind.EXHIBIT))
    lines = matrix(found.exhibits, run)
    shown = findings(found.reviews, lines)
    if as_json:
        emit({"task_id": task, **msgspec.to_builtins(found), "matrix": lines, "findings": shown})
    elif not (found.examinations or found.admissions or found.refusals):
        say(f"Nothing was observed of {task} so far; `moot watch {task}` follows it")
    else:
        from folkmoot.cli.evidence import draw

        console(sys.stdout).print(draw.evidence(found, lines, shown, None if whole else draw.LINES))
    return Code.DONE
