"""Agents and councils: the fold, and the guards before it."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel.errors import BrokenChain, CallerError, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Event, Fact, Stored
from folkmoot.kernel.facts import AgentRegistered, AgentUnregistered, CouncilCreated, CouncilDeleted
from folkmoot.kernel.fleet import NO_LIMIT, AgentProfile, Council, lower
from folkmoot.kernel.registry import MAX_REGISTERED, Registry, advanced, changes, fold, require
from folkmoot.kernel.subjects import COUNCILS
from folkmoot.kernel.task import Budget, ModelChoice, Role

ANN = AgentProfile(name="ann", role=Role.QA, persona="breaker")
PAIR = Council(name="pair", role=Role.QA, agents=("ann", "qa-1"))


def register(agent: AgentProfile) -> AgentRegistered:
    return AgentRegistered(actor="ann", agent=agent)


def create(council: Council) -> CouncilCreated:
    return CouncilCreated(actor="ann", council=council)


def events(facts: Iterable[Fact]) -> list[Stored]:
    digest, found = "", []
    for seq, fact in enumerate(facts, start=1):
        event = Event(
            id=str(seq),
            source="/t",
            type=fact.type_name,
            subject=COUNCILS,
            time=datetime(2026, 1, 1, tzinfo=UTC),
            data=fact,
            prevdigest=digest,
        )
        digest = f"d{seq}"
        found.append(Stored(seq=seq, digest=digest, event=event))
    return found


def after(*facts: Fact) -> Registry:
    """Each under the guards, as a service would write it."""
    kept: list[Fact] = []
    for fact in facts:
        require(fold(SHIPPED, events(kept)), fact)
        kept.append(fact)
    return fold(SHIPPED, events(kept))


def test_every_role_has_a_council_from_the_start() -> None:
    """Nobody has to set anything up."""
    registry = fold(SHIPPED)
    for role in Role:
        council = registry.council("", role)
        assert council.default
        assert {registry.agents[name].role for name in council.agents} == {role}


def test_what_is_registered_can_sit() -> None:
    """Beside agents that ship."""
    registry = after(register(ANN), create(PAIR))
    assert registry.agents["ann"] == ANN
    assert registry.council("pair", Role.QA) == PAIR


def test_a_default_takes_the_place_of_the_one_before() -> None:
    """One council of each role sits for those who name none; deleting it brings the shipped one back."""
    mine = msgspec.structs.replace(PAIR, default=True)
    registry = after(register(ANN), create(mine))
    assert registry.council("", Role.QA).name == "pair"
    assert [n for n, c in registry.councils.items() if c.role is Role.QA and c.default] == ["pair"]
    registry = after(register(ANN), create(mine), CouncilDeleted(actor="ann", name="pair"))
    assert registry.council("", Role.QA).name == "qa"


def test_what_ships_can_be_changed_and_comes_back() -> None:
    """Under its own name; nothing that ships is ever lost."""
    other = AgentProfile(name="dev-1", role=Role.DEV, model=ModelChoice(url="http://h/v1", name="m"))
    assert after(register(other)).agents["dev-1"] == other
    back = after(register(other), AgentUnregistered(actor="ann", name="dev-1"))
    assert back.agents["dev-1"] == SHIPPED.agents["dev-1"]
    solo = Council(name="dev", role=Role.DEV, agents=("dev-3",))
    assert after(create(solo)).council("", Role.DEV).agents == ("dev-3",)
    assert after(create(solo), CouncilDeleted(actor="a", name="dev")).councils["dev"].agents[0] == "dev-1"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Ann"}, "agent.name"),
        ({"name": "a" * 41}, "agent.name"),
        ({"persona": "nobody"}, "agent.persona"),
        ({"instructions": "x" * 4_001}, "agent.instructions"),
        ({"instructions": "a\x00b"}, "agent.instructions"),
        ({"model": ModelChoice(url="ftp://h")}, "agent.model_url"),
        ({"model": ModelChoice(url="http://me:secret@h/v1")}, "agent.model_url"),
        ({"model": ModelChoice(name="m" * 201)}, "agent.model"),
        ({"temperature": 2.1}, "agent.temperature"),
        ({"temperature": float("nan")}, "agent.temperature"),
        ({"tools": ("submit", "root_shell")}, "agent.tools[1]"),
        ({"tools": ("submit", "submit")}, "agent.tools[1]"),
        ({"tools": ("read_file",)}, "agent.tools"),
        ({"role": Role.ARCHITECT, "tools": ("run", "submit")}, "agent.tools[0]"),
        ({"budget": Budget(steps=0)}, "agent.budget.steps"),
    ],
)
def test_a_wrong_profile_is_refused_by_field(change: dict[str, object], field: str) -> None:
    """Before it is written; the field is as the caller knows it."""
    with pytest.raises(InvalidInput) as refused:
        after(register(msgspec.structs.replace(ANN, **change)))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "a.b"}, "council.name"),
        ({"agents": ()}, "council.agents"),
        ({"agents": tuple(f"a-{n}" for n in range(17))}, "council.agents"),
        ({"agents": ("qa-1", "nobody")}, "council.agents[1]"),
        ({"agents": ("qa-1", "dev-1")}, "council.agents[1]"),
        ({"agents": ("qa-1", "qa-1")}, "council.agents[1]"),
        ({"description": "x" * 1_001}, "council.description"),
    ],
)
def test_a_wrong_council_is_refused_by_field(change: dict[str, object], field: str) -> None:
    """An agent that nobody knows, that is of another role, or that sits twice."""
    with pytest.raises(InvalidInput) as refused:
        after(register(ANN), create(msgspec.structs.replace(PAIR, **change)))
    assert refused.value.field == field


def test_guards_name_the_rule() -> None:
    """Who sits cannot go, nor change roles; what ships stays what it is."""
    sits = [register(ANN), create(PAIR)]
    with pytest.raises(FailedPrecondition, match="in_use: agent ann sits in pair"):
        after(*sits, AgentUnregistered(actor="a", name="ann"))
    with pytest.raises(FailedPrecondition, match="in_use"):
        after(*sits, register(msgspec.structs.replace(ANN, role=Role.DEV)))
    with pytest.raises(FailedPrecondition, match="shipped"):
        after(AgentUnregistered(actor="a", name="dev-1"))
    with pytest.raises(FailedPrecondition, match="shipped"):
        after(CouncilDeleted(actor="a", name="dev"))
    with pytest.raises(FailedPrecondition, match="shipped"):
        after(register(AgentProfile(name="dev-1", role=Role.QA)))
    with pytest.raises(NotFound):
        after(CouncilDeleted(actor="a", name="none"))


def test_there_is_an_end_to_it() -> None:
    """Each replacement is fine; one more is not."""
    full = Registry(shipped=SHIPPED, registered={f"a-{n}": ANN for n in range(MAX_REGISTERED)})
    require(full, register(msgspec.structs.replace(ANN, name="a-1")))
    with pytest.raises(FailedPrecondition, match="full"):
        require(full, register(ANN))


def test_the_same_again_makes_no_difference() -> None:
    """A repeated call writes nothing."""
    registry = after(register(ANN))
    assert not changes(registry, register(ANN))
    assert changes(registry, register(msgspec.structs.replace(ANN, temperature=0.1)))


def test_a_loss_is_seen() -> None:
    """The chain is checked."""
    with pytest.raises(BrokenChain):
        fold(SHIPPED, events([register(ANN), create(PAIR)])[1:])


def test_the_lower_limit_holds() -> None:
    """Of the agent's and the task's; what a profile does not name is the task's."""
    own = msgspec.structs.replace(NO_LIMIT, steps=5, wall_s=10_000.0)
    assert lower(Budget(steps=9, wall_s=60.0), own) == Budget(steps=5, wall_s=60.0)
    assert lower(Budget(), None) == Budget()


