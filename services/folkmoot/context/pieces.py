"""Rows in words: each piece of a pack stands for one node. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from folkmoot.context.markdown import cut, fenced
from folkmoot.context.request import Request
from folkmoot.context.rows import MAX_FILES, Rows, StoryRows, TaskRows
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Role
from folkmoot.runtime.graph.port import Node

TEXT_CHARS = 6_000
SUMMARY_CHARS = 1_500
REASON_CHARS = 600
MAX_TURNED_DOWN = 2


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    node_id: str
    kind: str
    """`story`, `dependency`, `decision`, `failure` or `reason`."""
    text: str
    """Markdown: a heading of ours, and a fence around what others wrote. Begins and ends with a line break."""


def pieces(rows: Rows, request: Request) -> list[Piece]:
    """In the order in which they are taken in, the most important first."""
    return [piece for group in ORDER[request.role] for piece in group(rows)]


def _piece(kind: str, node: Node, heading: str, *lines: str) -> Piece:
    body = "\n".join(line for line in lines if line)
    return Piece(node_id=node.id, kind=kind, text=f"\n## {heading}\n\n{fenced(body)}")


def _name(node: Node) -> str:
    """The id behind the kind: a token of ours."""
    return f"`{node.id.partition(':')[2]}`"


# --- the story -----------------------------------------------------------------------------------------------------


def _story(rows: Rows) -> Iterator[Piece]:
    """Only where the task's own text does not say it already."""
    if not rows.stories or not _is_part(rows.task, rows.stories[0]):
        return
    story, plan = rows.stories[0].story, rows.stories[0].plan
    said, planned = story.properties, plan.properties if plan else {}
    yield _piece(
        "story",
        story,
        f"The story {_name(story)}, of which this task is a part",
        said.get("title", ""),
        cut(said.get("text", ""), TEXT_CHARS),
        _labelled("Its checks:", said.get("checks", "")),
        _labelled("Its plan:", planned.get("summary", "")),
        _labelled("Its tasks:", planned.get("tasks", "")),
    )


def _is_part(task: Node | None, story: StoryRows) -> bool:
    if story.story.properties.get("how", "single") == "single":
        return False
    text = story.story.properties.get("text", "")
    return task is None or text not in task.properties.get("text", "")


def _labelled(label: str, text: str) -> str:
    return f"\n{label}\n{text}" if text.strip() else ""


_WORDS = {
    "sent_back": "The result of story {} was sent back",
    "plan_rejected": "A plan of story {} was rejected",
    "revised": "Story {} was revised",
    "carried_over": "Story {} was carried over",
    "cancelled": "Story {} was cancelled",
    "accepted": "The result of story {} was accepted",
}


def _told(rows: Rows) -> Iterator[Piece]:
    """Of its own story and of those before it; what the task's text repeats is left out."""
    asked = rows.task.properties.get("text", "") if rows.task else ""
    for story in rows.stories:
        for reason in story.reasons:
            if reason.properties.get("text", "") not in asked or not asked:
                yield _reason(story.story, reason)


def _heard(rows: Rows) -> Iterator[Piece]:
    for story, reason in rows.heard:
        yield _reason(story, reason)


def _reason(story: Node, reason: Node) -> Piece:
    said = reason.properties
    heading = _WORDS.get(said.get("word", ""), "Said of story {}").format(_name(story))
    title = f"Story: {story.properties.get('title', '')}"
    return _piece("reason", reason, heading, title, cut(said.get("text", ""), SUMMARY_CHARS))


# --- tasks ---------------------------------------------------------------------------------------------------------


def _dependencies(rows: Rows) -> Iterator[Piece]:
    for task in rows.dependencies:
        if task.task.properties.get("state"):
            yield _piece("dependency", task.task, f"Task {_name(task.task)}, which this one builds on", *_ended(task))


def _done(rows: Rows) -> Iterator[Piece]:
    for task in _in_state(rows.related, State.DECIDED):
        yield _piece("decision", task.task, f"Task {_name(task.task)} changed the same files", *_ended(task))


def _failed(rows: Rows) -> Iterator[Piece]:
    for task in _in_state(rows.related, State.ABSTAINED, State.FAILED):
        yield _piece("failure", task.task, f"Task {_name(task.task)} tried the same files, in vain", *_ended(task))


def _in_state(tasks: Iterable[TaskRows], *states: State) -> Iterator[TaskRows]:
    return (task for task in tasks if task.task.properties.get("state") in states)


def _ended(rows: TaskRows) -> Iterator[str]:
    task = rows.task.properties
    yield f"Title: {task.get('title', '')}"
    yield f"Outcome: {task.get('state', '')}" + (f", commit {task['commit']}" if task.get("commit") else "")
    yield _labelled("Files that it changed:", "\n".join(_files(rows.files)))
    summary = rows.chosen.properties.get("summary", "") if rows.chosen else ""
    yield _labelled("What its author says:", cut(summary, SUMMARY_CHARS))
    yield _labelled("Why it ended so:", cut(task.get("reasons", ""), SUMMARY_CHARS))
    yield _labelled("Candidates that were turned down:", "\n".join(_turned_down(rows.candidates)))


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    yield from paths[:MAX_FILES]
    if len(paths) > MAX_FILES:
        yield "… and more"


def _turned_down(candidates: Iterable[Node]) -> list[str]:
    reasons = [n.properties.get("reasons") or n.properties.get("refused", "") for n in candidates if not _good(n)]
    return [f"- {cut(reason, REASON_CHARS)}" for reason in reasons if reason][:MAX_TURNED_DOWN]


def _good(candidate: Node) -> bool:
    return candidate.properties.get("acceptable") == "true"


# --- decisions of people -------------------------------------------------------------------------------------------


def _recorded(rows: Rows) -> Iterator[Piece]:
    for decision in rows.recorded:
        said = decision.properties
        yield _piece(
            "decision",
            decision,
            f"On record {_name(decision)}",
            said.get("title", ""),
            _labelled("About:", said.get("paths", "")),
            f"\n{cut(said.get('text', ''), TEXT_CHARS)}",
        )


Group = Callable[[Rows], Iterator[Piece]]
_USUAL: tuple[Group, ...] = (_story, _told, _dependencies, _recorded, _done, _failed, _heard)
ORDER: Mapping[Role, tuple[Group, ...]] = {
    Role.DEV: _USUAL,
    Role.DEVOPS: _USUAL,
    Role.DATA: _USUAL,
    Role.QA: (_story, _told, _dependencies, _recorded, _failed, _done, _heard),
    Role.ARCHITECT: (_story, _told, _recorded, _dependencies, _done, _failed, _heard),
}
"""What is left out when the budget ends stands last."""
