"""What `moot policy learn` does: reads what became of decisions, and writes the numbers that they speak for."""

import sys
from collections import Counter
from pathlib import Path

import msgspec

from folkmoot.cli import repository
from folkmoot.cli.client import Client
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.commands import platform
from folkmoot.cli.evidence import gathered
from folkmoot.cli.output import emit, say
from folkmoot.cli.words import several
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.jury import POLICY, collect
from folkmoot.kernel.jury.learning import Known, Learned, as_file, learned, named, outcomes
from folkmoot.kernel.jury.policy import shipped_file
from folkmoot.kernel.task import TaskKind

STORIES = 10_000
"""The newest, at most."""
FEW = 30
"""Below so many decisions the file says little more than what ships."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    cases: tuple[Known, ...]
    unread: int
    """Whose evidence is gone, or was never weighed."""

    @property
    def counts(self) -> Counter[bool]:
        return Counter(case.right for case in self.cases)


async def learn(repo: str, output: Path | None, prior: float, *, as_json: bool) -> Code:
    if as_json and output is None:
        raise InvalidInput("--output", "is needed with --json: standard output cannot hold both")
    place = repository.located(repo)
    async with platform() as client:
        heard = await _heard(client, place)
    if not heard.cases:
        hint = "`moot story approve` and `moot story send-back` say which decisions were right"
        raise Stopped(Code.NOT_FOUND, f"of no decision in {place} is it known whether it was right", hint)
    version = named(place, POLICY.version, heard.counts)
    found = learned(POLICY, heard.cases, version, repository=place, prior=prior)
    _write(as_file(shipped_file(POLICY.version), found, _head(place, heard, prior)), output)
    if as_json:
        emit({"policy": found.policy.version, "file": str(output), **_counts(heard), "numbers": found.tallies})
    _say(found, heard, output)
    return Code.DONE


async def _heard(client: Client, place: str) -> Heard:
    cases, unread = list[Known](), 0
    for story in await client.stories.newest(STORIES):
        if story.repository != place:
            continue
        facts = [seen.event.data async for seen in client.stories.history(story.story_id) if seen.event]
        for task, right in outcomes(facts):
            known = await _known(client, task, right=right)
            cases += [known] if known else []
            unread += known is None
    return Heard(cases=tuple(cases), unread=unread)


async def _known(client: Client, task: str, *, right: bool) -> Known | None:
    """None where nothing can be learned of it."""
    try:
        case = await gathered.case(client, task)
    except (NotFound, BrokenChain, FailedPrecondition):
        return None
    state, chosen = case.found.state, case.found.ruling.chosen
    if chosen is None or state.spec.kind is not TaskKind.CHANGE:
        return None
    return Known(evidence=collect(state, case.examinations), chosen=chosen, right=right)


def _head(place: str, heard: Heard, prior: float) -> list[str]:
    right, wrong = heard.counts[True], heard.counts[False]
    return [
        f"Learned from {place}: {several(right, 'decision')} accepted, {wrong} sent back. Each number that ships",
        f"(policy {POLICY.version}) counts as {prior:g} decisions beside them. Whoever sends a result back for another",
        "reason than that it is wrong has counted it as wrong here: read the numbers before you decide by them.",
        "",
    ]


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput("--output", f"{output}: {error.strerror}") from error


def _counts(heard: Heard) -> dict[str, int]:
    return {"accepted": heard.counts[True], "sent_back": heard.counts[False], "unread": heard.unread}


def _say(found: Learned, heard: Heard, output: Path | None) -> None:
    counts = heard.counts
    say(f"Policy {found.policy.version}: {counts[True]} accepted, {counts[False]} sent back, {heard.unread} not read")
    if sum(counts.values()) < FEW:
        say(f"That is little: below {FEW} decisions it says hardly more than what ships")
    name = output or "FILE"
    say(f"Nothing uses it yet. `moot evidence TASK --replay --policy {name}` shows what it would change;")
    say("in a folder that FOLKMOOT_ORCHESTRATOR_POLICIES names, decisions in this repository are made by it")
