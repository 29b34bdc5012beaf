"""`.moot.toml`, read at the base commit only: no candidate can change how it is judged. Pure."""

import re
import tomllib
from typing import Annotated, Literal

import msgspec
import pathspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import TestSuite
from folkmoot.runner import suites
from folkmoot.runner.environment.config import Environment, complaint
from folkmoot.runner.environment.wanted import Unusable

NAME = ".moot.toml"
MAX_BYTES = 64 * 1024
MAX_FILES = 40
MAX_DIFF_LINES = 2_000
TIMEOUT_S = 600.0

_Command = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=7_200)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_MAX_STARS = 4
"""In one pattern: each one more multiplies what matching a long path may cost."""


class Tests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    __test__ = False

    command: _Command | None = None
    """Instead of what would be detected."""
    report: Literal["junit", "go-json", ""] | None = None
    timeout_s: _Seconds | None = None


class Protect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    paths: Annotated[tuple[_Pattern, ...], msgspec.Meta(max_length=100)] = ()
    """gitignore-style; added to the platform's own."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    files: _Count = MAX_FILES
    """Most files that a candidate may touch."""
    diff_lines: _Count = MAX_DIFF_LINES
    """Most lines that a candidate may add and remove together."""


class RepositoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tests: Tests = Tests()
    environment: Environment = Environment()
    protect: Protect = Protect()
    limits: Limits = Limits()


def parsed(content: bytes) -> RepositoryConfig:
    """Raises InvalidInput naming file and key."""
    config = _converted(_toml(content))
    if found := complaint(config.environment):
        raise _wrong(f"environment.{found[0]}", found[1])
    for key in ("protect.paths", "environment.lock"):
        group, name = key.split(".")
        for i, pattern in enumerate(getattr(getattr(config, group), name)):
            _pattern(f"{key}[{i}]", pattern)
    return config


def suite(tests: Tests, detected: TestSuite | None) -> TestSuite | None:
    """What is configured goes before what is detected; raises InvalidInput for a report without a command."""
    timeout_s = tests.timeout_s or TIMEOUT_S
    if tests.command is not None:
        return suites.configured(tests.command, tests.report, timeout_s)
    if tests.report is not None:
        raise _wrong("tests.report", "says how to read the output of tests.command, which is not there")
    return msgspec.structs.replace(detected, timeout_s=timeout_s) if detected else None


def _toml(content: bytes) -> dict[str, object]:
    if len(content) > MAX_BYTES:
        raise InvalidInput(NAME, f"{len(content)} bytes; at most {MAX_BYTES}")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(NAME, f"is no TOML: {error}") from error


def _converted(values: dict[str, object]) -> RepositoryConfig:
    try:
        return msgspec.convert(values, RepositoryConfig)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from error


def _located(complaint: str) -> InvalidInput:
    """msgspec puts the place behind the complaint; an unknown key is named inside of it."""
    problem, _, place = complaint.partition(" - at `$.")
    keys = [place.removesuffix("`")] if place else []
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem)
    if unknown:
        return _wrong(".".join([*keys, unknown[1]]), "is no key of this file")
    return _wrong(".".join(keys), problem)


def unusable(error: Unusable) -> InvalidInput:
    """Of what `[environment]` names and base has not."""
    return _wrong(f"environment.{error.key}", error.problem)


def _pattern(key: str, pattern: str) -> None:
    if len(re.findall(r"\*+", pattern)) > _MAX_STARS:
        raise _wrong(key, f"{pattern!r} has more than {_MAX_STARS} wildcards")
    try:
        pathspec.GitIgnoreSpec.from_lines([pattern])
    except ValueError as error:
        raise _wrong(key, f"{pattern!r} is no gitignore pattern") from error


def _wrong(key: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{NAME}: {key}" if key else NAME, problem)
