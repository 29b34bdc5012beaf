"""`make bench-judgement`: how well the jury chooses, over a pool of cases whose truth it never sees.

python -m tests.bench.judgement --computed [--half tune|report|all] [--rigor L2,L3] [--policy FILE] [--misses]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from folkmoot.kernel.jury import POLICY, Policy, judge, policy_from
from folkmoot.kernel.task import Rigor
from tests.bench.judgement import choosers, computed
from tests.bench.judgement.computed import Shown
from tests.bench.judgement.draw import Drawn, draw, halves
from tests.bench.judgement.score import HEAD, SLICES, Choice, reliability, row, score


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.judgement", description=__doc__)
    parser.add_argument("--computed", action="store_true", help="from what is known of the pool, without a platform")
    parser.add_argument("--half", choices=("tune", "report", "all"), default="report")
    parser.add_argument("--rigor", default="L2,L3", metavar="L2,L3")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="a policy other than the shipped one")
    parser.add_argument("--patient", action="store_true", help="never stop early")
    parser.add_argument("--misses", action="store_true", help="name the cases that went wrong, and why")
    parser.add_argument("--slices", action="store_true", help="a table for each slice of the pool")
    asked = parser.parse_args()
    policy = policy_from(asked.policy.read_bytes()) if asked.policy else POLICY
    cases = draw()
    half = halves([d.case for d in cases])
    cases = [d for d in cases if asked.half in ("all", half[d.case.id])]
    for rigor in map(Rigor, asked.rigor.split(",")):
        began = time.monotonic()
        shown = [(d, computed.observed(d, rigor, policy, patient=asked.patient)) for d in cases]
        _say(f"\n## {rigor}, {len(cases)} cases (half: {asked.half}), policy {policy.version}, computed\n")
        _report(shown, policy, slices=asked.slices, misses=asked.misses)
        _say(f"\n{time.monotonic() - began:.0f} s")


def _report(shown: Sequence[tuple[Drawn, Shown]], policy: Policy, *, slices: bool, misses: bool) -> None:
    everybody = {"**jury**": choosers.jury(policy)} | choosers.MODELS | choosers.NAIVE
    rows = {name: [_choice(d, s, chooser, policy) for d, s in shown] for name, chooser in everybody.items()}
    rows["ceiling: knows the right tests"] = [
        _choice(d, s, choosers.knowing(computed.true_tests(d, s.evidence)), policy) for d, s in shown
    ]
    for title, belongs in SLICES.items():
        if slices or title in ("all", "without mirror"):
            _say(f"\n### {title}\n\n{HEAD}")
            for name, choices in rows.items():
                _say(row(name, score([c for c in choices if belongs(c)])))
    _say("\n### Confidence\n\n" + reliability(rows["**jury**"]))
    if misses:
        _misses(shown, rows["**jury**"], policy)


def _choice(drawn: Drawn, shown: Shown, chooser: choosers.Chooser, policy: Policy) -> Choice:
    chosen = chooser(shown.evidence)
    labels = drawn.case.names
    return Choice(
        case=drawn.case.id,
        chosen=labels[chosen.removesuffix("-r1")] if chosen else None,
        labels=tuple(labels[c.admission.proposal_id.removesuffix("-r1")] for c in shown.evidence.candidates),
        mirror=drawn.case.mirror,
        tags=frozenset((*drawn.case.tags, drawn.case.language)),
        confidence=judge(shown.evidence, policy).confidence or 0.0,
    )


def _misses(shown: Sequence[tuple[Drawn, Shown]], choices: Sequence[Choice], policy: Policy) -> None:
    for (drawn, seen), choice in zip(shown, choices, strict=True):
        if choice.hit or (choice.chosen is None and not choice.possible):
            continue
        ruling = judge(seen.evidence, policy)
        _say(
            f"\n{choice.case}: {choice.chosen} chosen, confidence {ruling.confidence}, stages {', '.join(seen.stages)}"
        )
        _say(f"  standing: {seen.standing.classes} {seen.standing.probability} {seen.standing.settled}")
        for c in drawn.case.candidates:
            _say(f"  {c.name} {c.label} {c.kind}, tests {c.tests}, revision {c.revision.label if c.revision else '-'}")
        true = computed.true_tests(drawn, seen.evidence)
        for trial in choosers.Table(seen.evidence).trials:
            cells = " ".join(f"{s.removesuffix('-r1')}:{c}" for s, c in sorted(trial.cells.items()))
            fits = (trial.exhibit.exhibit_id, trial.test) in true
            _say(f"    {'right' if fits else 'TOXIC'} {trial.test}: {cells}")
        for reason in ruling.reasons[:8]:
            _say(f"  . {reason}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
