"""Places in a script that what the agent is shown fills: candidates have other names for each reader. Pure."""

import re
from collections.abc import Iterable

import msgspec

from folkmoot.rehearsal.script import Call, Turn

_PLACE = re.compile(r"\{(?:candidate with|order of): ([^{}\n]+)\}")

Shown = tuple[tuple[str, str], ...]
"""Name and diff of each candidate, in their order."""


def filled(turn: Turn, shown: Shown) -> Turn:
    """`{candidate with: TEXT}` and `{order of: TEXT}` become the name of the first candidate whose diff has TEXT; where
    none has it, they stay. In arguments of calls, and in `json`."""
    if not turn.calls and turn.json is None:
        return turn
    calls = tuple(Call(tool=call.tool, arguments=_within(call.arguments, shown)) for call in turn.calls)
    answer = None if turn.json is None else {key: _value(value, shown) for key, value in turn.json.items()}
    return msgspec.structs.replace(turn, calls=calls, json=answer)


def _within(arguments: dict[str, object] | str, shown: Shown) -> dict[str, object] | str:
    if isinstance(arguments, str):
        return _text(arguments, shown)
    return {key: _value(value, shown) for key, value in arguments.items()}


def _value(value: object, shown: Shown) -> object:
    if isinstance(value, str):
        return _text(value, shown)
    if isinstance(value, dict):
        return {key: _value(inner, shown) for key, inner in value.items()}
    return [_value(inner, shown) for inner in value] if isinstance(value, list) else value


def _text(text: str, shown: Shown) -> str:
    return _PLACE.sub(lambda place: _name(place[1], shown) or place[0], text)


def _name(wanted: str, shown: Iterable[tuple[str, str]]) -> str:
    return next((name for name, diff in shown if wanted in diff), "")