NAMES = st.sampled_from(["ann", "bob", "dev-1", "qa-1"])
COUNCIL_NAMES = st.sampled_from(["pair", "dev", "qa", "other"])
ROLES = st.sampled_from([Role.DEV, Role.QA])
FACTS = st.one_of(
    st.builds(register, st.builds(AgentProfile, name=NAMES, role=ROLES)),
    st.builds(AgentUnregistered, actor=st.just("a"), name=NAMES),
    st.builds(
        create,
        st.builds(
            Council,
            name=COUNCIL_NAMES,
            role=ROLES,
            agents=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
            default=st.booleans(),
        ),
    ),
    st.builds(CouncilDeleted, actor=st.just("a"), name=COUNCIL_NAMES),
)


@given(st.lists(FACTS, max_size=25))
def test_whatever_the_guards_let_pass_every_role_can_sit(wishes: list[Fact]) -> None:
    """After any sequence: one default for each role, and every council's agents exist and are of its role."""
    kept: list[Fact] = []
    for wish in wishes:
        registry = fold(SHIPPED, events(kept))
        try:
            require(registry, wish)
        except CallerError:
            continue
        kept.append(wish)
    registry = fold(SHIPPED, events(kept))
    for council in registry.councils.values():
        assert {registry.agents[name].role for name in council.agents} == {council.role}
    for role in Role:
        assert [c.default for c in registry.councils.values() if c.role is role].count(True) == 1


@given(st.lists(FACTS, max_size=25))
def test_the_fold_takes_whatever_the_log_holds(facts: list[Fact]) -> None:
    """Also what no guard of this version would have let pass; and folding in two steps is folding once."""
    stored = events(facts)
    whole, half = fold(SHIPPED, stored), len(stored) // 2
    assert advanced(fold(SHIPPED, stored[:half]), stored[half:]) == whole
    assert set(SHIPPED.councils) <= set(whole.councils)
    assert set(SHIPPED.agents) <= set(whole.agents)
