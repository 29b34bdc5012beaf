"""Stories: their states, assessments, plans, tasks and what people said of them.

A task's own log alone writes its properties: here it is only pointed to.
"""

from collections.abc import Mapping

from folkmoot.context.projection.nodes import NOTHING, both, lines, linked, node, repository_key, story, task
from folkmoot.kernel.events import Stored, timestamp
from folkmoot.kernel.facts import (
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryAccepted,
    StoryAssessed,
    StoryCancelled,
    StoryCarriedOver,
    StoryPlanned,
    StoryRevised,
    StorySentBack,
    StorySubmitted,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId
from folkmoot.kernel.plan import Plan, PlannedTask
from folkmoot.runtime.graph.port import Change, Node

PARTS = ("assessment:{}/", "plan:{}/", "reason:{}/")
"""Ids of the nodes that belong to one story alone."""

Spoken = StoryAccepted | StorySentBack | StoryCancelled | StoryCarriedOver | PlanRejected | StoryRevised


def change(story_id: StoryId, stored: Stored, known: Mapping[str, str]) -> Change:
    """`known` holds the properties of the story's node so far."""
    fact = stored.event.data
    match fact:
        case StorySubmitted():
            return _submitted(story_id, fact, timestamp(stored.event.time))
        case StoryAssessed():
            return _assessed(story_id, fact, stored.seq, known)
        case StoryPlanned():
            return _planned(story_id, fact, stored.seq)
        case PlanApproved():
            return _approved(story_id, fact, known)
        case StepFailed():
            return Change(nodes=(story(story_id, problem=f"{fact.step}: {fact.reason}"),))
        case TaskReleased() | TaskContinued() | TaskDecided():
            return _went_on(story_id, fact, known)
    if isinstance(fact, Spoken):
        return both(_said(story_id, fact, stored.seq, known), _after_word(story_id, fact, known))
    return NOTHING


def _submitted(story_id: StoryId, fact: StorySubmitted, created_at: str) -> Change:
    new = story(
        story_id,
        state="submitted",
        title=fact.title,
        text=fact.text,
        checks=lines(fact.checks),
        repository=repository_key(fact.repository),
        base_ref=fact.base_ref,
        rigor=fact.rigor,
        planning=fact.planning,
        autopilot=str(fact.autopilot).lower(),
        role=fact.role,
        council=fact.council,
        actor=fact.actor,
        created_at=created_at,
    )
    before = [story(fact.carried_from)] if fact.carried_from else []
    return linked(new, "GOES_ON_WITH", *before)


def _assessed(story_id: StoryId, fact: StoryAssessed, seq: int, known: Mapping[str, str]) -> Change:
    said = fact.assessment
    assessment = node(
        f"assessment:{story_id}/{seq}",
        "Assessment",
        score=str(said.score),
        clarity=str(said.clarity),
        testability=str(said.testability),
        size=str(said.size),
        threshold=str(fact.threshold),
        summary=said.summary,
        missing_checks=lines(said.missing_checks),
        questions=lines(said.questions),
        model=fact.model,
        actor=fact.actor,
    )
    state = "assessed" if known.get("state", "submitted") == "submitted" else known["state"]
    return linked(story(story_id, state=state, score=str(said.score), problem=""), "ASSESSED_AS", assessment)


# --- plans ---------------------------------------------------------------------------------------------------------


def _planned(story_id: StoryId, fact: StoryPlanned, seq: int) -> Change:
    """A plan of a log that is older than plans counts as approved."""
    plan_id = f"plan:{story_id}/{seq}"
    state = "proposed" if fact.plan else "approved"
    content = fact.plan or Plan(tasks=())
    plan = node(
        plan_id,
        "Plan",
        state=state,
        how=fact.how,
        summary=content.summary,
        tasks=lines(map(_line, content.tasks)),
        model=fact.model,
        actor=fact.actor,
    )
    now = {"state": "planned" if fact.plan else "approved", "plan": plan_id, "how": fact.how, "problem": ""}
    current = story(story_id, **now, released="0", decided="0")
    steps = [_step(plan_id, planned) for planned in content.tasks]
    return both(
        linked(current, "HAS_PLAN", plan),
        linked(current, "PLANNED", *(task(t) for t in fact.tasks)),
        linked(plan, "HOLDS", *steps),
        *(_in_order(plan_id, planned, content) for planned in content.tasks),
    )


def _step(plan_id: str, planned: PlannedTask) -> Node:
    return node(
        f"{plan_id}/{planned.name}",
        "Step",
        name=planned.name,
        title=planned.title,
        text=planned.text,
        role=planned.role,
        council=planned.council,
        paths=lines(planned.paths),
        checks=lines(planned.checks),
    )


def _in_order(plan_id: str, planned: PlannedTask, plan: Plan) -> Change:
    """The steps that one comes after, and the task that it became."""
    step = _step(plan_id, planned)
    before = [_step(plan_id, other) for other in plan.tasks if other.name in planned.after]
    became = [task(plan.ids[planned.name])] if planned.name in plan.ids else []
    return both(linked(step, "AFTER", *before), linked(step, "BECAME", *became))


def _line(planned: PlannedTask) -> str:
    """One task of a plan, for people and models."""
    after = f" (after {', '.join(planned.after)})" if planned.after else ""
    return f"{planned.name}: {planned.title}{after}"


def _approved(story_id: StoryId, fact: PlanApproved, known: Mapping[str, str]) -> Change:
    round_ = str(int(known.get("round", "0")) + 1)
    plan = _plan(known, state="approved", said_by=fact.actor, automatic=str(fact.automatic).lower(), round=round_)
    return Change(nodes=(story(story_id, state="approved", round=round_), *plan))


def _plan(known: Mapping[str, str], **properties: str) -> tuple[Node, ...]:
    """The story's plan as it is now; none where it has none."""
    return (node(known["plan"], "Plan", **properties),) if known.get("plan") else ()


def _went_on(story_id: StoryId, fact: TaskReleased | TaskContinued | TaskDecided, known: Mapping[str, str]) -> Change:
    """Decided, when nothing runs; a further release takes that back."""
    released, decided = int(known.get("released", "0")), int(known.get("decided", "0"))
    if not isinstance(fact, TaskDecided):
        current = story(story_id, state="released", released=str(released + 1))
        return linked(current, "RELEASED", task(fact.spec.task_id if isinstance(fact, TaskReleased) else fact.task_id))
    state = "decided" if decided + 1 >= released else "released"
    return linked(story(story_id, state=state, decided=str(decided + 1)), "DECIDED", task(fact.task_id))


# --- what people said ----------------------------------------------------------------------------------------------


def _said(story_id: StoryId, fact: Spoken, seq: int, known: Mapping[str, str]) -> Change:
    """Reasons are nodes of their own: the next plan, and the next story on the same files, should know them."""
    if not fact.reason.strip():
        return NOTHING
    word = fact.type_name.split(".")[-2].replace("-", "_")
    round_ = known.get("round", "0")
    reason = node(f"reason:{story_id}/{seq}", "Reason", word=word, text=fact.reason, actor=fact.actor, round=round_)
    return linked(story(story_id), "TOLD", reason)


def _after_word(story_id: StoryId, fact: Spoken, known: Mapping[str, str]) -> Change:
    match fact:
        case StoryRevised():
            now = {"state": "submitted", "score": "", "plan": "", "problem": ""}
            asked = {"title": fact.title, "text": fact.text, "checks": lines(fact.checks)}
            return Change(nodes=(story(story_id, **now, **asked),))
        case PlanRejected():
            state = "assessed" if known.get("score") else "submitted"
            rejected = _plan(known, state="rejected", said_by=fact.actor, reason=fact.reason)
            return Change(nodes=(story(story_id, state=state, plan=""), *rejected))
        case StoryCarriedOver():
            return linked(_ended(story_id, "carried_over", fact), "CARRIED_INTO", story(fact.into))
        case StoryAccepted():
            return Change(nodes=(_ended(story_id, "accepted", fact),))
        case StorySentBack():
            return Change(nodes=(_ended(story_id, "sent_back", fact),))
        case StoryCancelled():
            return Change(nodes=(_ended(story_id, "cancelled", fact),))


def _ended(story_id: StoryId, state: str, fact: Spoken) -> Node:
    return story(story_id, state=state, said_by=fact.actor, reason=fact.reason)
