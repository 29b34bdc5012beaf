"""What a person may do with a story, as the facts to append. Pure."""

import hashlib
from enum import StrEnum

import msgspec

from folkmoot.kernel import ids
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import (
    PlanApproved,
    StoryAccepted,
    StoryCancelled,
    StoryCarriedOver,
    StoryRevised,
    StorySentBack,
)
from folkmoot.kernel.facts import StorySubmitted as Submitted
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import Story, Word, check
from folkmoot.kernel.plan import Plan, Planning, united
from folkmoot.kernel.task import MAX_SPEC_BYTES, MAX_TEXT_CHARS, TaskSpec, digest, validated

MAX_REASON_CHARS = 4_000
MAX_SUBMITTED_BYTES = 60 * 1024
"""Of a story with its plan, as JSON: it is one event."""


class Wish(StrEnum):
    """What a person may do with a story."""

    ACCEPT = "accept"
    SEND_BACK = "send_back"
    CANCEL = "cancel"
    REVISE = "revise"
    CARRY_OVER = "carry_over"


def spoken(story: Story, wish: Wish, *, actor: str, reason: str = "") -> Word:
    """The fact for a wish that needs no more than a reason.

    Raises FailedPrecondition naming the guard, InvalidInput when a story is sent back without a reason.
    """
    checked_reason(reason, required=wish is Wish.SEND_BACK)
    fact = _word(story, wish, actor, reason)
    check(story, fact)
    return fact


def _word(story: Story, wish: Wish, actor: str, reason: str) -> Word:
    match wish:
        case Wish.ACCEPT:
            return StoryAccepted(actor=actor, reason=reason)
        case Wish.SEND_BACK:
            return StorySentBack(actor=actor, reason=reason)
        case Wish.CANCEL:
            return StoryCancelled(actor=actor, reason=reason)
        case Wish.CARRY_OVER:
            return StoryCarriedOver(actor=actor, reason=reason, into=successor_id(story.story_id))
        case Wish.REVISE:
            raise InvalidInput("transition", "revising takes a text, a title or checks")


def checked_reason(reason: str, *, required: bool) -> str:
    """Raises InvalidInput."""
    if required and not reason.strip():
        raise InvalidInput("reason", "is empty: say what is wrong, for whoever tries again")
    if len(reason) > MAX_REASON_CHARS:
        raise InvalidInput("reason", f"{len(reason)} characters; at most {MAX_REASON_CHARS}")
    return reason


def revision(
    story: Story,
    *,
    actor: str,
    reason: str = "",
    title: str = "",
    text: str = "",
    checks: tuple[str, ...] = (),
    superseded: tuple[str, ...] = (),
    gating: tuple[str, ...] = (),
) -> StoryRevised:
    """Empty fields stay as they are; checks and superseded tests are added, but what is `gating` is superseded no more.
    Raises FailedPrecondition, InvalidInput."""
    if not (title or text or checks or superseded or gating):
        raise InvalidInput("text", "nothing is revised: give a text, a title, checks or superseded tests")
    _back(story, superseded, gating)
    fact = StoryRevised(
        actor=actor,
        title=title or story.title,
        text=text or story.text,
        checks=united(story.checks, checks),
        reason=checked_reason(reason, required=False),
        superseded=superseded,
        gating=gating,
    )
    check(story, fact)
    told = {"title": fact.title, "text": fact.text, "checks": fact.checks}
    validated(msgspec.structs.replace(inherited(story), **told, superseded=united(story.superseded, superseded)))
    return fact


def _back(story: Story, superseded: tuple[str, ...], gating: tuple[str, ...]) -> None:
    """Raises InvalidInput naming the first of `gating` that gates anyway, or is to be both."""
    for i, test in enumerate(gating):
        if test not in story.superseded:
            raise InvalidInput(f"gating[{i}]", f"{test[:200]!r} is not superseded")
        if test in superseded:
            raise InvalidInput(f"gating[{i}]", f"{test[:200]!r} is superseded in the same breath")


def approval(story: Story, *, actor: str, reason: str = "", superseded: tuple[str, ...] = ()) -> PlanApproved:
    """With the tests of base that the person confirms as superseded. Raises FailedPrecondition, InvalidInput."""
    fact = PlanApproved(actor=actor, reason=checked_reason(reason, required=False), superseded=superseded)
    check(story, fact)
    validated(msgspec.structs.replace(inherited(story), superseded=united(story.superseded, superseded)))
    return fact


