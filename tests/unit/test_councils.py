"""Who sits for a task."""

import msgspec
import pytest

from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.registry import Registry, fold
from folkmoot.kernel.task import Budget, ModelChoice, Role, TaskSpec
from folkmoot.orchestrator.councils import helper_seats, seated
from folkmoot.runtime.settings import ModelSettings

SPEC = TaskSpec(task_id=TaskId("t-1"), title="Add it", text="Please.", repository="/repo", agents=3)
MODEL = ModelSettings(url="http://configured/v1", name="configured")
OWN = AgentProfile(
    name="own",
    role=Role.DEV,
    persona="sceptic",
    instructions="Be brief.",
    model=ModelChoice(url="http://own/v1", name="own"),
    temperature=0.1,
    tools=("read_file", "submit"),
    budget=Budget(steps=5),
)


def registry(*agents: AgentProfile, **councils: tuple[str, ...]) -> Registry:
    created = {name: Council(name=name, role=Role.DEV, agents=names) for name, names in councils.items()}
    return msgspec.structs.replace(fold(SHIPPED), registered={a.name: a for a in agents}, created=created)


def spec(**changes: object) -> TaskSpec:
    return msgspec.structs.replace(SPEC, **changes)


def test_a_task_that_names_nobody_gets_its_roles_default() -> None:
    """As many seats as it asks for, which differ in persona."""
    found = seated(spec(role=Role.QA), fold(SHIPPED), MODEL)
    assert found.council == "qa"
    assert [s.agent_id for s in found.seats] == ["qa-1", "qa-2", "qa-3"]
    assert len({s.persona for s in found.seats}) == 3
    assert {s.role for s in found.seats} == {"QA"}


def test_a_profile_is_seated_whole() -> None:
    """All that it says goes with its seat."""
    (seat,) = seated(spec(agents=1, council="c"), registry(OWN, c=("own",)), MODEL).seats
    assert (seat.agent_id, seat.role, seat.persona, seat.instructions) == ("own", "DEV", "sceptic", "Be brief.")
    assert (seat.temperature, seat.tools, seat.budget) == (0.1, OWN.tools, OWN.budget)
    assert seat.model == OWN.model


def test_more_seats_than_agents_begin_again() -> None:
    """Each with a name of its own, also where the council has that name already."""
    twin = msgspec.structs.replace(OWN, name="own-2", instructions="")
    seats = seated(spec(agents=6, council="c"), registry(OWN, twin, c=("own", "own-2")), MODEL).seats
    assert [s.agent_id for s in seats] == ["own", "own-2", "own-3", "own-2-2", "own-4", "own-2-3"]
    assert [s.instructions for s in seats] == ["Be brief.", "", "Be brief.", "", "Be brief.", ""]


@pytest.mark.parametrize(
    ("own", "asked", "model"),
    [
        (ModelChoice(), ModelChoice(), ModelChoice(url="http://configured/v1", name="configured")),
        (ModelChoice(), ModelChoice(url="http://t/v1", name="t"), ModelChoice(url="http://t/v1", name="t")),
        (ModelChoice(name="o"), ModelChoice(url="http://t/v1", name="t"), ModelChoice(url="http://t/v1", name="o")),
        (OWN.model, ModelChoice(url="http://t/v1", name="t"), OWN.model),
    ],
)
def test_an_agents_own_model_goes_before_the_tasks(own: ModelChoice, asked: ModelChoice, model: ModelChoice) -> None:
    """And that before the configured one, field by field."""
    agent = msgspec.structs.replace(OWN, model=own)
    (seat,) = seated(spec(agents=1, council="c", model=asked), registry(agent, c=("own",)), MODEL).seats
    assert seat.model == model


def test_without_a_model_it_says_how_to_name_one() -> None:
    """Unless every agent has its own."""
    with pytest.raises(InvalidInput, match=r"model_url: .*FOLKMOOT_MODEL_URL"):
        seated(SPEC, fold(SHIPPED), ModelSettings())
    with pytest.raises(InvalidInput, match=r"model: .*FOLKMOOT_MODEL_NAME"):
        seated(SPEC, fold(SHIPPED), ModelSettings(url="http://h/v1"))
    assert seated(spec(agents=2, council="c"), registry(OWN, c=("own",)), ModelSettings()).council == "c"


