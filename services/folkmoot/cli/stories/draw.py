"""Drawing stories: rich renderables from values. No decisions, no I/O.

Every text that an agent, a model or a person wrote goes through `text.line` or `text.clean`.
"""

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from folkmoot.cli import draw
from folkmoot.cli.steps import Steps
from folkmoot.cli.stories import words
from folkmoot.cli.stories.values import Plan, PlannedTask, Story, Task
from folkmoot.cli.stories.view import StoryView, TaskView
from folkmoot.cli.text import clean, count, line, span
from folkmoot.cli.words import several
from folkmoot.kernel.plan import Assessment

_PHASES = ("submitted", "assessed", "planned", "approved", "released", "decided", "accepted")
_OUTCOMES = {
    "waiting": ("○", "dim"),
    "blocked": ("✗", "yellow"),
    "released": ("◉", "cyan"),
    "decided": ("●", "green"),
    "abstained": ("✗", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "magenta"),
}
_STATES = {
    "decided": "bold green",
    "accepted": "bold green",
    "sent_back": "bold yellow",
    "cancelled": "bold magenta",
    "carried_over": "bold magenta",
    "unreadable": "bold red",
}


# --- while it runs -----------------------------------------------------------------------------------------------


def live(view: StoryView, spinner: Spinner, now: datetime) -> RenderableType:
    """Title, phases, one line per task, and the lanes of those that are being worked on."""
    parts: list[RenderableType] = [_title(view, now), _phases(view)]
    if view.problem:
        parts.append(Text(f"! {line(view.problem, 300)}", style="yellow"))
    for task in view.tasks:
        parts.append(_line(task, spinner, now))
        if task.state == "released" and task.view.lanes:
            parts.append(Padding(draw.lanes(task.view, spinner, now), (0, 0, 0, 4)))
    return Group(*parts, Text(""))


def _title(view: StoryView, now: datetime) -> RenderableType:
    elapsed = span((now - view.submitted_at).total_seconds()) if view.submitted_at else ""
    return _ends(Text(line(view.title) or "…", style="bold"), Text(f"{line(view.story_id)}  {elapsed}", style="dim"))


def _ends(left: Text, right: Text) -> Table:
    """One line with a text at either end."""
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _phases(view: StoryView) -> Text:
    if view.state not in _PHASES:
        return Text(f" ◉ {view.state}", style="bold magenta")
    here = _PHASES.index(view.state)
    out = Text(" ")
    for number, phase in enumerate(_PHASES):
        mark, style = ("●", "green") if number < here else ("◉", "bold cyan") if number == here else ("○", "dim")
        score = f" {view.score}" if phase == "assessed" and view.score else ""
        out.append(f"{mark} {phase}{score}", style).append(" ─ " if number < len(_PHASES) - 1 else "", "dim")
    return out


def _line(task: TaskView, spinner: Spinner, now: datetime) -> Table:
    mark, style = _OUTCOMES.get(task.state, ("?", ""))
    grid = Table.grid(padding=(0, 1), expand=True)
    for _ in range(2):
        grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, justify="right")
    running = task.state == "released"
    said = Text(line(task.title, 100))
    if task.after:
        said.append(f"  after {line(', '.join(task.after), 60)}", "dim")
    if task.reason and task.state not in ("released", "decided"):
        said.append(f"  {line(task.reason, 160)}", style)
    glyph: RenderableType = spinner if running else Text(mark, style=style)
    grid.add_row(glyph, Text(f"{line(task.name, 20):<12}", style="bold"), said, _until(task, now))
    return grid


def _until(task: TaskView, now: datetime) -> Text:
    """What it is at, or ended as, and for how long."""
    started, ended = task.view.requested_at, task.view.seen_at
    word = str(task.view.state) if task.state == "released" else task.state
    if started is None:
        return Text(word, style="dim")
    until = now if task.state == "released" else ended or now
    return Text(f"{word}  {span((until - started).total_seconds())}", style="dim")


# --- as it stands ------------------------------------------------------------------------------------------------


def story(found: Story, tasks: tuple[Task, ...]) -> RenderableType:
    """All of a story that a person wants to know at once, and what to do next."""
    style = _STATES.get(found.state, "bold")
    head = Text(words.standing(found), style="bold red" if found.problem and not found.state.ended else style)
    parts: list[RenderableType] = [
        _ends(Text(line(found.title), style="bold"), Text(found.story_id, style="dim")),
        head,
    ]
    parts += [Text(""), _facts(found), Text(""), Text(clean(found.text.strip()))]
    if found.assessment:
        parts += [Text(""), assessment(found.assessment, found.threshold)]
    if tasks:
        parts += [Text(""), task_table(tasks)]
    return Group(*parts, closing(found, tasks))


