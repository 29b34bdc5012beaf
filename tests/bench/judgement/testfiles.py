"""Test files in the language of a program, from what their author believes."""

import ast
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from tests.bench.judgement.observe import go_head
from tests.bench.judgement.programs import Program

Belief = tuple[str, str]
"""A probe, and what its author takes for its outcome."""
EXISTS = "exists"
"""Instead of a probe: that what the story asks for is there at all."""
BOUND = "bound"
"""Instead of a probe: a name that the author's own module happens to have, and hardly any other."""
Claims = dict[str, tuple[Belief, ...]]
"""By name of the test: all of them must hold."""


def path(program: Program, what: str) -> str:
    """Of a test file: `more`, `review`, …"""
    target = PurePosixPath(program.target)
    if program.language == "go":
        return f"{target.parent}/{target.stem}_{what}_test.go"
    return (
        f"test/{target.stem}-{what}.test.js"
        if program.language == "javascript"
        else f"tests/test_{target.stem}_{what}.py"
    )


def content(program: Program, claims: Claims, *, strict: bool = False) -> str:
    """`strict` compares what is printed, so that nothing can call itself equal."""
    return {"python": _python, "go": _go, "javascript": _javascript}[program.language](program, claims, strict)


def test_id(program: Program, what: str, name: str) -> str:
    """As the platform's reports have it, nearly."""
    return f"{path(program, what)}::{name}"


def check(program: Program, probe: str, outcome: str) -> str:
    """A shell command that holds where the probe has this outcome; empty where it takes more than a line."""
    text = program.probes[probe].strip()
    if "\n" in text or outcome.startswith("!") or program.language == "go":
        return ""
    if program.language == "javascript":
        code = program.imports.replace("../src", "./src") + f" require('assert').deepStrictEqual({text}, {outcome[2:]})"
        return f"node -e {shlex.quote(code)}" if _plain_js(outcome[2:]) else ""
    imports = "; ".join(line for line in program.imports.strip().split("\n") if line)
    return f"python -c {shlex.quote(f'{imports}; assert {text} == {outcome[2:]}')}" if _literal(outcome[2:]) else ""


def own_names(program: Program, text: str, others: Sequence[str]) -> list[str]:
    """What a test could be bound to: defined at the top of this module and of none of the `others`."""
    forms = {"python": r"^def (_?\w+)", "go": r"^func (\w+)\(", "javascript": r"^(?:function\*?|const) (\w+)"}
    form = re.compile(forms[program.language], re.MULTILINE)
    known = {name for other in others for name in form.findall(other)}
    return [name for name in form.findall(text) if name not in known]


def _statements(probe: str) -> tuple[list[str], str]:
    *before, last = probe.strip().split("\n")
    return before, last


def _literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _plain_js(text: str) -> bool:
    return not re.search(r"\d{4}-\d\d-\d\dT|\[\w|\w \{|-0\b", text)


def _python(program: Program, claims: Claims, strict: bool) -> str:
    parts = [program.imports.strip()]
    if any(o.startswith("!") for beliefs in claims.values() for _, o in beliefs):
        parts = ["import pytest\n", program.imports.strip()]
    for name, beliefs in claims.items():
        body = [line for belief in beliefs for line in _python_lines(program, belief, strict)]
        parts.append(f"\n\ndef test_{name}():\n" + "\n".join("    " + line for line in body))
    return "\n".join(parts) + "\n"


def _python_lines(program: Program, belief: Belief, strict: bool) -> list[str]:
    probe, outcome = belief
    if probe == EXISTS:
        return [f"assert callable({function(program)})"]
    if probe == BOUND:
        return [
            f"from {program.imports.strip().split(chr(10))[-1].split()[1]} import {outcome}",
            f"assert callable({outcome})",
        ]
    before, last = _statements(program.probes[probe])
    if outcome.startswith("!"):
        return [*before, f"with pytest.raises({outcome[2:]}):", f"    {last}"]
    if strict or not _literal(outcome[2:]):
        return [*before, f"assert repr({last}) == {outcome[2:]!r}"]
    return [*before, f"assert {last} == {outcome[2:]}"]


