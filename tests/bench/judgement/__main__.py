"""`make bench-judgement`: how well the jury chooses, over a pool of cases whose truth it never sees. docs/judgement.md.

python -m tests.bench.judgement [--half HALF] [--rigor L2,L3] [--cases N] [--keep DIR] [--pool DIR]
python -m tests.bench.judgement --computed      the whole half in seconds, from what is known of the pool
python -m tests.bench.judgement --from DIR      what was kept, judged anew
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from folkmoot.kernel.jury import POLICY, Policy, policy_from
from folkmoot.kernel.task import Rigor
from tests.bench import stage
from tests.bench.judgement import case as cases_of
from tests.bench.judgement import computed, platform, report, runs
from tests.bench.judgement.case import Case
from tests.bench.judgement.draw import draw, fresh, halves, held
from tests.bench.judgement.making import Drawn


def main() -> None:
    parser = _parser()
    asked = parser.parse_args()
    policy = policy_from(asked.policy.read_bytes()) if asked.policy else POLICY
    rigors = [Rigor(name) for name in asked.rigor.split(",")]
    if asked.write:
        cases_of.write_pool([d.case for d in _pool(asked.half)], asked.write)
        return
    began = time.monotonic()
    if asked.computed:
        _computed(asked.half, rigors, policy, patient=asked.patient, slices=asked.slices, misses=asked.misses)
    else:
        chosen = _chosen(cases_of.read_pool(asked.pool) if asked.pool else [d.case for d in _pool(asked.half)], asked)
        with TemporaryDirectory(prefix="moot-judgement-") as folder:
            kept = asked.kept or asked.keep or Path(folder) / "kept"
            if not asked.kept:
                asyncio.run(platform.play(Path(folder), chosen, rigors, kept, at_once=asked.at_once))
            found = list(runs.kept(kept, rigors, [c.id for c in chosen]))
            _report(
                f"half `{asked.half}`, on a platform", found, rigors, policy, slices=asked.slices, misses=asked.misses
            )
    report.say(f"\n{stage.machine()}; {time.monotonic() - began:.0f} s in all.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench.judgement", description=__doc__)
    parser.add_argument(
        "--half", choices=("tune", "report", "all", "fresh", "held"), default="report", help="of the pool"
    )
    parser.add_argument("--rigor", default="L2,L3", metavar="L2,L3")
    parser.add_argument(
        "--cases", type=int, default=0, metavar="N", help="at most so many, spread over the half; 0: all"
    )
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="deliberations side by side")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep all evidence there, and go on with what is there"
    )
    parser.add_argument("--from", type=Path, metavar="DIR", dest="kept", help="run nothing: judge what was kept")
    parser.add_argument("--pool", type=Path, metavar="DIR", help="another pool: a folder per case")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write this pool as folders, and end")
    parser.add_argument("--computed", action="store_true", help="from what is known of the pool, without a platform")
    parser.add_argument("--patient", action="store_true", help="computed: never stop early")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="a policy other than the shipped one")
    parser.add_argument("--slices", action="store_true", help="a table for each slice of the pool")
    parser.add_argument("--misses", action="store_true", help="name the cases that went wrong, and why")
    return parser


def _pool(half: str) -> list[Drawn]:
    """`fresh` and `held` are of programs of their own; the halves are of the others."""
    return {"fresh": fresh, "held": held}.get(half, draw)()


def _belonging(pool: Sequence[Case], half: str) -> set[str]:
    of = halves(pool)
    return {c.id for c in pool if half in ("all", "fresh", "held", of[c.id])}


def _chosen(pool: Sequence[Case], asked: argparse.Namespace) -> list[Case]:
    belonging = _belonging(pool, asked.half)
    found = [c for c in pool if c.id in belonging]
    step = max(1, len(found) // asked.cases) if asked.cases else 1
    return found[::step][: asked.cases or None]


def _computed(half: str, rigors: Sequence[Rigor], policy: Policy, *, patient: bool, slices: bool, misses: bool) -> None:
    pool = _pool(half)
    belonging = _belonging([d.case for d in pool], half)
    chosen = [d for d in pool if d.case.id in belonging]
    found = [computed.observed(d, rigor, policy, patient=patient) for rigor in rigors for d in chosen]
    _report(f"half `{half}`, computed", found, rigors, policy, slices=slices, misses=misses)


def _report(
    how: str, found: Sequence[runs.Run], rigors: Sequence[Rigor], policy: Policy, *, slices: bool, misses: bool
) -> None:
    for rigor in rigors:
        some = [run for run in found if run.rigor is rigor]
        if not some:
            continue
        report.say(f"\n## {rigor}, {len(some)} cases, {how}, policy {policy.version}")
        report.tables(some, policy, slices=slices)
        if misses:
            report.misses(some, policy)
    if any(run.wall_s for run in found):
        report.costs(found)


if __name__ == "__main__":
    main()
