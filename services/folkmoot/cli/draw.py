"""Drawing a view: rich renderables from values. No decisions about the deliberation, no I/O.

Every text that an agent, a model or a repository could have written goes through `text.line` or `text.visible`.
"""

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from folkmoot.cli import words
from folkmoot.cli.lane import Lane, LaneState
from folkmoot.cli.lanes import USUAL, Row, View, passed, peers, row
from folkmoot.cli.steps import Steps
from folkmoot.cli.text import count, line, span, visible
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Admission, Refusal
from folkmoot.kernel.facts import Examined
from folkmoot.kernel.result import Ranked, Result, State

DIFF_LINES = 60
"""Of a diff that are shown at the end; `moot diff` shows all."""

_MARKS = {"model": "·", "read": "○", "edit": "◆", "test": "▲", "run": "▸", "commit": "●", "other": "?"}
_COLOURS = {"model": "dim", "read": "cyan", "edit": "yellow", "run": "blue", "commit": "green", "other": "magenta"}
_ENDS = {
    State.DECIDED: "bold green",
    State.ABSTAINED: "bold yellow",
    State.FAILED: "bold red",
    State.CANCELLED: "bold magenta",
}
_LANES = {
    LaneState.WAITING: Text("○", style="dim"),
    LaneState.LOST: Text("↻", style="yellow"),
    LaneState.PROPOSED: Text("●", style="green"),
    LaneState.REFUSED: Text("✗", style="red"),
    LaneState.FAILED: Text("✗", style="red"),
    LaneState.DONE: Text("●", style="cyan"),
}
_DOES = {"review": "reviews", "revise": "revises", "test": "writes tests", "judge": "judges"}


# --- while it runs -----------------------------------------------------------------------------------------------


def live(view: View, spinner: Spinner, now: datetime) -> RenderableType:
    """The whole view: title, phases, one lane per agent."""
    parts: list[RenderableType] = [_title(view, now), _phases(view)]
    if view.lanes:
        parts.append(lanes(view, spinner, now))
    parts += [Text(f"! {line(notice)}", style="yellow") for notice in view.notices[:3]]
    if view.cancelled_by:
        parts.append(Text(f"! {line(view.cancelled_by)} asked to cancel", style="magenta"))
    return Group(*parts, Text(""))


def _title(view: View, now: datetime) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    until = view.seen_at if view.result and view.seen_at else now
    elapsed = span((until - view.requested_at).total_seconds()) if view.requested_at else ""
    grid.add_row(Text(line(view.title) or "…", style="bold"), Text(f"{view.task_id}  {elapsed}", style="dim"))
    return grid


def _phases(view: View) -> Text:
    """Where it stands, as a line of dots; a phase that comes again is where it stands again."""
    course = (*view.course, str(State.RANKED))
    now = len(course) if view.state.terminal else course.index(view.phase)
    out = Text(" ")
    for number, phase in enumerate(course):
        been = number < now or len(USUAL) <= number < len(course) - 1
        mark, style = ("◉", "bold cyan") if number == now else ("●", "green") if been else ("○", "dim")
        out.append(f"{mark} {phase}", style).append(" ─ ", "dim")
    return out.append(f"◉ {view.state}", _ENDS[view.state]) if view.state in _ENDS else out.append("○ decided", "dim")


def lanes(view: View, spinner: Spinner, now: datetime) -> Table:
    """One line per agent, and what was observed of base."""
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=12)
    for _ in range(3):
        table.add_column(no_wrap=True, justify="right")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for lane in (lane for lane in view.lanes if lane.asked):
        table.add_row(*_lane(lane, view, spinner, now))
    base = row(view, BASE)
    if base.suites or base.checks or base.exhibits:
        table.add_row("", Text("base", style="dim"), "", "", "", "", examined(base))
    return table


