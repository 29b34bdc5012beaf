"""Runs solutions against probes, with the languages' own tools: `python -m tests.bench.judgement.observe`.

Writes what was seen into `observed.json`; what lies there already, by content, is not run again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.judgement import programs as pool
from tests.bench.judgement.programs import Program

TIMEOUT_S = 120.0

_PYTHON = """
import json, re, sys
sys.path.insert(0, ".")
imports, probes = json.load(open("_probes.json"))
seen = []
for lines in probes:
    space = {}
    try:
        exec(imports, space)
        *before, last = lines.strip().split("\\n")
        exec("\\n".join(before), space)
        seen.append("= " + re.sub(r" at 0x\\w+", " at", repr(eval(last, space))))
    except Exception as error:
        seen.append("! " + type(error).__name__)
json.dump(seen, open("_seen.json", "w"))
"""


def run_python(program: Program, folder: Path) -> list[str]:
    (folder / "_probes.json").write_text(json.dumps([program.imports, list(program.probes.values())]))
    (folder / "_probe.py").write_text(_PYTHON)
    return _ended(program, folder, [sys.executable, "-P", "_probe.py"])


def run_javascript(program: Program, folder: Path) -> list[str]:
    lines = ["const { inspect } = require('node:util');", "const seen = [];"]
    for probe in program.probes.values():
        *before, last = probe.strip().split("\n")
        body = "\n".join([*before, f"return ({last});"])
        lines.append(
            f"try {{ const v = (() => {{ {body} }})(); seen.push('= ' + inspect(v, {{ depth: null, breakLength:"
            " Infinity }})); } catch (e) { seen.push('! ' + e.name); }".replace("}}))", "}))")
        )
    lines.append("require('node:fs').writeFileSync('_seen.json', JSON.stringify(seen));")
    place = folder / "test" / "_probe.js"
    place.write_text("\n".join([program.imports, *lines]))
    return _ended(program, folder, ["node", "test/_probe.js"])


def run_go(program: Program, folder: Path) -> list[str]:
    parts = []
    for probe in program.probes.values():
        *before, last = probe.strip().split("\n")
        parts.append("\tfunc() {\n" + "\n".join(before) + f'\n\t\tseen = append(seen, "= "+fmt.Sprint({last}))\n\t}}()')
    body = "\n".join(parts)
    head = go_head(Path(program.target).parent.name, program.helper + body, "encoding/json", "os")
    test = f"{head}\n{program.helper}\nfunc TestProbe(t *testing.T) {{\n\tseen := []string{{}}\n{body}\n"
    test += '\tout, _ := json.Marshal(seen)\n\tos.WriteFile("../_seen.json", out, 0o600)\n}\n'
    (folder / Path(program.target).parent / "zz_probe_test.go").write_text(test)
    return _ended(program, folder, ["go", "test", "-run", "TestProbe", "./..."])


def go_head(package: str, text: str, *more: str) -> str:
    wanted = ["fmt", "testing", *more, *(["math"] if "math." in text else [])]
    return f"package {package}\n\nimport (\n" + "".join(f'\t"{name}"\n' for name in sorted(wanted)) + ")\n"


RUN = {"python": run_python, "javascript": run_javascript, "go": run_go}


def _ended(program: Program, folder: Path, argv: list[str]) -> list[str]:
    done = subprocess.run(
        argv, cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    seen = folder / "_seen.json"
    if "[build failed]" in done.stdout:
        return ["! build"] * len(program.probes)
    if not seen.exists():
        raise RuntimeError(
            f"{program.name}: {argv} left nothing ({done.returncode}): {(done.stdout + done.stderr)[-2000:]}"
        )
    found: list[str] = json.loads(seen.read_text("utf-8"))
    return found


def environment() -> dict[str, str]:
    """A user's shell, without what would change a run of tests."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "PYTHON"))}  # noqa: TID251
    own = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def observe(program: Program, files: Mapping[str, str]) -> list[str]:
    """Of each probe, in order. Raises RuntimeError where the program does not run at all."""
    with TemporaryDirectory(prefix="moot-observe-") as name:
        write(Path(name), files)
        return RUN[program.language](program, Path(name))


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, "utf-8")


def listed(chosen: Iterable[Program], *, gamed: bool) -> list[tuple[Program, str]]:
    """All modules of these programs that a case may hold; the gamed ones can be written once the truth is known."""
    found = []
    for program in chosen:
        for key in [*program.keys, *(program.gamed if gamed else ())]:
            found.append((program, program.solution(key)))
            found += [(program, program.solution(f"{key}~{n}")) for n in (1, 2, 3) if key in program.keys[1:]]
    return found


def main() -> None:
    known = [p for folder in pool.FOLDERS for p in pool.programs(folder).values()]
    chosen = [p for p in known if not sys.argv[1:] or p.name in sys.argv[1:]]
    for gamed in (False, True):
        _complete(listed(chosen, gamed=gamed), whole=gamed and not sys.argv[1:])
    for program in chosen:
        _check(program)


def _complete(modules: Iterable[tuple[Program, str]], *, whole: bool) -> None:
    """Runs what was not run yet; `whole` forgets all others."""
    known = dict(pool.observations())
    wanted = {pool.content_key(p, f): (p, f) for p, t in modules for f in [p.base | {p.target: t}]}
    missing = {key: one for key, one in wanted.items() if key not in known}
    with ThreadPoolExecutor(max_workers=2) as workers:
        seen = dict(zip(missing, workers.map(_safely, missing.values()), strict=True))
    known = {key: value for key, value in known.items() if key in wanted or not whole}
    known |= {key: value for key, value in seen.items() if value is not None}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in sorted(known.items()))
    pool.OBSERVED.write_text("{\n" + lines + "\n}\n", "utf-8")
    pool.observations.cache_clear()


def _safely(one: tuple[Program, Mapping[str, str]]) -> list[str] | None:
    try:
        return observe(*one)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return None


def _check(program: Program) -> None:
    """Says what is wrong with a program: right solutions that differ, wrong ones that are right, or alike."""
    right, seen = pool.truth(program), dict[tuple[str, ...], str]()
    for key in program.keys:
        own = pool.outcomes(program, program.solution(key))
        for n in (1, 2, 3):
            if key != "base" and pool.outcomes(program, program.solution(f"{key}~{n}")) != own:
                sys.stderr.write(f"{program.name}: {key}~{n} behaves otherwise than {key}\n")
        apart = [p for p in own if own[p] != right[p]]
        if "! build" in own.values() and key != "base":
            sys.stderr.write(f"{program.name}: {key} does not build\n")
        if key.startswith("right") == bool(apart):
            sys.stderr.write(f"{program.name}: {key} differs in {[(p, own[p], right[p]) for p in apart]}\n")
        if key.startswith("wrong") and tuple(own.values()) in seen:
            sys.stderr.write(f"{program.name}: {key} behaves as {seen[tuple(own.values())]}\n")
        seen[tuple(own.values())] = key
        if len(apart) > 7 and key != "base":
            sys.stderr.write(f"{program.name}: {key}: {len(apart)} of {len(own)} apart: {apart}\n")
    unseen = [
        p for p in right if all(pool.outcomes(program, program.solution(k))[p] == right[p] for k in program.keys[1:])
    ]
    sys.stderr.write(f"{program.name}: {len(program.keys) - 1} solutions, tells nothing: {unseen}\n")


if __name__ == "__main__":
    main()
