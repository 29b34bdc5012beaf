"""`python -m tests.fuzz --inputs 100000`: the border against hostile headers, names, trees and bundles, and a table."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.rounds import Report, fuzz, split

_PURE = {"header", "entry"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    wanted, began = split(asked.inputs), time.monotonic()
    _say(f"{asked.inputs:,} inputs, seed {asked.seed}: " + ", ".join(f"{n:,} {name}" for name, n in wanted.items()))
    with tempfile.TemporaryDirectory(prefix="folkmoot-fuzz-") as top:
        report = fuzz(wanted, Path(top), asked.seed, lambda name, n: _say(f"{name}: {n:,}"))
    _say(_table(report))
    total, took = sum(layer.inputs for layer in report.values()), time.monotonic() - began
    _say(f"\n{total:,} inputs in {took:.0f} s: no crash, nothing outside the quarantine, no process left")


def _table(report: Report) -> str:
    total = sum(layer.inputs for layer in report.values())
    rows = [
        "\n| layer | through | inputs | share | let in | reasons, the usual first |",
        "|---|---|---|---|---|---|",
    ]
    for name, layer in report.items():
        way = "pure functions" if name in _PURE else "the whole import, real git"
        reasons = "; ".join(f"{reason} ({n})" for reason, n in layer.reasons.most_common(6))
        share = f"{layer.inputs / total:.1%}"
        rows.append(f"| {name} | {way} | {layer.inputs:,} | {share} | {layer.let_in:,} | {reasons} |")
    return "\n".join(rows)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
