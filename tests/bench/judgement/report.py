"""Runs as tables."""

import sys
from collections.abc import Sequence

from folkmoot.kernel.jury import Policy, judge, standing
from tests.bench.judgement import choosers
from tests.bench.judgement.runs import Run, choice
from tests.bench.judgement.score import HEAD, SLICES, Choice, reliability, row, score

JURY = "**jury**"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def chosen(runs: Sequence[Run], policy: Policy) -> dict[str, list[Choice]]:
    """By chooser; the one that knows the right tests only where they are known."""
    everybody = {JURY: choosers.jury(policy)} | choosers.MODELS | choosers.NAIVE
    found = {name: [choice(run, chooser, policy) for run in runs] for name, chooser in everybody.items()}
    if runs and all(run.true or not run.evidence.exhibits for run in runs):
        found["knows which tests are right"] = [
            choice(run, choosers.knowing(frozenset(run.true)), policy) for run in runs
        ]
    return found


def tables(runs: Sequence[Run], policy: Policy, *, slices: bool) -> None:
    rows = chosen(runs, policy)
    for title, belongs in SLICES.items():
        if (slices or title in ("all", "without mirror")) and any(map(belongs, rows[JURY])):
            say(f"\n### {title}\n\n{HEAD}")
            for name, choices in rows.items():
                say(row(name, score([c for c in choices if belongs(c)])))
    say("\n### Confidence of decisions\n\n" + reliability(rows[JURY]))


def costs(runs: Sequence[Run]) -> None:
    head = "| rigor | seconds | model calls | tokens | stages |\n| --- | --- | --- | --- | --- |"
    say(f"\n## What it took, per case\n\n{head}")
    for rigor in sorted({run.rigor for run in runs}):
        some = [run for run in runs if run.rigor is rigor]
        seconds = sum(r.wall_s for r in some) / len(some)
        calls = sum(r.usage.model_calls for r in some) / len(some)
        tokens = sum(r.usage.prompt_tokens + r.usage.completion_tokens for r in some) / len(some)
        stages = sum(len(r.stages) for r in some) / len(some)
        say(f"| {rigor} | {seconds:.1f} | {calls:.1f} | {tokens:,.0f} | {stages:.1f} |")


def misses(runs: Sequence[Run], policy: Policy) -> None:
    """What the jury got wrong, with all that it saw."""
    for run in runs:
        ruling = judge(run.evidence, policy)
        label = run.label(ruling.chosen)
        possible = "right" in [run.label(c.admission.proposal_id) for c in run.evidence.candidates]
        if label == "right" or (label is None and not possible):
            continue
        say(f"\n{run.case}: {label} chosen, confidence {ruling.confidence}, stages {', '.join(run.stages)}")
        now = standing(run.evidence, policy)
        say(f"  standing: {now.classes} {now.probability} {now.settled}")
        say("  " + ", ".join(f"{name} {label}" for name, label in run.labels.items()))
        for trial in choosers.Table(run.evidence).trials:
            cells = " ".join(f"{s.removesuffix('-r1')}:{c}" for s, c in sorted(trial.cells.items()))
            fits = "right" if (trial.exhibit.exhibit_id, trial.test) in run.true else "TOXIC" if run.true else ""
            say(f"    {fits} {trial.exhibit.exhibit_id} {trial.test}: {cells}")
        for reason in ruling.reasons[:8]:
            say(f"  . {reason}")