def _facts(found: Story) -> Table:
    how = (
        "one task"
        if found.planning == "single"
        else "planned by a model"
        if found.planning == "model"
        else "plan given"
    )
    approved = "approved automatically" if found.autopilot else "a person approves"
    facts = [("repository", found.repository), ("base", found.base_ref), ("rigor", found.rigor)]
    facts += [("plan", f"{how}, {approved}" + (f", round {found.round}" if found.round > 1 else ""))]
    facts += [("check", check) for check in found.checks]
    facts += [("superseded", test) for test in found.superseded]
    facts += [("continues", found.carried_from)] if found.carried_from else []
    facts += [("result", f"{found.result_commit} (task {found.result_task_id})")] if found.result_commit else []
    return _pairs(facts)


def _pairs(facts: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(f"  {name}", style="dim"), Text(line(value, 300)))
    return grid


def assessment(found: Assessment, threshold: int | None) -> RenderableType:
    """The coach's scores, what is missing, and what it asks."""
    enough = found.score >= (threshold or 0)
    head = Text("The coach: ", style="bold").append(f"{found.score}", "bold green" if enough else "bold yellow")
    head.append(f" of at least {threshold}", "dim")
    head.append(f"  clarity {found.clarity}, testability {found.testability}, size {found.size}", "dim")
    parts: list[RenderableType] = [head, Text(f"  {line(found.summary, 600)}")]
    parts += [Text(f"  check that is missing: {line(check, 300)}") for check in found.missing_checks]
    parts += [Text(f"  ? {line(question, 400)}", style="yellow") for question in found.questions]
    parts += [
        Text(f"  ? test of base that it would make wrong: {line(s.test, 200)}: {line(s.why, 200)}", style="yellow")
        for s in found.superseded
    ]
    return Group(*parts)


def task_table(tasks: tuple[Task, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in ("task", "name", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("after", no_wrap=True)
    table.add_column("title", ratio=1)
    for task in tasks:
        word = task.outcome or task.state
        mark, style = _OUTCOMES.get(word, ("?", ""))
        title = Text(line(task.title, 200))
        if task.continues:
            title.append(f"\ngoes on with the candidates of {line(task.continues, 40)}", "dim")
        if task.reason:
            title.append(f"\n{line(task.reason, 300)}", "dim")
        table.add_row(
            Text(line(task.task_id, 40), style="dim"),
            Text(line(task.name, 24), style="bold"),
            Text(f"{mark} {word}", style=style),
            Text(line(", ".join(task.after), 60)),
            title,
        )
    return table


def closing(found: Story, tasks: tuple[Task, ...] = ()) -> RenderableType:
    """What it cost, and what to do next."""
    tokens = found.usage.prompt_tokens + found.usage.completion_tokens
    spent = f"{several(found.usage.model_calls, 'model call')}, {count(tokens)} tokens"
    parts = [Text(""), Text(spent, style="dim")] if found.usage.model_calls else []
    return Group(*parts, Text(""), Text("Next", style="bold"), Steps(words.next_steps(found, tasks)))


def listed(stories: list[Story]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in ("story", "submitted", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("title", ratio=1)
    for found in stories:
        stopped = " !" if found.problem and not found.state.ended else ""
        table.add_row(
            found.story_id,
            Text(found.created_at[:16].replace("T", " "), style="dim"),
            Text(f"{found.state.words}{stopped}", style=_STATES.get(found.state, "")),
            Text(line(found.problem if found.state == "unreadable" else found.title)),
        )
    return table


# --- a plan ------------------------------------------------------------------------------------------------------


def plan(found: Plan, revision: int) -> RenderableType:
    """Every task with all that its agents will be told."""
    parts: list[RenderableType] = [Text(f"Revision {revision}", style="dim")]
    parts += [Text(line(found.summary, 600))] if found.summary else []
    for task in found.tasks:
        parts += [Text(""), *_planned(task)]
    return Group(*parts)


def _planned(task: PlannedTask) -> list[RenderableType]:
    head = Text(line(task.name, 63), style="bold cyan").append(f"  {line(task.title)}", "not cyan bold")
    facts = [("role", f"{task.role or 'DEV'}" + (f", council {task.council}" if task.council else ""))]
    facts += [("after", ", ".join(task.after))] if task.after else []
    facts += [("writes", ", ".join(task.paths))] if task.paths else []
    facts += [("check", check) for check in task.checks]
    return [head, _pairs(facts), Padding(Text(clean(task.text.strip())), (0, 0, 0, 2))]
