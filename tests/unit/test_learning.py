"""Numbers of one repository, from what was accepted and sent back there."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel.errors import Misconfigured
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import StoryAccepted, StoryPlanned, StorySentBack, TaskContinued, TaskDecided
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.kernel.jury import POLICY, Evidence, judge, policy_from
from folkmoot.kernel.jury.learning import NAMES, OF_WEIGHTS, Known, Tally, as_file, learned, named, outcomes, signs
from folkmoot.kernel.jury.policy import Policy, shipped_file
from folkmoot.orchestrator import policies
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import OrchestratorSettings
from tests.fixtures.jury import heard, proposal
from tests.fixtures.orchestrator import MODEL, parts

A, B = TaskId("t-a"), TaskId("t-b")
EXAMPLE = heard(("dev-1", "dev-2", "dev-3"), {"dev-1": ["FPFP"], "dev-2": ["FPPF"], "dev-3": ["PPPP"]})
"""dev-1 is chosen, and borne out by dev-2; dev-3's test tells nothing."""
CONTRADICTED = heard(("dev-1", "dev-2", "dev-3"), {"dev-1": ["FPFF"], "dev-2": ["FFPP"], "dev-3": ["FPFP"]})
"""dev-2's test is borne out by dev-3, and fails on dev-1; dev-3's own bears dev-1 out."""
HARMED = heard(("dev-1", "dev-2", "dev-3"), {"dev-1": ["FPFP"], "dev-2": ["FFPP"], "dev-3": ["FFPP"]})
"""Both others have a test that dev-1 fails."""
ALONE = heard(("dev-1",))


def decided(task: TaskId, state: str = "decided") -> TaskDecided:
    return TaskDecided(task_id=task, state=state, commit=CommitId("c") if state == "decided" else None)


def plan(*tasks: TaskId) -> StoryPlanned:
    return StoryPlanned(tasks=tasks, how="given")


BACK, TAKEN = StorySentBack(actor="ann", reason="no"), StoryAccepted(actor="ann")


@pytest.mark.parametrize(
    ("facts", "known"),
    [
        ((plan(A), decided(A), TAKEN), [(A, True)]),
        ((plan(A, B), decided(A), decided(B), TAKEN), [(A, True), (B, True)]),
        ((plan(A), decided(A), BACK), [(A, False)]),
        ((plan(A, B), decided(A), decided(B), BACK), []),
        ((plan(A), decided(A, "abstained"), BACK), []),
        ((plan(A), decided(A), BACK, plan(B), decided(B), TAKEN), [(A, False), (B, True)]),
        ((plan(A), decided(A, "abstained"), TaskContinued(task_id=B, continues=A), decided(B), TAKEN), [(B, True)]),
        ((plan(A), decided(A)), []),
    ],
)
def test_only_a_persons_word_says_what_was_right(facts: tuple[Fact, ...], known: list[tuple[TaskId, bool]]) -> None:
    """And of several tasks that were sent back together nobody knows which was wrong."""
    assert list(outcomes(facts)) == known


def case(evidence: Evidence, agent: str = "dev-1", *, right: bool = True) -> Known:
    return Known(evidence=evidence, chosen=proposal(agent), right=right)


def test_signs_are_counted_where_they_could_have_been() -> None:
    """A test that tells nothing bears nobody out; where nothing else speaks, base's tests do."""
    assert signs(case(EXAMPLE), POLICY) == {"first_check": (0, 1), "agree": (0, 1), "kept": (1, 1), "broken": (0, 1)}
    told = signs(case(CONTRADICTED), POLICY)
    assert (told["kept"], told["broken"]) == ((1, 2), (1, 2))
    assert signs(case(HARMED), POLICY)["broken"] == (2, 2)
    assert signs(case(ALONE), POLICY) == {"first_check": (0, 1), "guarded": (1, 1)}
    assert signs(case(ALONE, "dev-9"), POLICY) == {}


def numbers(policy: Policy) -> Mapping[str, float]:
    assert policy.weights is not None
    return {name: getattr(policy.weights if name in OF_WEIGHTS else policy, name) for name in NAMES}


def test_without_decisions_everything_is_as_it_ships() -> None:
    """Only the version is another one."""
    assert learned(POLICY, [], "3-x-0").policy == msgspec.structs.replace(POLICY, version="3-x-0")


def test_numbers_follow_what_became_known() -> None:
    """A sign on the right ones makes it weigh more, the same on wrong ones less; what nothing was seen of stays."""
    before = numbers(POLICY)
    told = numbers(learned(POLICY, [case(EXAMPLE)] * 10 + [case(HARMED, right=False)] * 10, "x").policy)
    assert told["kept"] > before["kept"]
    assert told["broken"] > before["broken"]
    misled = numbers(learned(POLICY, [case(EXAMPLE, right=False)] * 10 + [case(HARMED)] * 10, "x").policy)
    assert misled["kept"] < before["kept"]
    assert misled["broken"] < before["broken"]
    assert all(told[name] == before[name] for name in ("blind_kept", "repaired", "guarded"))