def _lane(lane: Lane, view: View, spinner: Spinner, now: datetime) -> list[RenderableType]:
    glyph: RenderableType = spinner if lane.state is LaneState.WORKING else _LANES[lane.state]
    elapsed = span(((lane.ended_at or now) - lane.started_at).total_seconds()) if lane.started_at else ""
    return [
        glyph,
        Text(line(lane.agent_id, 20), style="bold").append(f" {line(lane.persona, 12)}", "not bold dim"),
        _trail(lane),
        Text(f"{lane.steps} step{'s' if lane.steps > 1 else ''}" if lane.steps else "", style="dim"),
        Text(f"{count(lane.tokens)} tok" if lane.tokens else "", style="dim"),
        Text(elapsed, style="dim"),
        _activity(lane, view),
    ]


def _trail(lane: Lane) -> Text:
    out = Text()
    for mark in lane.trail:
        style = ("green" if mark.ok else "red") if mark.kind == "test" else _COLOURS[mark.kind]
        out.append(_MARKS[mark.kind], style if mark.ok else "red")
    return out


def _activity(lane: Lane, view: View) -> Text:
    match lane.state:
        case LaneState.WORKING:
            out = Text(": ".join(filter(None, (_DOES.get(lane.phase, ""), line(lane.doing, 80)))))
            return out if lane.tests is None else _tick(out.append("  own tests "), lane.tests)
        case LaneState.PROPOSED:
            out = examined(row(view, lane.proposal_id))
            out.append(f"{'  ' if out else ''}{lane.change}", "dim")
            return out.append(f"  {line(lane.note, 80)}", "yellow") if lane.note else out
        case LaneState.WAITING:
            return Text("waits", style="dim")
        case LaneState.DONE:
            return Text(line(lane.note, 160), style="dim")
        case _:
            return Text(
                f"{lane.state}: {line(lane.note, 160)}", style="yellow" if lane.state is LaneState.LOST else "red"
            )


def examined(found: Row) -> Text:
    """Tests and checks of one subject as ticks; empty while nothing is known."""
    out = Text()
    if found.suites:
        _tick(out.append("tests "), all(passed(s) for s in found.suites))
    if found.checks:
        out.append("  checks " if found.suites else "checks ")
        for check in found.checks:
            _tick(out, passed(check))
    if found.exhibits:
        good, run = peers(found)
        out.append(f"{'  ' if out else ''}others' tests ").append(f"{good}/{run}", "green" if good == run else "red")
    return out


def _tick(out: Text, ok: bool) -> Text:
    return out.append("✓" if ok else "✗", "green" if ok else "red")


# --- when it has ended -------------------------------------------------------------------------------------------


def decision(result: Result) -> RenderableType:
    """The verdict, the ranking and the reasons."""
    parts: list[RenderableType] = [Text(words.verdict(result), style=_ENDS.get(result.state, "bold"))]
    if result.ranking:
        parts += [Text(""), ranking(result)]
    if result.reasons:
        parts += [Text(""), Text("Why", style="bold")]
        parts += [Text(f"  - {line(reason, 600)}") for reason in result.reasons if reason not in result.settle]
    if result.settle:
        parts += [Text(""), Text("What would settle it", style="bold")]
        parts += [Text(f"  ? {line(words, 600)}", style="yellow") for words in result.settle]
    return Group(*parts)


