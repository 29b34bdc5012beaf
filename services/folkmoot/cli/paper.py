"""A document of an analysis, drawn for people: values to renderables. All its text is an agent's."""

from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from folkmoot.cli import draw, words
from folkmoot.cli.text import clean, line
from folkmoot.kernel.analysis.document import Claim, Document, Finding, Paper
from folkmoot.kernel.facts import Reviewed

_NAMES = {"plan": "A plan", "review": "A review", "root_cause": "A root cause", "patch": "A suggested patch"}
_MARKS = {Finding.HOLDS: ("✓", "green"), Finding.FALSE: ("✗", "red"), Finding.UNCHECKED: ("?", "yellow")}


def written(body: bytes) -> RenderableType:
    """The whole of it. Raises msgspec.MsgspecError when it is none."""
    document = msgspec.json.decode(body, type=Document)
    parts: list[RenderableType] = [Text(_NAMES[document.kind], style="bold"), Text(clean(document.summary))]
    if document.steps:
        parts += [Text(""), Text("Steps", style="bold")]
        parts += [Padding(Text(f"{n}. {clean(step)}"), (0, 0, 0, 2)) for n, step in enumerate(document.steps, 1)]
    if document.claims:
        parts += [Text(""), Text("What it says of the code", style="bold"), *_claims(document.claims)]
    if document.patch:
        parts += [Text(""), Text("Suggested patch", style="bold"), draw.change(document.patch, limit=None)]
    return Group(*parts)


def _claims(claims: Sequence[Claim]) -> Iterator[RenderableType]:
    for number, claim in enumerate(claims, 1):
        yield Padding(Text(f"{number}. {clean(claim.text)}"), (0, 0, 0, 2))
        for said in _shown_by(claim):
            yield Padding(Text(said, style="dim"), (0, 0, 0, 5))


def _shown_by(claim: Claim) -> Iterator[str]:
    if claim.path:
        lines = f":{claim.start_line}" if claim.start_line else ""
        yield line(claim.path, 400) + lines + (f"-{claim.end_line}" if claim.end_line > claim.start_line else "")
    if claim.quote:
        yield clean(claim.quote)
    if claim.command:
        yield f"$ {line(claim.command, 400)}"
    if claim.output:
        yield clean(claim.output)


def criticism(review: Reviewed) -> RenderableType:
    """Of one author, with the names that others' documents had for him."""
    return Text(f"  - {line(review.work.agent_id, 40)}: ", style="bold").append(line(review.summary, 2_000), "not bold")


def found(paper: Paper) -> RenderableType:
    """What the platform found of its claims."""
    head = Text(line(paper.proposal_id, 40), style="bold").append(f" {paper.kind}, {words.claims(paper)}", "not bold")
    lines: list[RenderableType] = [head]
    for number, claim in enumerate(paper.checked, 1):
        mark, style = _MARKS[claim.finding]
        lines.append(Text(f"  {mark} claim {number}", style=style).append(f"  {line(claim.problem, 300)}", "default"))
    return Group(*lines)
