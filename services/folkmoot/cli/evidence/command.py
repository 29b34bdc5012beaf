"""What `moot evidence` does: asks for what was observed, and shows it."""

import sys
from collections.abc import Sequence

import msgspec

from folkmoot.cli.client import Evidence
from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.evidence.gathered import bodies
from folkmoot.cli.evidence.matrix import findings, matrix
from folkmoot.cli.output import emit, say
from folkmoot.cli.screen import console
from folkmoot.cli.stories.result import task_of
from folkmoot.kernel import jury
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Examination, SuiteKind

_READ = (SuiteKind.EXHIBIT, SuiteKind.TESTS)
"""What the matrix is made of: tests of base's own are no new ones."""


async def evidence(name: str, *, whole: bool, as_json: bool) -> Code:
    """`whole`: every test of the matrix, however many there are."""
    async with platform() as client:
        task = await task_of(client, name)
        found = await client.evidence(task)
        run = await bodies(client, (e for e in found.examinations if e.kind in _READ)) if found.exhibits else ()
    lines = matrix(heard(found, run)) if found.exhibits else ()
    shown = findings(found.reviews, lines, {(e.name, e.subject) for e in found.examinations})
    if as_json:
        emit({"task_id": task, **msgspec.to_builtins(found), "matrix": lines, "findings": shown})
    elif not (found.examinations or found.admissions or found.refusals or found.papers):
        say(f"Nothing was observed of {task} so far; `moot watch {task}` follows it")
    else:
        from folkmoot.cli.evidence import draw

        console(sys.stdout).print(draw.evidence(found, lines, shown, None if whole else draw.LINES))
    return Code.DONE


def heard(found: Evidence, run: Sequence[Examination]) -> jury.Evidence:
    """What the jury heard, as far as tests go."""
    assert found.spec is not None, "a platform that tells of exhibits tells also what was asked"
    by_subject = {s: tuple(e for e in run if e.subject == s) for s in {e.subject for e in run}}
    return jury.Evidence(
        rigor=found.spec.rigor,
        superseded=found.spec.superseded,
        checks=(),
        tested=True,
        base=by_subject.get(BASE, ()),
        candidates=tuple(
            jury.Candidate(admission=a, examinations=by_subject.get(a.proposal_id, ())) for a in found.admissions
        ),
        exhibits=found.exhibits,
    )
