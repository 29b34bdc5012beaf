"""Files that people write by hand, as YAML, JSON or TOML: read strictly, so that errors name the field."""

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from folkmoot.kernel.errors import InvalidInput

if TYPE_CHECKING:
    import yaml

FILE_BYTES = 1024 * 1024
"""Largest file that is read: a story or a plan has a few kilobytes."""

T = TypeVar("T")


def read(name: str) -> object:
    """The document in the file `name`; `-` is standard input. Raises InvalidInput, also when there is none."""
    text = read_text(name)
    if not text.strip():
        raise InvalidInput("FILE", f"{name} is empty")
    if name.lower().endswith(".toml"):
        return _toml(text)
    # Python writes JSON that YAML does not take for granted: tabs, escapes of half characters.
    return _json(text) if text.lstrip().startswith("{") else _yaml(text)


def read_text(name: str) -> str:
    """As it stands in the file. Raises InvalidInput when it cannot be read, is too long or not UTF-8."""
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(FILE_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                raw = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput("FILE", f"{name} cannot be read: {error.strerror}") from error
    if len(raw) > FILE_BYTES:
        raise InvalidInput("FILE", f"{name} has more than {FILE_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("FILE", f"{name} is not UTF-8") from error


def converted(document: object, kind: type[T], field: str = "") -> T:
    """`document` as a `kind`. Raises InvalidInput with the path of what is wrong, below `field`."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        path = f"{field}{place.rstrip('`')}".removeprefix(".")
        raise InvalidInput(path or "FILE", problem) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two values under one key, neither is what the person meant for sure."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(twice, "stands there twice")
    return found


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("FILE", f"is no TOML: {error}") from error


def _json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        return _yaml(text)  # a mapping in braces, without quotes
    except RecursionError as error:
        raise InvalidInput("FILE", "is nested too deeply") from error


def _yaml(text: str) -> object:
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: "yaml.MappingNode", deep: bool = False) -> dict[object, object]:
            _once([(str(key.value), None) for key, _ in node.value])
            found: dict[object, object] = super().construct_mapping(node, deep)
            return found

    try:
        return yaml.load(text, Loader)  # noqa: S506 -- a safe loader, that refuses more
    except (yaml.YAMLError, ValueError) as error:  # a date that is none
        raise InvalidInput("FILE", f"is no YAML: {error}") from error
    except RecursionError as error:
        raise InvalidInput("FILE", "is nested too deeply") from error


def as_yaml(document: object) -> str:
    """For people to edit: keys in their order, texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: "yaml.SafeDumper", value: str) -> "yaml.ScalarNode":
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
