"""What `moot evidence --replay` does: decides anew, and compares with what stands in the log."""

import sys
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from folkmoot.cli import documents
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.commands import platform
from folkmoot.cli.evidence import draw, gathered
from folkmoot.cli.evidence.gathered import Case
from folkmoot.cli.output import emit, say
from folkmoot.cli.screen import console
from folkmoot.cli.stories.result import task_of
from folkmoot.cli.text import line
from folkmoot.kernel import replay as kernel
from folkmoot.kernel.facts import CandidatesRanked
from folkmoot.kernel.jury import Policy
from folkmoot.kernel.jury.policy import POLICY, VERSIONS, policy_from
from folkmoot.runtime import settings as configuration


async def replay(name: str, policy: Path | None, export: Path | None, *, as_json: bool) -> Code:
    """Done when the stored decision is reproduced, or another policy was asked for; else an error of ours."""
    given = policy_from(documents.read_text(str(policy)).encode()) if policy else None
    case = _exported(name, export) if export else await _kept(name)
    stored = case.found.ruling
    used = given or _decided_by(case)
    again = kernel.again(case.found, case.examinations, used)
    if as_json:
        _emit(case, again, used, policy)
    else:
        if given and policy:
            console(sys.stdout).print(against(given, policy.name, stored.policy, case.policy))
        _print(stored, again, given)
    return Code.DONE if given or kernel.same(stored, again) else Code.OURS


async def _kept(name: str) -> Case:
    async with platform() as client:
        return await gathered.case(client, await task_of(client, name))


def _exported(name: str, export: Path) -> Case:
    from folkmoot.cli.evidence.exported import from_file

    return from_file(name, export, configuration.load())


def _decided_by(case: Case) -> Policy:
    """Raises Stopped for one that neither the log nor this version has."""
    if case.policy is None:
        known = f"this version has {', '.join(VERSIONS)}; `--policy FILE` takes the one that it was decided by"
        raise Stopped(Code.OURS, f"decided by policy {case.found.ruling.policy!r}, which is not here", known)
    return case.policy


def _emit(case: Case, again: CandidatesRanked, used: Policy, file: Path | None) -> None:
    stored = case.found.ruling
    numbers = _numbers(case.policy, used) if file else ()
    given = {"policy_file": str(file), "policy_differences": numbers} if file else {}
    emit(
        {
            "task_id": case.found.state.task_id,
            "reproduced": kernel.same(stored, again),
            "policy": used.version,
            **given,
            "stored": stored,
            "again": again,
            "differences": kernel.differences(stored, again),
        }
    )


def against(given: Policy, name: str, version: str, decided_by: Policy | None) -> RenderableType:
    """Which policy it is, and which numbers of it are others than those it was decided by. `name`: of its file;
    `version`: of that by which it was decided, whether or not it is here."""
    of = f"{line(name, 80)}, version {line(given.version, 64)}"
    numbers, by = _numbers(decided_by, given), line(version, 64)
    if numbers is None:
        return Text(f"{of}; it was decided by version {by}, which is not here to compare it with")
    if not numbers:
        return Text(f"{of}: the same numbers as in version {by}, by which it was decided")
    lines = [Text(f"{of}, differs from version {by}, by which it was decided:", style="bold")]
    lines += [Text(f"  {line(n.field, 80)}: {n.stored or 'nothing'} -> {n.again or 'nothing'}") for n in numbers]
    if given.version == version:
        lines.append(Text(f"  It is another policy by the name of {by}: give it a version of its own.", style="yellow"))
    return Group(*lines)


def _numbers(decided_by: Policy | None, given: Policy) -> tuple[kernel.Difference, ...] | None:
    """In which `given` differs, its name aside; None where that by which it was decided is not here."""
    if decided_by is None:
        return None
    found = kernel.differences(decided_by, given)
    return tuple(number for number in found if number.field not in ("version", "repository"))


def _print(stored: CandidatesRanked, again: CandidatesRanked, given: Policy | None) -> None:
    out, changed = console(sys.stdout), not kernel.same(stored, again)
    if given and changed:
        out.print(Text("\nWith it this would have been decided:", style="bold"))
        out.print(draw.ruling(again))
        out.print(_changed(stored, again, "stored", "with this policy"))
    elif given:
        out.print(Text("It changes nothing: the stored decision is reproduced."))
    elif changed:
        out.print(Text("the stored decision is NOT reproduced", style="bold red"))
        out.print(_changed(stored, again, "stored", "now"))
        _say_of_older(stored)
    else:
        out.print(Text(f"the stored decision is reproduced (policy {line(stored.policy, 64)})", style="green"))
        out.print(draw.ruling(stored))


def _say_of_older(stored: CandidatesRanked) -> None:
    if stored.policy != POLICY.version:
        say(f"It was decided by policy {stored.policy}, by an older jury: this version weighs evidence in another way.")


def _changed(stored: CandidatesRanked, again: CandidatesRanked, one: str, other: str) -> RenderableType:
    lines: list[RenderableType] = [Text("")]
    for found in kernel.differences(stored, again):
        lines.append(Text(line(found.field, 80), style="bold"))
        lines += [
            Text(f"  {name}: {line(value, 400)}", style=style)
            for name, value, style in ((one, found.stored, "red"), (other, found.again, "green"))
            if value
        ]
    return Group(*lines)
