"""Texts for models, as data files beside this module. The part that all agents of a task share comes first."""

from importlib import resources

from folkmoot.agents.assignment import Assignment
from folkmoot.agents.chat import Message
from folkmoot.agents.roles import persona

_NAMES = ("system", "task")


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.md").read_text("utf-8")


_TEXTS = {name: _text(name) for name in _NAMES}


def opening(assignment: Assignment) -> tuple[Message, ...]:
    """First messages of a run: byte-identical for all agents of a task up to the persona, which comes last."""
    last = f"# You\n\n{persona(assignment.persona).text}"
    return (
        {"role": "system", "content": _TEXTS["system"]},
        {"role": "user", "content": f"{_task(assignment)}\n{last}\n"},
    )


def _task(assignment: Assignment) -> str:
    facts = {
        "base": assignment.base_commit,
        "suite": assignment.suite.command if assignment.suite else "none were found",
        "protected": ", ".join(assignment.protected) or "nothing",
        "title": assignment.title,
        "text": assignment.text,
        "checks": "\n".join(f"- {check}" for check in assignment.checks) or "none given",
    }
    text = _TEXTS["task"]
    before, *rest = text.split("{")
    return before + "".join(facts[name] + after for name, _, after in (piece.partition("}") for piece in rest))
