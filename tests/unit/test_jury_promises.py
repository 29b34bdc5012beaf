"""What holds for all evidence, whatever it is."""

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.kernel.evidence import Exhibit, Outcome, Source, SuiteKind
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.jury import POLICY, Candidate, Evidence, Ruling, judge, standing
from tests.fixtures.jury import heard, later, probed

NAMES = ("dev-1", "dev-2", "dev-3", "dev-4")
WRITERS = ("tester-1", "tester-2")
FEW = settings(max_examples=80, deadline=None)


@st.composite
def fields(draw: st.DrawFn) -> Evidence:
    names = NAMES[: draw(st.integers(1, 4))]
    row = st.text("PPFFE", min_size=1 + len(names), max_size=1 + len(names))
    rows = st.lists(row, max_size=3)
    own = {n: draw(rows) for n in names}
    sealed = {w: draw(rows) for w in WRITERS if draw(st.booleans())}
    lines = {n: draw(st.integers(1, 3)) for n in names}
    given = st.text("AAB?", min_size=len(names), max_size=len(names))
    calls = {f"f({n})": row for n, row in enumerate(draw(st.lists(given, max_size=3)))}
    found = later(heard(names, own, sealed=sealed, lines=lines), *(n for n in names if draw(st.booleans())))
    return probed(found, calls) if calls else found


def tree_of(ruling: Ruling, evidence: Evidence) -> str | None:
    return next((c.admission.tree for c in evidence.candidates if c.admission.proposal_id == ruling.chosen), None)


def outcome(evidence: Evidence) -> tuple[Any, ...]:
    ruling = judge(evidence)
    return tree_of(ruling, evidence), ruling.confidence, ruling.decided_by


def with_cells(evidence: Evidence, exhibit: str, cells: dict[str, dict[str, Outcome]]) -> Evidence:
    """`evidence` with more tests in an exhibit: by subject, outcomes by test."""

    def more(runs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            msgspec.structs.replace(e, tests=e.tests | cells.get(e.subject, {}))
            if e.kind is SuiteKind.EXHIBIT and e.name == exhibit
            else e
            for e in runs
        )

    return msgspec.structs.replace(
        evidence,
        base=more(evidence.base),
        candidates=tuple(msgspec.structs.replace(c, examinations=more(c.examinations)) for c in evidence.candidates),
    )


def written(evidence: Evidence) -> list[Exhibit]:
    """By somebody with an opinion."""
    return [e for e in evidence.exhibits if e.source is not Source.PROBE]


def unprobed(evidence: Evidence) -> Evidence:
    def without(c: Candidate) -> Candidate:
        return msgspec.structs.replace(c, examinations=tuple(e for e in c.examinations if e.name != "probe-1"))

    others = tuple(map(without, evidence.candidates))
    return msgspec.structs.replace(evidence, exhibits=tuple(written(evidence)), candidates=others)


def subjects(evidence: Evidence) -> list[str]:
    return ["base", *(c.admission.proposal_id for c in evidence.candidates)]


