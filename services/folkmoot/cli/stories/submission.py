"""What a person writes to submit a story, and what a plan's file holds: strict, errors name the field."""

from pathlib import Path
from typing import Annotated

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as task_pb
from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli import documents, repository
from folkmoot.cli.fleet.values import Limits, limits_to_wire
from folkmoot.cli.stories.values import Plan, PlannedTask, plan_to_wire
from folkmoot.cli.text import headline
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.task import MAX_AGENTS

SINGLE, MODEL = "single", "model"


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A story's file."""

    text: str
    title: str = ""
    """The text's first line, unless given."""
    repository: str = ""
    """A URL, or a path from the file's folder; the repository that one stands in, unless given."""
    base: str = ""
    checks: tuple[str, ...] = ()
    agents: Annotated[int, msgspec.Meta(ge=0, le=MAX_AGENTS)] = 0
    rigor: str = ""
    model: str = ""
    model_url: str = ""
    workspace: str = ""
    role: str = ""
    council: str = ""
    budget: Limits | None = None
    max_agents: Annotated[int, msgspec.Meta(ge=0, le=MAX_AGENTS)] = 0
    superseded: tuple[str, ...] = ()
    """Ids of base's tests that the story makes wrong."""
    total: Limits | None = None
    """Of each of its tasks as a whole."""
    kind: str = ""
    """`change`, or `analysis`: it ends in a document."""
    plan: str | tuple[PlannedTask, ...] | Plan = SINGLE
    """`single`, `model`, or the tasks."""
    autopilot: bool | None = None
    """The platform approves the plan by itself; unless given, it does so unless a model makes the plan."""
    key: str = ""
    """The same key is the same story, for ever."""


def read(name: str) -> Submission:
    """The story in a file, its repository located. Raises InvalidInput naming the field."""
    told = documents.converted(documents.read(name), Submission)
    if not told.text.strip():
        raise InvalidInput("text", "is empty: say in a sentence or more what should be different")
    if isinstance(told.plan, str) and told.plan not in (SINGLE, MODEL):
        raise InvalidInput("plan", f"{told.plan!r} is neither `single` nor `model`, nor a list of tasks")
    return msgspec.structs.replace(told, repository=_located(told.repository, told.base, name))


_FIELDS = {"--repo": "repository", "--base": "base"}


def _located(repo: str, base: str, name: str) -> str:
    """A path in a file is meant from that file's folder, wherever one stands."""
    if repo and name != "-" and not repository.is_url(repo):
        repo = str((Path(name).expanduser().parent / Path(repo).expanduser()).resolve())
    try:
        located = repository.located(repo or ".")
        repository.require_commit(located, base)
    except InvalidInput as error:
        raise InvalidInput(_FIELDS[error.field], error.problem) from error
    return located


def read_plan(name: str) -> Plan:
    """The plan in a file: its tasks, or a mapping with `summary` and `tasks`. Raises InvalidInput."""
    return as_plan(documents.read(name))


def as_plan(document: object) -> Plan:
    if isinstance(document, list):
        document = {"tasks": document}
    return documents.converted(document, Plan)


def to_request(told: Submission, *, model: str, key: str, actor: str) -> pb.CreateStoryRequest:
    """`model` is the file's, or the only one at its URL."""
    plan = given(told)
    return pb.CreateStoryRequest(
        task=_task(told, model),
        idempotency_key=key,
        actor=actor,
        planning=pb.PLANNING_GIVEN if plan else pb.PLANNING_MODEL if told.plan == MODEL else pb.PLANNING_SINGLE,
        approval=_approval(told.autopilot),
        plan=plan_to_wire(plan) if plan else None,
    )


def given(told: Submission) -> Plan | None:
    """The plan that came with the story."""
    if isinstance(told.plan, tuple):
        return Plan(tasks=told.plan)
    return told.plan if isinstance(told.plan, Plan) else None


def _approval(autopilot: bool | None) -> pb.Approval.ValueType:
    if autopilot is None:
        return pb.APPROVAL_UNSPECIFIED
    return pb.APPROVAL_AUTOPILOT if autopilot else pb.APPROVAL_PERSON


def _task(told: Submission, model: str) -> task_pb.Task:
    return task_pb.Task(
        title=told.title or headline(told.text),
        text=told.text,
        repository=told.repository,
        base_ref=told.base,
        checks=told.checks,
        agents=told.agents,
        rigor=told.rigor,
        model_url=told.model_url,
        model=model,
        workspace=told.workspace,
        role=told.role,
        council=told.council,
        budget=limits_to_wire(told.budget),
        max_agents=told.max_agents,
        superseded=told.superseded,
        total=limits_to_wire(told.total),
        kind=told.kind,
    )


# --- a plan as a file --------------------------------------------------------------------------------------------

_HEAD = """\
# Revision {revision} of the plan of story {story}: {title}
# `after` names tasks that a task builds on; tasks that write the same paths need an order.
# Leave the file as it is, or empty, to change nothing.
"""


def plan_file(plan: Plan, story_id: str, title: str, revision: int) -> str:
    """YAML for people to edit, without what is empty; `read_plan` reads it back."""
    said = [msgspec.to_builtins(t).items() for t in plan.tasks]
    tasks = [{k: v for k, v in fields if v not in ("", [], ()) or k in ("name", "text")} for fields in said]
    head = _HEAD.format(revision=revision, story=story_id, title=headline(title))
    return head + documents.as_yaml({"summary": plan.summary, "tasks": tasks})
