"""How many of what: the cheap layers get most of the inputs, the whole import a share that is told."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from folkmoot.kernel.evidence import Admission
from tests.fuzz import attack
from tests.fuzz.headers import HEADERS
from tests.fuzz.mutations import mutated
from tests.fuzz.names import MODES, PATHS, TARGETS
from tests.fuzz.trees import bundles

T = TypeVar("T")
SHARES = {"header": 0.45, "entry": 0.5, "tree": 0.025, "bundle": 0.025}
"""Of all inputs. `header` and `entry` are pure; hostile trees and mutated bundles go through git."""
_ENTRIES = st.tuples(PATHS, MODES, TARGETS)


class Layer(msgspec.Struct):
    inputs: int = 0
    let_in: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)

    def count(self, reason: str | None) -> None:
        """None: it was let in."""
        self.inputs += 1
        self.let_in += reason is None
        if reason:
            self.reasons[reason] += 1


Report = dict[str, Layer]


def split(inputs: int) -> dict[str, int]:
    return {name: max(1, round(inputs * share)) for name, share in SHARES.items()}


def fuzz(inputs: Mapping[str, int], top: Path, number: int, told: Callable[[str, int], None] | None = None) -> Report:
    """Raises AssertionError, or whatever came out of the border, for the first input that it does not hold against.

    `number` seeds the inputs; `told` hears of each thousandth.
    """
    report: Report = {name: Layer() for name in inputs}

    def attacks(name: str, strategy: st.SearchStrategy[T], attacked: Callable[[T], str | None]) -> None:
        def one(given: T) -> None:
            report[name].count(attacked(given))
            if told is not None and report[name].inputs % 1_000 == 0:
                told(name, report[name].inputs)

        _each(inputs[name], number, strategy, one)

    attacks("header", HEADERS, lambda content: None if attack.header(content) else "")
    attacks("entry", _ENTRIES, lambda given: None if attack.entry(*given) else "")
    with attack.stand(top) as on:
        # First: it makes objects in the origin, which the tripwire looks at.
        seeds = on.seeds()

        def whole(content: bytes) -> str | None:
            verdict = on.admit(content)
            return None if isinstance(verdict, Admission) else kind(verdict.reason)

        attacks("tree", bundles(on.base.commit, on.rows), whole)
        attacks("bundle", mutated(seeds), whole)
    return report


def _each(count: int, number: int, strategy: st.SearchStrategy[T], attacked: Callable[[T], None]) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(strategy)
    def run(given: T) -> None:
        attacked(given)

    run()


def kind(reason: str) -> str:
    """A refusal without what is particular to it."""
    return " ".join(word for word in reason.replace(":", " ").split() if word.isalpha())[:60]