def ranking(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("candidate", no_wrap=True)
    table.add_column("acceptable", no_wrap=True)
    if heard := any("opinions_for" in ranked.scores for ranked in result.ranking):
        table.add_column("what others say", no_wrap=True)
    table.add_column("reasons", ratio=1)
    for ranked in result.ranking:
        won = result.winner is not None and ranked.proposal_id == result.winner.proposal_id
        table.add_row(
            str(ranked.rank),
            Text(f"{'★ ' if won else '  '}{line(ranked.proposal_id, 40)}", style="bold green" if won else ""),
            _acceptable(ranked),
            *([_opinions(ranked)] if heard else []),
            Text("\n".join(line(reason, 400) for reason in ranked.reasons)),
        )
    return table


def _acceptable(ranked: Ranked) -> Text:
    return Text("yes", style="green") if ranked.acceptable else Text("no", style="red")


def _opinions(ranked: Ranked) -> Text:
    """Of other authors, test writers and judges; the worst duel is what ranks it."""
    said = ranked.scores
    if "opinions_for" not in said:
        return Text("-", style="dim")
    good, bad = int(said["opinions_for"]), int(said["opinions_against"])
    out = Text(f"{good} for", style="green" if good else "dim").append(", ", "not bold dim")
    out.append(f"{bad} against", "red" if bad else "dim")
    return out.append(f"\nworst duel {said['duels']:+.2f}", "dim")


def change(diff: str, limit: int | None = DIFF_LINES) -> RenderableType:
    """A unified diff in colour; its first `limit` lines, and how many there are more."""
    lines = visible(diff).splitlines()
    shown = lines if limit is None else lines[:limit]
    body = Syntax("\n".join(shown), "diff", theme="ansi_dark", background_color="default", word_wrap=True)
    left = len(lines) - len(shown)
    return Group(body, Text(f"… {left} more lines", style="dim")) if left else body


def headed(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(""), Rule(Text(line(title), style="bold"), align="left", style="dim"), body)


def trailers(lines: list[str]) -> RenderableType:
    return Group(*(Text(f"  {line(text)}", style="dim") for text in lines))


def closing(result: Result) -> RenderableType:
    """What it cost, and what to do next."""
    steps = Steps(words.next_steps(result))
    return Group(Text(""), Text(words.spent(result), style="dim"), Text(""), Text("Next", style="bold"), steps)


# --- evidence ----------------------------------------------------------------------------------------------------


def matrix(rows: tuple[Row, ...], admissions: tuple[Admission, ...], refusals: tuple[Refusal, ...]) -> RenderableType:
    """Base and candidates against tests, checks and the border's findings."""
    checks = list(dict.fromkeys(c.name for r in rows for c in r.checks))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in ("", "tests", *(f"check {n}" for n in range(1, len(checks) + 1)), "integrity"):
        table.add_column(column)
    border: dict[str, Text] = {a.proposal_id: _integrity(a) for a in admissions}
    known = {r.subject: r for r in rows}
    for subject in (BASE, *border):
        table.add_row(*_evidence_row(known.get(subject, Row(subject=subject)), checks, border.get(subject, Text(""))))
    for refusal in refusals:
        reason = Text(f"refused: {line(refusal.reason, 300)}", style="red")
        table.add_row(Text(line(refusal.proposal_id, 40)), "", *("" for _ in checks), reason)
    return Group(table, *(Text(f"check {n}: {line(c, 300)}", style="dim") for n, c in enumerate(checks, 1)))


def _evidence_row(found: Row, checks: list[str], border: Text) -> list[RenderableType]:
    by_name = {c.name: c for c in found.checks}
    cells = [_outcome(by_name[name]) if name in by_name else Text("-", style="dim") for name in checks]
    tests = _suites(found) if found.suites else Text("-", style="dim")
    return [Text(line(found.subject, 40)), tests, *cells, border]


def _suites(found: Row) -> Text:
    """Runs that went alike are said once."""
    said = {words.outcome(s): _outcome(s) for s in found.suites}
    return Text("\n").join(said.values())


def _outcome(fact: Examined) -> Text:
    good = passed(fact)
    return Text(f"{'✓' if good else '✗'} {line(words.outcome(fact), 120)}", style="green" if good else "red")


def _integrity(admission: Admission) -> Text:
    out = Text("admitted", style="green") if not admission.tampered else Text("")
    for found in admission.tampered:
        out.append(f"tampered: {line(found.path, 80)}: {line(found.how, 200)}\n", "red")
    for flag in admission.flags:
        out.append(f"\n{line(flag, 200)}", "yellow")
    out.rstrip()
    return out