def as_one(story_id: StoryId) -> TaskId:
    """Names the story as one task; part of the digest that tells a repeated submission."""
    return TaskId(ids.derived("t", story_id, "1"))


def inherited(story: Story) -> TaskSpec:
    """The story as one task: what its tasks take over unless the plan says otherwise."""
    return _as_task(story, story.story_id, story.text)


def _as_task(story: Story, story_id: StoryId, text: str) -> TaskSpec:
    told = story.submitted
    return TaskSpec(
        task_id=as_one(story_id),
        story_id=story_id,
        title=story.title,
        text=text,
        checks=story.checks,
        repository=told.repository,
        base_ref=told.base_ref,
        agents=told.agents,
        rigor=told.rigor,
        model=told.model,
        workspace=told.workspace,
        budget=told.budget,
        role=told.role,
        council=told.council,
        max_agents=told.max_agents,
        superseded=story.superseded,
        total=told.total,
        kind=told.kind,
    )


def submission(
    spec: TaskSpec,
    *,
    actor: str,
    planning: Planning = Planning.SINGLE,
    autopilot: bool = True,
    plan: Plan | None = None,
    carried_from: StoryId = StoryId(""),  # noqa: B008 -- a string
) -> Submitted:
    """`spec` is the story as one task."""
    return Submitted(
        actor=actor,
        title=spec.title,
        text=spec.text,
        repository=spec.repository,
        base_ref=spec.base_ref,
        checks=spec.checks,
        agents=spec.agents,
        rigor=spec.rigor,
        model=spec.model,
        workspace=spec.workspace,
        budget=spec.budget,
        digest=_digest(spec, planning, autopilot=autopilot, plan=plan),
        planning=planning,
        autopilot=autopilot,
        plan=plan,
        role=spec.role,
        council=spec.council,
        carried_from=carried_from,
        max_agents=spec.max_agents,
        superseded=spec.superseded,
        total=spec.total,
        kind=spec.kind,
    )


def fitting(fact: Submitted) -> Submitted:
    """`fact`, if it fits into its event. Raises InvalidInput."""
    size = len(msgspec.json.encode(fact))
    if size > MAX_SUBMITTED_BYTES:
        raise InvalidInput("plan", f"with the story's text it takes {size} bytes; at most {MAX_SUBMITTED_BYTES}")
    return fact


def _digest(spec: TaskSpec, planning: Planning, *, autopilot: bool, plan: Plan | None) -> str:
    """Of all that was asked. What could be asked before there were plans keeps the digest that it had."""
    if planning is Planning.SINGLE and autopilot:
        return digest(spec)
    whole = msgspec.json.encode([digest(spec), planning, autopilot, plan], order="deterministic")
    return hashlib.sha256(whole).hexdigest()


# --- carrying over -----------------------------------------------------------------------------------------------


def successor_id(story_id: StoryId) -> StoryId:
    """Of the story that goes on with `story_id`: there is one."""
    return StoryId(ids.derived("s", story_id, "carried over"))


def successor(story: Story, word: StoryCarriedOver) -> Submitted:
    """How the next story begins. Where a person gave the plan, a person looks at it before it runs again."""
    lines = [f"Carried over from story {story.story_id}.", word.reason, *story.told, *_left(story)]
    text = "\n\n".join([story.text, *(line for line in lines if line.strip())])
    text = text[: max(len(story.text), MAX_TEXT_CHARS)]
    while len(text) > len(story.text) and not _fits(_following(story, word, text)):
        text = text[: max(len(story.text), len(text) - 500)]
    return _following(story, word, text)


def _following(story: Story, word: StoryCarriedOver, text: str) -> Submitted:
    told = story.submitted
    return submission(
        _as_task(story, word.into, text),
        actor=word.actor,
        planning=told.planning,
        autopilot=told.autopilot and told.planning is not Planning.GIVEN,
        plan=told.plan,
        carried_from=story.story_id,
    )


def _fits(fact: Submitted) -> bool:
    size = len(msgspec.json.encode(fact))
    return size <= (MAX_SPEC_BYTES if fact.plan is None else MAX_SUBMITTED_BYTES)


def _left(story: Story) -> list[str]:
    """A line for each task of the last plan: what it came to."""
    return [f"Task {step.task.title!r}: {_came_to(story, step.task_id)}" for step in story.steps]


def _came_to(story: Story, task: TaskId) -> str:
    end = story.decided.get(task)
    if end is None:
        return "was not begun"
    return f"{end.state}: {end.reason}" if end.reason else end.state
