"""Texts for models, as data files beside this module. The part that all agents of a task share comes first."""

from collections.abc import Mapping
from importlib import resources

from msgspec import json

from folkmoot.agents.assignment import Assignment
from folkmoot.agents.chat import Message
from folkmoot.agents.quoting import quoted
from folkmoot.agents.roles import persona, role
from folkmoot.agents.shown import DIFF_CHARS
from folkmoot.agents.structured import schema_of
from folkmoot.kernel.analysis import document
from folkmoot.kernel.task import TaskKind
from folkmoot.tools.review import MOST_FINDINGS

_AGENTS = ("system", "role", "task", "paths", "context", "reviewer", "review", "revise", "test", "split")
_ANALYSIS = ("analyst", "analysis", "critic", "comparing", "compare")
_NAMES = (*_AGENTS, *_ANALYSIS, "judging", "judge", "assess", "plan")

_LIMITS = {
    "chars": str(document.MAX_CHARS),
    "claims": str(document.MAX_CLAIMS),
    "commands": str(document.MAX_COMMANDS),
    "schema": json.encode(schema_of(document.Document)).decode(),
}

DIFFS_CHARS = 120_000
"""Of all candidates in one prompt: with many of them, each gets less."""


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.md").read_text("utf-8")


_TEXTS = {name: _text(name) for name in _NAMES}


def opening(assignment: Assignment) -> tuple[Message, ...]:
    """First messages of a run: byte-identical for all agents of a task (and role) up to what the phase shows, and what
    is the agent's own, which comes last."""
    parts = [*_shared(assignment), *_phase(assignment), *_own(assignment)]
    return {"role": "system", "content": _system(assignment)}, {"role": "user", "content": "\n".join(parts)}


def _system(assignment: Assignment) -> str:
    analysis = assignment.kind is TaskKind.ANALYSIS
    if assignment.phase == "review":
        return _TEXTS["analyst" if analysis else "reviewer"]
    return f"{_TEXTS['analyst' if analysis else 'system']}\n{_role(assignment.role)}"


def _phase(assignment: Assignment) -> list[str]:
    """What is asked for beyond the task, or instead of it."""
    analysis = assignment.kind is TaskKind.ANALYSIS
    shown = diffs({c.alias: c.diff for c in assignment.shown}, kind="document" if analysis else "diff")
    facts = {"candidates": shown, "evidence": assignment.evidence or "Nothing yet."}
    match assignment.phase:
        case "propose" if analysis:
            return [filled("analysis", _LIMITS)]
        case "review" if analysis:
            return [filled("critic", facts)]
        case "review":
            rubric = _rubric(assignment.role)
            return [filled("review", facts | {"most": str(MOST_FINDINGS), "rubric": rubric})]
        case "revise":
            return [filled("revise", facts)]
        case "test":
            return [filled("split" if assignment.shown else "test", facts)]
    return []


def diffs(named: Mapping[str, str], *, kind: str = "diff") -> str:
    """Each quoted under its name; how the rehearsal model finds them too."""
    chars = min(DIFF_CHARS, DIFFS_CHARS // max(1, len(named)))
    return "\n\n".join(quoted(kind, diff, name=name, chars=chars) for name, diff in named.items())


def judging(role_name: str, facts: Mapping[str, str], *, documents: bool = False) -> tuple[Message, ...]:
    """What a judge is asked; the rubric comes last: the role's for changes, one of their own for documents."""
    system, text = ("comparing", "compare") if documents else ("judging", "judge")
    question = filled(text, {**facts, "rubric": _rubric(role_name)})
    return {"role": "system", "content": _TEXTS[system]}, {"role": "user", "content": question}


def _role(name: str) -> str:
    found = role(name)
    return filled("role", {"title": found.title, "prompt": found.prompt.lstrip(), "rubric": _rubric(name)})


def _rubric(name: str) -> str:
    return "\n".join(f"- {line}" for line in role(name).rubric)


def _shared(assignment: Assignment) -> list[str]:
    parts = [_task(assignment)]
    if assignment.paths:
        parts.append(filled("paths", {"paths": "\n".join(f"- {path}" for path in assignment.paths)}))
    if assignment.context:
        parts.append(filled("context", {"context": assignment.context}))
    return parts


def _own(assignment: Assignment) -> list[str]:
    angle = persona(assignment.persona).text if assignment.persona else ""
    words = "\n\n".join(text for text in (angle, assignment.instructions.strip()) if text)
    return [f"# You\n\n{words}\n"] if words else []


def _task(assignment: Assignment) -> str:
    facts = {
        "base": assignment.base_commit,
        "suite": assignment.suite.command if assignment.suite else "none were found",
        "protected": ", ".join(assignment.protected) or "nothing",
        "title": assignment.title,
        "text": assignment.text,
        "checks": "\n".join(f"- {check}" for check in assignment.checks) or "none given",
    }
    return filled("task", facts)


def filled(name: str, facts: Mapping[str, str]) -> str:
    """The text `name` with its `{facts}`, filled in once: braces in what is filled in stay as they are."""
    before, *rest = _TEXTS[name].split("{")
    return before + "".join(facts[key] + after for key, _, after in (piece.partition("}") for piece in rest))
