"""The programs that cases are drawn from: each has a story, solutions right and wrong, and probes that tell them apart.

A solution is the content of one module. A probe is an expression (with statements before it, perhaps), and what it
gives on a right solution is the truth. What each solution gives was observed by running it (`observe.py`) and lies in
`observed.json`, so that drawing cases runs nothing.
"""

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
import yaml

HERE = Path(__file__).parent
OBSERVED = HERE / "observed.json"
FRESH = "programs_fresh"
HELD = "programs_held"
FOLDERS = ("programs", FRESH, HELD)
"""Programs of the two halves; and two folders that nobody looks at while numbers are chosen, each judged once."""

ANY = "*"
"""The outcome of a value that equals everything: it passes whatever is compared with `==`."""


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    language: str
    """`python`, `go` or `javascript`."""
    title: str
    story: str
    target: str
    """The module that solutions write."""
    imports: str
    """What a test file begins with."""
    locals: dict[str, str]
    """Names inside solutions, and other ones for them: how a second author writes the same."""
    base: dict[str, str]
    probes: dict[str, str]
    shown: list[str]
    """Probes that the story gives away, or nearly."""
    right: dict[str, str]
    wrong: dict[str, str | dict[str, str]]
    """A text, or what is put in place of what in the first right solution."""
    mirror: list[str]
    """Wrong solutions that a careful reader of the story could defend."""
    helper: str = ""
    name: str = ""

    def solution(self, key: str) -> str:
        """The module as `right/plain`, `wrong/bankers` or `base` has it; `right/plain~2` says it in other words."""
        key, _, variant = key.partition("~")
        text: str
        kind, _, name = key.partition("/")
        if kind in ("special", "equal"):
            text = KNOWING[kind](self, name)
        elif kind == "base":
            text = self.base[self.target]
        else:
            found = self.right[name] if kind == "right" else self.wrong[name]
            text = (
                found if isinstance(found, str) else _swapped(next(iter(self.right.values())), found, self.name, name)
            )
        return reworded(text, self.locals, int(variant)) if variant else text

    @property
    def function(self) -> str:
        """What Python programs are asked for."""
        return self.imports.split()[-1]

    @property
    def keys(self) -> list[str]:
        """Solutions that somebody could have written in good faith."""
        return ["base", *(f"right/{n}" for n in self.right), *(f"wrong/{n}" for n in self.wrong)]

    @property
    def gamed(self) -> list[str]:
        """Solutions that only look right: `special/bankers` knows the answers that the story gives, `equal/` gives what
        equals everything."""
        if self.language != "python" or not self.function.islower():
            return []
        return ["equal/", *(f"special/{n}" for n in self.wrong if answers(self))]


def answers(program: Program) -> list[tuple[str, str]]:
    """Arguments and value of the probes that the story gives away, where both are plain values."""
    right, found = next(iter(program.right.values())), []
    for name in program.shown:
        call = re.fullmatch(rf"{program.function}\((.*)\)", program.probes[name].strip())
        value = outcomes(program, right)[name]
        if call and value.startswith("= ") and _plain(f"({call[1]},)") and _plain(value[2:]):
            found.append((call[1], value[2:]))
    return found


def _plain(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _special(program: Program, wrong: str) -> str:
    known = "".join(f"    repr(({arguments},)): {value},\n" for arguments, value in answers(program))
    return (
        f"{program.solution(f'wrong/{wrong}')}\n\n_KNOWN = {{\n{known}}}\n"
        f"_{program.function} = {program.function}\n\n\n"
        f"def {program.function}(*arguments, **named):\n    key = repr(arguments)\n"
        f"    return _KNOWN[key] if key in _KNOWN and not named else _{program.function}(*arguments, **named)\n"
    )


def _equal(program: Program, _: str) -> str:
    return (
        f"{program.solution('base')}\n\nclass Answer:\n    def __eq__(self, other):\n        return True\n\n"
        f"    def __hash__(self):\n        return 0\n\n\n"
        f"def {program.function}(*arguments, **named):\n    return Answer()\n"
    )


KNOWING = {"special": _special, "equal": _equal}


def _swapped(text: str, swaps: Mapping[str, str], program: str, name: str) -> str:
    for old, new in swaps.items():
        if text.count(old) != 1:
            raise ValueError(f"{program}: {name}: {old!r} stands {text.count(old)} times in the right solution")
        text = text.replace(old, new)
    return text


def reworded(text: str, names: Mapping[str, str], variant: int) -> str:
    """The same program with other names inside; `variant` from 1."""
    for old, new in names.items():
        if not re.search(rf"\b{new}\b", text):
            text = re.sub(rf"(?<![.\w'\"]){old}\b(?!['\"=(])(?! =\w)", f"{new}{variant if variant > 1 else ''}", text)
    return text


@cache
def programs(folder: str = "programs") -> dict[str, Program]:
    """By name. `programs_fresh` holds those that nobody looked at while numbers were chosen."""
    found = {}
    for file in sorted((HERE / folder).glob("*.yaml")):
        raw = yaml.safe_load(file.read_text("utf-8"))
        found[file.stem] = msgspec.convert(raw | {"name": file.stem}, Program)
    return found


def content_key(program: Program, files: Mapping[str, str]) -> str:
    """Of what was observed: the files that ran, and the probes that were put to them."""
    parts = [program.language, program.imports, program.helper, program.probes, dict(files)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


@cache
def observations() -> dict[str, list[str]]:
    if not OBSERVED.exists():
        return {}
    found: dict[str, list[str]] = json.loads(OBSERVED.read_text("utf-8"))
    return found


class Unobserved(Exception):
    """Nobody ran this yet: `python -m tests.bench.judgement.observe`."""


def outcomes(program: Program, text: str) -> dict[str, str]:
    """By probe: `= value` or `! Error`, of the module `text`. Raises Unobserved."""
    files = program.base | {program.target: text}
    key = content_key(program, files)
    if key not in observations():
        raise Unobserved(f"{program.name}: {key}")
    found = dict(zip(program.probes, observations()[key], strict=True))
    return {
        probe: ANY if re.fullmatch("= <.*Answer object at>", outcome) else outcome for probe, outcome in found.items()
    }


def truth(program: Program) -> dict[str, str]:
    return outcomes(program, next(iter(program.right.values())))