def function(program: Program) -> str:
    """What the story asks for."""
    if program.language == "python":
        return program.imports.split()[-1]
    found = re.search(r"\{ (\w+) \}", program.imports) if program.language == "javascript" else None
    return found[1] if found else re.findall(r"(?:Add|type) ([A-Z]\w*)[( ]", program.story + " type Nothing ")[0]


def _go(program: Program, claims: Claims, _: bool) -> str:
    parts = []
    for name, beliefs in claims.items():
        body = "\n".join(_go_lines(program, belief) for belief in beliefs)
        parts.append(f"func Test{name}(t *testing.T) {{\n{body}\n}}\n")
    text = "\n".join(parts)
    helper = program.helper if re.search(r"\b(?:read|filled)\(", text) else ""
    head = go_head(PurePosixPath(program.target).parent.name, helper + text)
    if "fmt." not in text + helper:
        head = head.replace('\t"fmt"\n', "")
    return f"{head}\n{helper}\n{text}" if helper else f"{head}\n{text}"


def _go_lines(program: Program, belief: Belief) -> str:
    probe, outcome = belief
    if probe in (EXISTS, BOUND):
        name = function(program) if probe == EXISTS else outcome
        return f"\tvar made any = {name}\n\tif made == nil {{\n\t\tt.Fatal()\n\t}}"
    before, last = _statements(program.probes[probe])
    wanted = json.dumps(outcome[2:], ensure_ascii=False)
    lines = [
        *("\t\t" + b for b in before),
        f"\t\tif got := fmt.Sprint({last}); got != {wanted} {{",
        '\t\t\tt.Errorf("got %s", got)',
        "\t\t}",
    ]
    return "\t{\n" + "\n".join(lines) + "\n\t}"


def _javascript(program: Program, claims: Claims, strict: bool) -> str:
    head = ["'use strict';", "const test = require('node:test');", "const assert = require('node:assert');"]
    body = []
    for name, beliefs in claims.items():
        lines = [line for belief in beliefs for line in _javascript_lines(program, belief, strict)]
        body.append(f"\ntest('{name}', () => {{\n" + "\n".join("  " + line for line in lines) + "\n});")
    if any("inspect(" in b for b in body):
        head.append("const { inspect } = require('node:util');")
    return "\n".join([*head, program.imports, *body]) + "\n"


def _javascript_lines(program: Program, belief: Belief, strict: bool) -> list[str]:
    probe, outcome = belief
    if probe == EXISTS:
        return [f"assert.strictEqual(typeof {function(program)}, 'function');"]
    if probe == BOUND:
        module = re.findall(r"require\('([^']+)'\)", program.imports)[-1]
        return [f"assert.ok(require('{module}').{outcome});"]
    before, last = _statements(program.probes[probe])
    if outcome.startswith("!"):
        return ["{", *before, f"assert.throws(() => ({last}), {{ name: '{outcome[2:]}' }});", "}"]
    if strict or not _plain_js(outcome[2:]):
        wanted = json.dumps(outcome[2:], ensure_ascii=False)
        return [
            "{",
            *before,
            f"assert.strictEqual(inspect({last}, {{ depth: null, breakLength: Infinity }}), {wanted});",
            "}",
        ]
    return ["{", *before, f"assert.deepStrictEqual({last}, {outcome[2:]});", "}"]


def holds(belief: Belief, outcomes: Mapping[str, str], text: str) -> bool:
    """Whether a module that behaves like this, and reads like this, passes."""
    probe, expected = belief
    if probe == EXISTS:
        return not all(o in ("! ImportError", "! TypeError", "! build") for o in outcomes.values())
    if probe == BOUND:
        return re.search(rf"^(?:def|func|function\*?|const) {expected}\b", text, re.MULTILINE) is not None
    found = outcomes[probe]
    return found == expected or (found == "*" and expected.startswith("=") and _literal(expected[2:]))