def test_a_council_that_cannot_sit_is_refused() -> None:
    """Unknown, of another role, or with an agent that is gone; always by the field that the caller set."""
    for task, words in [
        (spec(council="none"), "there is no council 'none'"),
        (spec(council="qa"), "'qa' sits for QA, and the task wants DEV"),
        (spec(council="c"), "c names 'gone'"),
    ]:
        with pytest.raises(InvalidInput, match=words) as refused:
            seated(task, registry(OWN, c=("own", "gone")), MODEL)
        assert refused.value.field == "council"


def test_more_words_than_one_event_holds_are_refused() -> None:
    """Seats stand in one event: too many of a talkative agent do not fit, some do."""
    wordy = msgspec.structs.replace(OWN, instructions="字" * 4_000)
    assert len(seated(spec(agents=3, council="c"), registry(wordy, c=("own",)), MODEL).seats) == 3
    with pytest.raises(InvalidInput, match="agents: 16 seats of c"):
        seated(spec(agents=16, council="c"), registry(wordy, c=("own",)), MODEL)


# --- helpers -----------------------------------------------------------------------------------------------------


def test_helpers_sit_beside_any_council() -> None:
    """As many as are asked for; more writers than there are profiles take turns."""
    seats = helper_seats(spec(role=Role.DATA), fold(SHIPPED), MODEL, sealed=3, split=1, judge=True)
    assert [s.agent_id for s in seats] == ["tester-1", "tester-2", "tester-3", "splitter-1", "judge-1"]
    assert {s.role for s in seats} == {"QA"}
    assert (seats[0].persona, seats[2].persona) == ("contract", "contract")
    assert {s.model for s in seats} == {ModelChoice(url="http://configured/v1", name="configured")}
    assert helper_seats(SPEC, fold(SHIPPED), MODEL, sealed=0, split=0, judge=False) == ()


def test_a_helper_never_has_an_authors_name() -> None:
    """A council may have an agent of that name, or come to one when it seats more."""
    tester = msgspec.structs.replace(OWN, name="tester")
    known = registry(tester, msgspec.structs.replace(OWN, name="judge-1"), c=("tester", "judge-1"))
    task = spec(council="c", agents=2, max_agents=5)
    authors = seated(spec(council="c", agents=5), known, MODEL).seats
    helpers = helper_seats(task, known, MODEL, sealed=2, split=0, judge=True)
    assert not {s.agent_id for s in authors} & {s.agent_id for s in helpers}
    assert len({s.agent_id for s in helpers}) == 3


def test_the_judge_has_a_model_that_wrote_nothing_where_there_is_one() -> None:
    """His own first; else one that the registry knows of another agent; else the task's."""
    here, there = (
        ModelChoice(url="http://configured/v1", name="configured"),
        ModelChoice(url="http://own/v1", name="own"),
    )
    rival = AgentProfile(name="rival", role=Role.QA, model=there)
    named = AgentProfile(name="judge-1", role=Role.QA, model=ModelChoice(name="special"))

    def judge(*agents: AgentProfile, council: str = "") -> ModelChoice:
        known = registry(*agents, c=("own",))
        (seat,) = helper_seats(spec(council=council), known, MODEL, sealed=0, split=0, judge=True)
        return seat.model

    assert judge(OWN) == there
    assert judge(OWN, council="c") == here
    assert judge(OWN, rival, named) == ModelChoice(url="http://configured/v1", name="special")
    assert helper_seats(SPEC, fold(SHIPPED), MODEL, sealed=0, split=0, judge=True)[0].model == here


def test_helpers_are_counted_with_the_seats() -> None:
    """All of them stand in one event."""
    wordy = [AgentProfile(name=name, role=Role.QA, instructions="字" * 4_000) for name in ("tester-1", "tester-2")]
    own = msgspec.structs.replace(OWN, instructions="字" * 4_000)
    known = registry(own, *wordy, c=("own",))
    assert helper_seats(spec(council="c", agents=1), known, MODEL, sealed=2, split=0, judge=False)
    with pytest.raises(InvalidInput, match="agents: 3 seats of c"):
        helper_seats(spec(council="c", agents=3), known, MODEL, sealed=2, split=0, judge=False)
