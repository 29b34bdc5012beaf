"""The pool of `make bench-judgement` is what it says: quotas, labels and secrets. One of its cases is run."""

import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.kernel.jury import POLICY
from folkmoot.kernel.task import Rigor
from folkmoot.runner.tells import tells
from tests.bench.judgement import case as cases
from tests.bench.judgement import choosers, computed, score, verify
from tests.bench.judgement.case import CHEAT, LABELS, RIGHT, WRONG, Finding
from tests.bench.judgement.cheats import TAMPERS
from tests.bench.judgement.draw import draw, fresh, halves, held
from tests.bench.judgement.making import Drawn
from tests.bench.judgement.model import identified
from tests.bench.judgement.programs import truth
from tests.bench.judgement.runs import choice


@pytest.fixture(scope="module")
def pool() -> list[Drawn]:
    return draw()


def test_the_pool_has_what_it_promises_of_everything(pool: list[Drawn]) -> None:
    """At least 110 cases; ten of each language; a fifth without a right candidate, a fifth with a wrong majority."""
    languages = Counter(d.case.language for d in pool)
    assert len(pool) >= 110
    assert min(languages.values()) >= 10
    assert sum(RIGHT not in d.case.names.values() for d in pool) >= len(pool) / 5
    assert sum(_wrong_majority(d) for d in pool) >= len(pool) / 5
    assert sum(d.case.mirror for d in pool) >= 10
    assert len({how for d in pool for how in d.cheats.values()}) >= 6
    assert {c.tests for d in pool for c in d.case.candidates} >= {"good", "vacuous", "toxic", "bound", "none"}
    assert {label for d in pool for label in d.case.names.values()} == set(LABELS)


def _wrong_majority(drawn: Drawn) -> bool:
    """One wrong behaviour has more candidates than the right one, which is there."""
    seen = Counter(
        (c.label, tuple(drawn.outcomes(c.name).values())) for c in drawn.case.candidates if c.label in (RIGHT, WRONG)
    )
    right = max((n for (label, _), n in seen.items() if label == RIGHT), default=0)
    return 0 < right < max((n for (label, _), n in seen.items() if label == WRONG), default=0)


def test_drawing_again_gives_the_same_pool_and_halves(pool: list[Drawn]) -> None:
    """What is tuned on one half is never reported on it, on no machine."""
    assert [d.case for d in draw()] == [d.case for d in pool]
    half = Counter(halves([d.case for d in pool]).values())
    assert abs(half["tune"] - half["report"]) <= 2


def test_parts_that_are_judged_once_share_no_program(pool: list[Drawn]) -> None:
    """What is reported of them cannot be memory: at least 40 cases of programs that are nowhere else."""
    parts = [pool, fresh(), held()]
    for one, other in combinations(parts, 2):
        assert not {d.program.name for d in one} & {d.program.name for d in other}
        assert not {d.case.id for d in one} & {d.case.id for d in other}
    assert min(len(p) for p in parts) >= 40
    assert len({d.program.name for d in fresh()}) >= 6
    assert len({d.program.name for d in held()}) >= 10


def test_the_held_part_is_as_hard_as_the_halves() -> None:
    """Of each language some; a fifth without a right candidate, a fifth with a wrong majority."""
    part = held()
    assert {d.case.language for d in part} == {"python", "go", "javascript"}
    assert sum(RIGHT not in d.case.names.values() for d in part) >= len(part) / 5
    assert sum(_wrong_majority(d) for d in part) >= len(part) / 5


def test_labels_follow_from_what_was_observed(pool: list[Drawn]) -> None:
    """A candidate is right when it gives the truth for every probe, and only then; no cheat is."""
    for d in [*pool, *fresh(), *held()]:
        true = truth(d.program)
        for name, label in d.case.names.items():
            assert (d.outcomes(name) == true) == (label == RIGHT), (d.case.id, name)


def test_the_hidden_tests_are_nowhere_to_be_seen(pool: list[Drawn]) -> None:
    """Neither their file nor a line of what only they say stands in base or in a candidate."""
    for d in pool:
        (path, text), *_ = d.case.hidden.items()
        for files in (d.case.base, *(c.files for c in d.case.candidates), *d.case.sealed):
            assert path not in files
            assert text not in files.values()


def test_a_drawn_case_behaves_as_the_pool_says(pool: list[Drawn]) -> None:
    """Hidden tests and the packs of all authors, really run on a small case: labels and cells hold."""
    python = [d for d in pool if d.case.language == "python" and len(d.case.candidates) <= 3 and not d.cheats]
    for d in random.Random(7).sample(python, 1):
        assert verify.problems(d) == []


def test_a_case_comes_back_from_its_folder_as_it_was(pool: list[Drawn], tmp_path: Path) -> None:
    """The format in which others bring their pools loses nothing."""
    some = [d.case for d in pool[:5]]
    cases.write_pool(some, tmp_path)
    assert sorted(cases.read_pool(tmp_path), key=lambda c: c.id) == sorted(some, key=lambda c: c.id)


def test_every_candidate_is_known_by_what_it_changes(pool: list[Drawn]) -> None:
    """The played reviewer, writer and judge find out whom they see; copies of one another are the same to them."""
    for d in pool[:40]:
        for name in d.case.names:
            files = {p: c for p, c in d.case.commit_files(name).items() if c is not None}
            diff = "\n".join("+" + line for text in files.values() for line in text.splitlines())
            found = identified(d.case, [("candidate-1", diff)])["candidate-1"]
            assert d.case.commit_files(found) == d.case.commit_files(name) or d.case.names[found] == CHEAT


def test_cheats_that_are_out_by_content_show_it(pool: list[Drawn]) -> None:
    """What computed evidence takes for tampering, the border finds in what these cheats write, and in no honest one."""
    for n, d in enumerate([*pool, *fresh(), *held()]):
        for c in (c for c in d.case.candidates if n % 10 == 0 or c.name in d.cheats):
            grave = any(t.grave for path, text in c.files.items() for t in tells(path.encode(), text.encode()))
            how = d.cheats.get(c.name, "")
            assert grave == (how in TAMPERS - {"deletes", "skips"} or how in ("exits", "report")), (d.case.id, c.name)


def test_who_knows_the_right_tests_closes_nearly_all_of_the_gap(pool: list[Drawn]) -> None:
    """The evidence is there to be weighed: the pool is hard, not hopeless. Who takes the first gains nothing."""
    some = [d for d in pool if not d.case.mirror][::4]
    runs = [computed.observed(d, Rigor.L2, POLICY, patient=True) for d in some]
    knowing = [choice(r, choosers.knowing(frozenset(r.true)), POLICY) for r in runs]
    assert score.score(knowing).gap > 0.8
    assert score.score([choice(r, choosers.first, POLICY) for r in runs]).gap < 0.4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "mallory"}, "candidates are called dev-1, dev-2"),
        ({"label": "fine"}, "no label fine"),
        ({"findings": (Finding(of="dev-9", claim="no", path="t.py", content=""),)}, "a finding is about dev-9"),
    ],
)
def test_a_case_that_cannot_be_played_says_why(
    pool: list[Drawn], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """A pool of somebody else's is refused before anything is run, with the reason."""
    case = next(d.case for d in pool if len(d.case.candidates) == 2)
    first, second = case.candidates
    changed = (msgspec.structs.replace(first, **change), second)
    cases.write(msgspec.structs.replace(case, candidates=changed, splits=()), tmp_path)
    with pytest.raises(ValueError, match=said):
        cases.read(tmp_path)
