"""What calls that no test makes give on each candidate: the platform's own calls, run once and kept in `probed.json`.

python -m tests.bench.judgement.probed        runs what is not known yet; a minute or two
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from folkmoot.kernel import probing
from folkmoot.kernel.probing import Probes
from tests.bench.judgement import testfiles
from tests.bench.judgement.draw import everything
from tests.bench.judgement.making import Drawn
from tests.bench.judgement.observe import environment, write
from tests.bench.judgement.programs import HERE, Program, Unobserved

STORE = HERE / "probed.json"
UNKNOWN = "?"
_LIMIT_S = 900.0
"""Of one program: many cases together."""
_LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RUN = """
import json, os, sys
import pytest
sys.path.insert(0, ".")
target, works = json.load(open("_works.json"))
for number, (text, file) in enumerate(works):
    if os.fork() == 0:
        open(target, "w").write(text)
        open("probe.py", "w").write(file)
        import probe
        json.dump(probe.NAMES, open(f"_seen-{number}.json", "w"))
        os._exit(0)
    os.wait()
"""


def calls(drawn: Drawn) -> Probes:
    """As the platform finds them in the tests that come with the first proposals."""
    names = {c.name for c in drawn.case.candidates}
    packs = [claims for pack, claims in drawn.claims.items() if pack in names]
    texts = [testfiles.content(drawn.program, claims) for claims in packs]
    return _calls(tuple(texts)) if drawn.case.language == "python" else Probes()


@cache
def _calls(texts: tuple[str, ...]) -> Probes:
    return probing.probes(texts)


def answers(drawn: Drawn) -> dict[str, str]:
    """By candidate, one letter per call: equal letters, equal answers. Raises Unobserved."""
    if not calls(drawn).calls:
        return {}
    found = store().get(_key(drawn))
    if found is None:
        raise Unobserved(f"{drawn.case.id}: python -m tests.bench.judgement.probed")
    return dict(zip(sorted(drawn.texts), found, strict=True))


@cache
def store() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(STORE.read_text("utf-8")) if STORE.exists() else {}
    return found


def _key(drawn: Drawn) -> str:
    """The calls as chosen, the modules, and what the program's other files hold."""
    found = calls(drawn)
    parts = [found.imports, found.calls, sorted(drawn.texts.items()), drawn.program.base]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def complete(pool: Sequence[Drawn]) -> dict[str, list[str]]:
    """What is known of these, after what was not is run."""
    wanted = {_key(d): d for d in pool if calls(d).calls}
    missing = [d for key, d in wanted.items() if key not in store()]
    seen = _seen(missing)
    return {k: store()[k] for k in wanted if k in store()} | {_key(d): _letters(d, seen) for d in missing}


def _seen(pool: Iterable[Drawn]) -> dict[tuple[str, str], dict[str, str]]:
    """By program and module, what each call gives: one module is run once for all cases that hold it."""
    works: dict[str, _Work] = {}
    for d in pool:
        of = works.setdefault(d.program.name, _Work(d.program))
        of.imports |= {*calls(d).imports}
        for text in (*d.texts.values(), d.program.solution("base")):
            of.calls.setdefault(text, set()).update(calls(d).calls)
    with ThreadPoolExecutor(2) as workers:
        runs = workers.map(_run, works.values())
        return {(name, text): given for name, found in zip(works, runs, strict=True) for text, given in found.items()}


class _Work:
    """All modules of one program, with the calls of each."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.calls: dict[str, set[str]] = {}
        self.imports = set[str]()


def _run(work: _Work) -> dict[str, dict[str, str]]:
    imports = tuple(sorted(work.imports))
    asked = {text: tuple(sorted(of)) for text, of in sorted(work.calls.items())}
    files = [(t, probing.file_of(Probes(calls=of, imports=imports), all_s=_LIMIT_S)) for t, of in asked.items()]
    with TemporaryDirectory(prefix="moot-probed-") as name:
        folder = Path(name)
        write(folder, work.program.base | {"_works.json": json.dumps([work.program.target, files])})
        argv = [sys.executable, "-B", "-c", _RUN]
        subprocess.run(argv, cwd=folder, env=environment(), capture_output=True, timeout=_LIMIT_S, check=True)
        return {text: _read(folder / f"_seen-{n}.json", of) for n, (text, of) in enumerate(asked.items())}


def _read(file: Path, asked: Sequence[str]) -> dict[str, str]:
    """Nothing of what ends the process."""
    names: list[str] = json.loads(file.read_text("utf-8")) if file.exists() else []
    return {call: name.partition(f" {call} -> ")[2] for call, name in zip(asked, names, strict=False)}


def _letters(drawn: Drawn, seen: Mapping[tuple[str, str], Mapping[str, str]]) -> list[str]:
    """By candidate, in the order of their names. What base raises alike is no answer."""
    name, base = drawn.program.name, drawn.program.solution("base")
    found: dict[str, list[str]] = {candidate: [] for candidate in sorted(drawn.texts)}
    for call in calls(drawn).calls:
        given = {c: seen[name, drawn.texts[c]].get(call, UNKNOWN) for c in found}
        unmade = seen[name, base].get(call, UNKNOWN)
        known = dict(zip(dict.fromkeys(given.values()), _LABELS, strict=False))
        for c, value in given.items():
            lost = value == UNKNOWN or (value == unmade and value.startswith("raises "))
            found[c].append(UNKNOWN if lost else known[value])
    return ["".join(letters) for letters in found.values()]


def main() -> None:
    found = complete(everything())
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found.items()))
    STORE.write_text("{\n" + lines + "\n}\n", "utf-8")
    sys.stdout.write(f"{len(found)} cases\n")


if __name__ == "__main__":
    main()
