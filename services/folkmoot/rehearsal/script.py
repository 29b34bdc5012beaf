"""The script that the rehearsal model plays. People write it by hand, so errors name their field. No server here."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Literal, TypeVar, get_args

import msgspec
import yaml

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import AgentId

Phase = Literal["assess", "plan", "propose", "review", "revise", "judge", "test"]
PHASES: tuple[str, ...] = get_args(Phase)
"""What `X-Folkmoot-Phase` may say."""


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tool call; the tool need not exist."""

    tool: str
    arguments: dict[str, object] | str = {}
    """A string is sent as it stands, so that it can be malformed."""


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer of the model."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    json: dict[str, object] | None = None
    """Sent as the answer's text: what `assess`, `plan` and `judge` ask for."""
    raw: str | None = None
    """The whole body of the HTTP answer, as it stands."""
    html: bool = False
    """Answers a web page with status 200, as a misplaced proxy does."""
    finish_reason: str = ""
    """Overrides `stop` and `tool_calls`; `length` says that the answer was cut off."""
    status: int | None = None
    """Answers this HTTP status instead."""
    times: int | None = None
    """How often `status` is answered before the rest of the turn is played; absent: always."""
    hang: bool = False
    """Never answers, until the client goes."""
    drop: bool = False
    """Closes the connection in the middle of the answer."""
    delay_s: float = 0.0
    """Seconds, on top of the script's latency."""

    def __post_init__(self) -> None:
        problem = _turn_problem(self)
        if problem:
            raise ValueError(problem)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    behaviours: Mapping[str, Mapping[str, tuple[Turn, ...]]]
    """Turns by name of the behaviour and phase."""
    agents: Mapping[str, str]
    """Behaviour by pattern of agent ids (`*`, `?`, `[...]`); the first that matches plays."""
    latency_s: float = 0.0
    """Seconds before every answer."""
    everyone: Mapping[str, tuple[Turn, ...]] = {}
    """Turns by phase, for behaviours that have none of their own there."""

    def turns(self, behaviour: str, phase: str) -> tuple[Turn, ...]:
        """What is played in that phase, in its order."""
        return self.behaviours[behaviour].get(phase, self.everyone.get(phase, ()))

    def behaviour(self, agent: str) -> str | None:
        """The behaviour that `agent` plays; None when no pattern matches."""
        return next((name for pattern, name in self.agents.items() if fnmatchcase(agent, pattern)), None)


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    behaviours: dict[str, dict[str, list[object]]]
    agents: dict[str, str]
    latency_s: float = 0.0
    everyone: dict[str, list[object]] = {}


def parse(text: str) -> Script:
    """Raises InvalidInput naming the field, as `behaviours.right.propose[2].status`."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none
        raise InvalidInput("script", f"is no YAML: {error}") from error
    head = _convert(document, _Head, "script")
    behaviours = {name: dict(_phases(f"behaviours.{name}", phases)) for name, phases in head.behaviours.items()}
    everyone = dict(_phases("everyone", head.everyone))
    return _checked(Script(behaviours=behaviours, agents=head.agents, latency_s=head.latency_s, everyone=everyone))


def load(path: Path) -> Script:
    """Raises InvalidInput when the file cannot be read or is wrong."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("script", f"{path} cannot be read: {error}") from error
    return parse(text)


def bundled(name: str = "demo") -> Script:
    """A script that comes with Folkmoot. Raises InvalidInput when there is none of that name."""
    folder = resources.files("folkmoot.rehearsal") / "scripts"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))
        raise InvalidInput("script", f"no script named {name!r} comes with Folkmoot; there are {known}")
    return parse(file.read_text("utf-8"))


def compose(behaviours: Mapping[AgentId, str], book: Script | None = None) -> Script:
    """`book` (the demo's, unless given) with the parts given out anew: who plays which behaviour. Kinds of agents that
    the book has parts for, as `tester-*`, keep them behind that; a mere `*` does not.

    Raises InvalidInput for a behaviour that the book does not have.
    """
    book = bundled() if book is None else book
    kinds = {p: name for p, name in book.agents.items() if "*" in p and p not in {"*", *behaviours}}
    return _checked(msgspec.structs.replace(book, agents={**behaviours, **kinds}))


def dump(script: Script) -> str:
    """YAML that `parse` reads back to an equal script."""
    behaviours = {name: _plain(phases) for name, phases in script.behaviours.items()}
    document = {"latency_s": script.latency_s, "agents": dict(script.agents), "behaviours": behaviours}
    document |= {"everyone": _plain(script.everyone)} if script.everyone else {}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _plain(phases: Mapping[str, tuple[Turn, ...]]) -> dict[str, list[dict[str, object]]]:
    return {phase: [_without_defaults(t) for t in turns] for phase, turns in phases.items()}


_T = TypeVar("_T")


def _convert(value: object, kind: type[_T], field: str) -> _T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise InvalidInput(field + place.rstrip("`"), problem) from error


def _phases(place: str, phases: dict[str, list[object]]) -> Iterator[tuple[str, tuple[Turn, ...]]]:
    for phase, turns in phases.items():
        field = f"{place}.{phase}"
        if phase not in PHASES:
            raise InvalidInput(field, f"is no phase; one of {', '.join(PHASES)}")
        yield phase, tuple(_convert(turn, Turn, f"{field}[{i}]") for i, turn in enumerate(turns))


def _checked(script: Script) -> Script:
    for pattern, name in script.agents.items():
        if name not in script.behaviours:
            known = ", ".join(sorted(script.behaviours)) or "none"
            raise InvalidInput(f"agents.{pattern}", f"{name!r} is no behaviour of this script; it has {known}")
    if script.latency_s < 0:
        raise InvalidInput("latency_s", f"{script.latency_s}; at least 0")
    return script


def _turn_problem(turn: Turn) -> str:
    """Why the turn cannot be played, in words; empty when it can."""
    answers = [turn.json is not None, turn.raw is not None, turn.html, turn.hang, turn.text is not None or turn.calls]
    if sum(map(bool, answers)) > 1:
        return "`text` with `calls`, `json`, `raw`, `html` and `hang` exclude each other"
    if not any(answers) and turn.status is None and not turn.drop:
        return "answers nothing: give `text`, `calls`, `json`, `raw`, `html`, `status`, `hang` or `drop`"
    if turn.status is not None and not 400 <= turn.status <= 599:
        return f"`status` {turn.status}; from 400 to 599"
    if turn.times is not None and (turn.status is None or turn.times < 1 or not (any(answers) or turn.drop)):
        return "`times` is at least 1, and stands beside `status` and the answer that follows"
    return "`delay_s` is at least 0" if turn.delay_s < 0 else ""


def _without_defaults(turn: Turn) -> dict[str, object]:
    fields = msgspec.to_builtins(turn)
    return {f.name: fields[f.name] for f in msgspec.structs.fields(turn) if getattr(turn, f.name) != f.default}