def test_without_a_contrast_nothing_is_learned_of_a_sign() -> None:
    """Where all decisions were right, that a sign is there says nothing of right and wrong; unless it is there so often
    that it cannot be rare on what is right."""
    seldom = learned(POLICY, [case(EXAMPLE)] * 98 + [case(HARMED)] * 2, "x").policy
    assert numbers(seldom) == numbers(POLICY)
    often = learned(POLICY, [case(HARMED)] * 50, "x").policy
    assert numbers(often)["broken"] < 2 < numbers(POLICY)["broken"]


def test_a_probability_is_the_share_of_the_right_ones() -> None:
    """With the number that ships as so many cases beside them: (20 x 0.61 + 8) / 30."""
    found = learned(POLICY, [case(ALONE)] * 8 + [case(ALONE, right=False)] * 2, "x", prior=20)
    assert found.policy.guarded == round(20.2 / 30, 3)
    assert found.tallies["guarded"] == Tally(right=8, of_right=8, wrong=2, of_wrong=2)


def test_what_the_choice_rests_on_is_not_learned() -> None:
    """Winners are chosen by it: that they win says nothing."""
    found = learned(POLICY, [case(EXAMPLE)] * 50, "x").policy
    assert found.weights is not None
    assert POLICY.weights is not None
    for name in ("own", "third", "blind", "against", "moved", "verdict", "contested"):
        assert getattr(found.weights, name) == getattr(POLICY.weights, name)
    assert [r.agent_id for r in judge(EXAMPLE, found).ranking] == [r.agent_id for r in judge(EXAMPLE).ranking]


CASES = st.lists(
    st.builds(case, st.sampled_from([EXAMPLE, CONTRADICTED, HARMED, ALONE]), right=st.booleans()), max_size=12
)


@given(CASES, st.randoms(use_true_random=False), st.floats(1, 1e6))
def test_the_order_does_not_matter_and_the_file_says_it_all(cases: list[Known], chance: object, prior: float) -> None:
    """Whoever reads the file back has the policy that was learned, and every number is one that a policy may have."""
    found = learned(POLICY, cases, "3-x", repository="/a \\ 'b' \"c\" é", prior=prior)
    chance.shuffle(cases)  # type: ignore[attr-defined]
    assert learned(POLICY, cases, "3-x", repository=found.policy.repository, prior=prior) == found
    text = as_file(shipped_file(POLICY.version), found, ["Of a test.", ""])
    assert policy_from(text.encode()) == found.policy
    assert text.count("# Learned: ") == len(found.tallies)


def test_a_file_tells_where_each_number_is_from() -> None:
    """What shipped, and what was counted, beside each other."""
    found = learned(POLICY, [case(EXAMPLE)] * 4, named("/srv/my shop.git/", "3", {True: 4}))
    text = as_file(shipped_file(POLICY.version), found, ["Learned from /srv/my shop.git."])
    assert text.startswith("# Learned from /srv/my shop.git.\n")
    assert 'version = "3-my-shop-4"\n' in text
    assert "# Learned: there on 4 of 4 right and 0 of 0 wrong; 1.15 as it ships.\nkept = " in text


# --- which one a task is decided by -------------------------------------------------------------------------------


def written(folder: Path, name: str, repository: str) -> None:
    found = learned(POLICY, [], name, repository=repository)
    (folder / f"{name}.toml").write_text(as_file(shipped_file(POLICY.version), found, []))


def test_a_repository_has_a_policy_of_its_own(tmp_path: Path) -> None:
    """And the others the one for all."""
    written(tmp_path, "3-shop-4", "/srv/shop")
    bus = MemoryBus(VirtualClock())
    councils = Councils(Fleet(bus.log, SHIPPED), MODEL)
    plain = parts(bus, VirtualClock(), councils, OrchestratorSettings())
    own = msgspec.structs.replace(plain, policies=policies.by_repository(str(tmp_path)))
    assert own.within("/srv/shop").policy.version == "3-shop-4"
    assert own.within("/srv/other").policy == plain.within("/srv/shop").policy == policies.of_all("") == POLICY


def test_a_folder_of_policies_is_read_strictly(tmp_path: Path) -> None:
    """Who decides by what must be clear before anything is decided."""
    assert policies.by_repository("") == {}
    with pytest.raises(Misconfigured, match="is no folder"):
        policies.by_repository(str(tmp_path / "none"))
    written(tmp_path, "a", "/srv/shop")
    written(tmp_path, "b", "/srv/shop")
    with pytest.raises(Misconfigured, match=r"b\.toml is the second policy for /srv/shop"):
        policies.by_repository(str(tmp_path))
    written(tmp_path, "b", "")
    with pytest.raises(Misconfigured, match="names no `repository`"):
        policies.by_repository(str(tmp_path))
    (tmp_path / "b.toml").write_text("version = 3")
    with pytest.raises(Misconfigured, match=r"b\.toml: "):
        policies.by_repository(str(tmp_path))
    with pytest.raises(Misconfigured, match=r"orchestrator\.policy: "):
        policies.of_all(str(tmp_path / "none.toml"))
