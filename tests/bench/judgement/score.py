"""How well somebody chose: shares of the gap, abstentions, intervals; tables in words."""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec

from tests.bench.judgement.case import CHEAT, RIGHT

RESAMPLES = 1000


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What one chooser did with one case."""

    case: str
    chosen: str | None
    """Label of what was chosen; None: nothing was."""
    labels: tuple[str, ...]
    """Of all candidates there were."""
    tags: frozenset[str] = frozenset()
    confidence: float = 0.0

    @property
    def possible(self) -> bool:
        return RIGHT in self.labels

    @property
    def hit(self) -> bool:
        return self.chosen == RIGHT

    @property
    def mean(self) -> float:
        """What a random candidate would have been."""
        return self.labels.count(RIGHT) / len(self.labels) if self.labels else 0.0


class Score(msgspec.Struct, frozen=True, kw_only=True):
    cases: int
    mean: float
    chosen: float
    oracle: float
    gap: float
    """Closed, from 0 to 1; below 0 it is worse than a random candidate."""
    low: float
    high: float
    """Of the gap: 95 % of resampled pools lie between."""
    decided: int
    right: int
    abstained: int
    rightly: int
    """Abstained where no candidate was right."""
    none_right: int
    cheats: int
    """Cheating candidates chosen."""

    @property
    def precision(self) -> float:
        """Of abstentions."""
        return self.rightly / self.abstained if self.abstained else 1.0

    @property
    def recall(self) -> float:
        return self.rightly / self.none_right if self.none_right else 1.0

    @property
    def decisions(self) -> float:
        return self.right / self.decided if self.decided else 1.0


def score(choices: Sequence[Choice], seed: int = 1) -> Score:
    rng, n = random.Random(seed), len(choices)
    gaps = sorted(_gap(rng.choices(choices, k=n)) for _ in range(RESAMPLES)) if n else [0.0]
    decided = [c for c in choices if c.chosen is not None]
    abstained = [c for c in choices if c.chosen is None]
    return Score(
        cases=n,
        mean=_mean(c.mean for c in choices),
        chosen=_mean(c.hit for c in choices),
        oracle=_mean(c.possible for c in choices),
        gap=_gap(choices),
        low=gaps[int(0.025 * len(gaps))],
        high=gaps[int(0.975 * len(gaps))],
        decided=len(decided),
        right=sum(c.hit for c in decided),
        abstained=len(abstained),
        rightly=sum(not c.possible for c in abstained),
        none_right=sum(not c.possible for c in choices),
        cheats=sum(c.chosen == CHEAT for c in choices),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _gap(choices: Sequence[Choice]) -> float:
    mean, oracle = _mean(c.mean for c in choices), _mean(c.possible for c in choices)
    return (_mean(c.hit for c in choices) - mean) / (oracle - mean) if oracle > mean else 0.0


SLICES: dict[str, Callable[[Choice], bool]] = {
    "all": lambda _: True,
    "without mirror": lambda c: "mirror" not in c.tags,
    "mirror": lambda c: "mirror" in c.tags,
    "wrong majority": lambda c: "majority" in c.tags,
    "none right": lambda c: "none" in c.tags,
    "one right among many": lambda c: "lonely" in c.tags,
    "with a cheat": lambda c: CHEAT in c.labels,
    "python": lambda c: "python" in c.tags,
    "go": lambda c: "go" in c.tags,
    "javascript": lambda c: "javascript" in c.tags,
}

HEAD = (
    "| chooser | cases | mean | chosen | oracle | gap closed (95 %) | decisions right | abstained: precision, recall "
    "| cheats |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(name: str, s: Score) -> str:
    return (
        f"| {name} | {s.cases} | {s.mean:.0%} | {s.chosen:.0%} | {s.oracle:.0%} | "
        f"**{s.gap:.0%}** ({s.low:.0%} to {s.high:.0%}) | {s.right}/{s.decided} = {s.decisions:.0%} | "
        f"{s.rightly}/{s.abstained} = {s.precision:.0%}, {s.rightly}/{s.none_right} = {s.recall:.0%} | {s.cheats} |"
    ).replace("%", " %")


def reliability(choices: Sequence[Choice]) -> str:
    """How often decisions of a confidence were right."""
    lines = ["| confidence | decisions | mean confidence | right |", "| --- | --- | --- | --- |"]
    edges = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
    for low, high in pairwise(edges):
        here = [c for c in choices if c.chosen is not None and low <= c.confidence < high]
        if here:
            sure, right = _mean(c.confidence for c in here), _mean(c.hit for c in here)
            lines.append(f"| {low:.1f} to {min(high, 1):.1f} | {len(here)} | {sure:.2f} | {right:.2f} |")
    return "\n".join(lines)