@FEW
@given(fields(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_authors_and_tests_never_matters(evidence: Evidence, shuffler: random.Random) -> None:
    """Same evidence, same words, same standing."""

    def shuffled(things: Any) -> Any:
        return tuple(shuffler.sample(list(things), len(things)))

    def turned(c: Candidate) -> Candidate:
        runs = [msgspec.structs.replace(e, tests=dict(shuffled(e.tests.items()))) for e in c.examinations]
        return msgspec.structs.replace(c, examinations=shuffled(runs))

    other = msgspec.structs.replace(
        evidence,
        candidates=shuffled([turned(c) for c in evidence.candidates]),
        exhibits=shuffled(evidence.exhibits),
        base=shuffled(evidence.base),
    )
    assert judge(other) == judge(evidence)
    assert standing(other) == standing(evidence)


@FEW
@given(fields(), st.permutations(NAMES))
def test_names_never_matter(evidence: Evidence, names: list[str]) -> None:
    """Who is called what changes no choice and no confidence."""
    new = dict(zip(NAMES, names, strict=True))

    def renamed(text: str) -> str:
        agent, mark, tail = text.partition("-r")
        return new.get(agent, agent) + mark + tail

    def run(e: Any) -> Any:
        return msgspec.structs.replace(e, subject=renamed(e.subject))

    other = msgspec.structs.replace(
        evidence,
        candidates=tuple(
            Candidate(
                admission=msgspec.structs.replace(
                    c.admission,
                    proposal_id=ProposalId(renamed(c.admission.proposal_id)),
                    agent_id=AgentId(renamed(c.admission.agent_id)),
                ),
                examinations=tuple(map(run, c.examinations)),
            )
            for c in evidence.candidates
        ),
        exhibits=tuple(msgspec.structs.replace(e, author=AgentId(renamed(e.author))) for e in evidence.exhibits),
    )
    assert outcome(other) == outcome(evidence)


@FEW
@given(fields(), st.data())
def test_a_copy_changes_nothing(evidence: Evidence, data: st.DataObject) -> None:
    """The same change once more, with the same tests once more."""
    copied = data.draw(st.sampled_from(evidence.candidates))
    old = copied.admission.proposal_id
    new = ProposalId("dev-9-r" + old.rpartition("-r")[2])
    exhibits = [
        msgspec.structs.replace(e, exhibit_id="copy", author=AgentId("dev-9"))
        for e in evidence.exhibits
        if e.author == copied.admission.agent_id
    ]

    def doubled(runs: tuple[Any, ...]) -> tuple[Any, ...]:
        mine = {e.exhibit_id for e in evidence.exhibits if e.author == copied.admission.agent_id}
        return (*runs, *(msgspec.structs.replace(e, name="copy") for e in runs if e.name in mine))

    clone = Candidate(
        admission=msgspec.structs.replace(copied.admission, proposal_id=new, agent_id=AgentId("dev-9")),
        examinations=tuple(msgspec.structs.replace(e, subject=new) for e in copied.examinations),
    )
    assert clone.examinations[0].subject != old
    other = msgspec.structs.replace(
        evidence,
        exhibits=(*evidence.exhibits, *exhibits),
        base=doubled(evidence.base),
        candidates=tuple(
            msgspec.structs.replace(c, examinations=doubled(c.examinations)) for c in (*evidence.candidates, clone)
        ),
    )
    assert outcome(other)[:2] == outcome(evidence)[:2]


@FEW
@given(fields(), st.data())
def test_a_vacuous_test_changes_nothing(evidence: Evidence, data: st.DataObject) -> None:
    """What passes everywhere, base included, tells nothing."""
    exhibit = data.draw(st.sampled_from(written(evidence))).exhibit_id
    cells = {s: {"x::vacuous": Outcome.PASSED} for s in subjects(evidence)}
    assert outcome(with_cells(evidence, exhibit, cells)) == outcome(evidence)


@FEW
@given(fields(), st.data())
def test_more_tests_of_the_same_opinion_change_nothing(evidence: Evidence, data: st.DataObject) -> None:
    """Ten tests that say what one says are one."""
    exhibit = data.draw(st.sampled_from(written(evidence))).exhibit_id
    runs = [e for e in evidence.base if e.name == exhibit]
    runs += [e for c in evidence.candidates for e in c.examinations if e.name == exhibit]
    cells = {e.subject: {f"{t}-{n}": o for t, o in e.tests.items() for n in range(3)} for e in runs}
    assert outcome(with_cells(evidence, exhibit, cells)) == outcome(evidence)


@FEW
@given(fields(), st.data())
def test_tests_that_only_their_author_passes_never_raise_his_odds(evidence: Evidence, data: st.DataObject) -> None:
    """They have no weight: he is not likelier to be right, and who stood before him by evidence still does."""
    mine = data.draw(st.sampled_from(evidence.candidates)).admission
    exhibit = next(e.exhibit_id for e in evidence.exhibits if e.author == mine.agent_id)
    cells = {s: {"x::only": Outcome.PASSED if s == mine.proposal_id else Outcome.FAILED} for s in subjects(evidence)}
    before, after = judge(evidence), judge(with_cells(evidence, exhibit, cells))
    if after.chosen == mine.proposal_id:
        assert before.chosen is None or level(evidence, mine.proposal_id, before.chosen)
        assert after.confidence is not None
        assert after.confidence <= max(before.confidence or 0.0, alone(evidence, mine.proposal_id)) + 0.001


def level(evidence: Evidence, one: str, other: str) -> bool:
    """Evidence of others puts neither before the other."""
    ranks = {r.proposal_id: r.scores["duels"] for r in judge(evidence).ranking}
    return ranks[ProposalId(one)] == ranks[ProposalId(other)]


def alone(evidence: Evidence, mine: str) -> float:
    """What the jury would think of it, were it first."""
    return {r.proposal_id: r.scores["confidence"] for r in judge(evidence).ranking}[ProposalId(mine)]


@FEW
@given(fields())
def test_calls_that_all_answer_alike_change_nothing(evidence: Evidence) -> None:
    """Only differences tell something."""
    plain = unprobed(evidence)
    assert outcome(probed(plain, {"f(0)": "A" * len(evidence.candidates)})) == outcome(plain)


@FEW
@given(fields())
def test_an_answer_is_as_sure_as_its_rigor_asks(evidence: Evidence) -> None:
    """A winner is acceptable and passes the threshold; where there is none, something would settle it."""
    ruling, asked = judge(evidence), POLICY.profile[evidence.rigor].threshold
    if ruling.chosen:
        assert ruling.confidence is not None
        assert ruling.confidence >= asked - 0.001
        assert ruling.ranking[0].proposal_id == ruling.chosen
        assert not ruling.settle
    else:
        assert ruling.settle
    assert len(msgspec.json.encode(ruling)) < 48 * 1024
