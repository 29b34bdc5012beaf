"""Stories, plans and tasks between kernel and wire."""

from collections.abc import Sequence
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.kernel.course import Step
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import StoryAssessed, StoryCarriedOver
from folkmoot.kernel.ids import StoryId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, PlannedTask, Planning
from folkmoot.kernel.task import Role, TaskSpec
from folkmoot.kernel.wishes import Wish, as_one
from folkmoot.planning.listing import Unreadable
from folkmoot.runtime.grpc.results import spec_from_wire

_STATES = {state: pb.StoryState.Value(f"STORY_STATE_{state.name}") for state in StoryState}
_WISHES = {pb.StoryTransition.Value(f"STORY_TRANSITION_{wish.name}"): wish for wish in Wish}
_PLANNINGS = {planning: pb.Planning.Value(f"PLANNING_{planning.name}") for planning in Planning}


def spec_of(task: orchestrator.Task, story_id: StoryId, *, backend: str = "local") -> TaskSpec:
    """The story as one task. Raises InvalidInput naming the field."""
    if task.paths:
        raise InvalidInput("paths", "belong to the tasks of a plan; a story has none of its own")
    if task.continues:
        raise InvalidInput(
            "continues", "is for a task that is asked for directly (`moot continue`); a story is revised"
        )
    return spec_from_wire(task, as_one(story_id), story_id, backend=backend)


def wish_from_wire(transition: pb.StoryTransition.ValueType) -> Wish:
    """Raises InvalidInput."""
    wish = _WISHES.get(transition)
    if wish is None:
        known = ", ".join(wish.value for wish in Wish)
        raise InvalidInput("transition", f"must be one of {known}")
    return wish


def planning_from_wire(planning: pb.Planning.ValueType) -> Planning:
    """Unspecified is single. Raises InvalidInput."""
    if planning == pb.PLANNING_UNSPECIFIED:
        return Planning.SINGLE
    for known, number in _PLANNINGS.items():
        if number == planning:
            return known
    raise InvalidInput("planning", f"must be one of {', '.join(Planning)}")


def autopilot_from_wire(approval: pb.Approval.ValueType, planning: Planning) -> bool:
    """Unspecified: a person for a model's plan, and the autopilot otherwise. Raises InvalidInput."""
    match approval:
        case pb.APPROVAL_UNSPECIFIED:
            return planning is not Planning.MODEL
        case pb.APPROVAL_PERSON:
            return False
        case pb.APPROVAL_AUTOPILOT:
            return True
    raise InvalidInput("approval", "must be person or autopilot")


def plan_from_wire(plan: pb.Plan) -> Plan:
    """Raises InvalidInput for a role that there is not; what makes it sound is the kernel's affair."""
    return Plan(tasks=tuple(_planned_task(i, task) for i, task in enumerate(plan.tasks)), summary=plan.summary)


def _planned_task(index: int, task: pb.PlannedTask) -> PlannedTask:
    try:
        role = Role(task.role or Role.DEV)
    except ValueError as error:
        problem = f"{task.role[:80]!r} is none of {', '.join(Role)}"
        raise InvalidInput(f"plan.tasks[{index}].role", problem) from error
    return PlannedTask(
        name=task.name,
        title=task.title,
        text=task.text,
        role=role,
        council=task.council,
        paths=tuple(task.paths),
        checks=tuple(task.checks),
        after=tuple(task.after),
    )


def story_to_wire(story: Story) -> pb.Story:
    told = story.submitted
    created = Timestamp()
    created.FromDatetime(story.created_at.astimezone(UTC))
    result = story.result
    return pb.Story(
        story_id=story.story_id,
        title=story.title,
        state=_STATES[story.state],
        task_ids=story.tasks,
        created_at=created,
        reason=story.reason,
        text=story.text,
        checks=story.checks,
        repository=told.repository,
        base_ref=told.base_ref,
        planning=_PLANNINGS[told.planning],
        autopilot=told.autopilot,
        assessment=_assessment(story.assessed) if story.assessed else None,
        plan=_plan(story.planned.plan) if story.planned and story.planned.plan else None,
        round=story.round,
        problem=story.failed.reason if story.failed else "",
        result_commit=(story.commit(result) or "") if result else "",
        result_task_id=result or "",
        carried_from=told.carried_from,
        carried_into=story.word.into if isinstance(story.word, StoryCarriedOver) else "",
        usage=_usage(story),
        rigor=told.rigor,
        plan_revision=story.revision,
        superseded=story.superseded,
    )


def listed_to_wire(found: Story | Unreadable) -> pb.Story:
    if isinstance(found, Story):
        return story_to_wire(found)
    return pb.Story(story_id=found.story_id, state=pb.STORY_STATE_UNREADABLE, problem=found.reason)


def tasks_to_wire(story: Story) -> Sequence[pb.StoryTask]:
    """In the order in which they may run."""
    blocked = story.blocked()
    return [_task(story, step, blocked=step.task_id in blocked) for step in story.steps]


def _task(story: Story, step: Step, *, blocked: bool) -> pb.StoryTask:
    end = story.decided.get(step.task_id)
    return pb.StoryTask(
        task_id=step.task_id,
        task=_planned(step.task),
        state=_task_state(story, step, blocked=blocked),
        outcome=end.state if end else "",
        commit=story.commit(step.task_id) or "",
        reason=end.reason if end else "",
        continues=story.continued.get(step.task_id, ""),
    )


def _task_state(story: Story, step: Step, *, blocked: bool) -> pb.TaskState.ValueType:
    if step.task_id in story.decided:
        return pb.TASK_STATE_DECIDED
    if step.task_id in story.released:
        return pb.TASK_STATE_RELEASED
    return pb.TASK_STATE_BLOCKED if blocked else pb.TASK_STATE_WAITING


def _assessment(fact: StoryAssessed) -> pb.Assessment:
    said = fact.assessment
    return pb.Assessment(
        clarity=said.clarity,
        testability=said.testability,
        size=said.size,
        score=said.score,
        threshold=fact.threshold,
        summary=said.summary,
        missing_checks=said.missing_checks,
        questions=said.questions,
        superseded=[pb.SupersededTest(test=s.test, why=s.why) for s in said.superseded],
    )


def _plan(plan: Plan) -> pb.Plan:
    return pb.Plan(tasks=[_planned(task) for task in plan.tasks], summary=plan.summary)


def _planned(task: PlannedTask) -> pb.PlannedTask:
    return pb.PlannedTask(
        name=task.name,
        title=task.title,
        text=task.text,
        role=task.role,
        council=task.council,
        paths=task.paths,
        checks=task.checks,
        after=task.after,
    )


def _usage(story: Story) -> orchestrator.Usage:
    usage = story.usage
    return orchestrator.Usage(
        model_calls=usage.model_calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        wall_s=usage.wall_s,
    )
