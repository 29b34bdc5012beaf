"""A task that goes on with an earlier one's candidates: what it takes over, and what may be said anew. Pure."""

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.plan import united
from folkmoot.kernel.protocol import SPENT
from folkmoot.kernel.replay import EARLY, UNEXAMINED
from folkmoot.kernel.result import State
from folkmoot.kernel.task import ModelChoice, TaskSpec, validated
from folkmoot.runtime.grpc.results import budget_from_wire, rigor_from_wire, total_from_wire

_ITS_OWN = (
    "title",
    "text",
    "repository",
    "base_ref",
    "agents",
    "workspace",
    "role",
    "council",
    "paths",
    "max_agents",
    "kind",
)
"""Of the earlier task: other candidates would be asked for, or other work."""
_NEWS = ("checks", "superseded", "model", "budget", "total")
_NEEDED = "give a further check, a superseded test, more rigor, another model or other limits"


def continued(earlier: Deliberation, task: pb.Task, task_id: TaskId, story_id: StoryId) -> TaskSpec:
    """`earlier`'s task from the same commit, with further checks and superseded tests, and what `task` says of rigor,
    model and limits. `story_id`: of the story in which it takes the place of `earlier`; empty where none waits for it.

    Raises FailedPrecondition (`running`, `no_candidates`), InvalidInput naming the field, also where nothing is new.
    """
    base = _candidates_base(earlier)
    old = earlier.spec
    spec = msgspec.structs.replace(
        old,
        task_id=task_id,
        story_id=story_id,
        base_ref=base.origin or base.commit,
        checks=united(old.checks, task.checks),
        superseded=united(old.superseded, task.superseded),
        rigor=rigor_from_wire(task.rigor) if task.rigor else old.rigor,
        model=ModelChoice(url=task.model_url or old.model.url, name=task.model or old.model.name),
        budget=budget_from_wire(task.budget, old.budget),
        total=total_from_wire(task) or old.total,
        max_agents=0,
        continues=old.task_id,
    )
    _require_same(task, old, spec)
    _require_news(earlier, spec)
    return validated(spec)


def _candidates_base(earlier: Deliberation) -> PreparedBase:
    if not earlier.end:
        raise FailedPrecondition("running", f"task {earlier.task_id} has not ended: it is {earlier.state}")
    if earlier.base is None or not earlier.admissions:
        raise FailedPrecondition("no_candidates", f"task {earlier.task_id} has no candidate to go on with; ask anew")
    return earlier.base


def _require_same(task: pb.Task, old: TaskSpec, spec: TaskSpec) -> None:
    for name in _ITS_OWN:
        said = getattr(task, name)
        said = tuple(said) if name == "paths" else said
        if said and said not in (getattr(old, name), getattr(spec, name)):
            raise InvalidInput(name, f"is as it was in {old.task_id}, which this goes on with: leave it out")


def _require_news(earlier: Deliberation, spec: TaskSpec) -> None:
    """The same evidence gives the same answer, unless the earlier task was stopped before it had all of it."""
    old = earlier.spec
    if earlier.state not in (State.DECIDED, State.ABSTAINED) or _cut_short(earlier):
        return
    if any(getattr(spec, name) != getattr(old, name) for name in _NEWS) or spec.rigor > old.rigor:
        return
    if spec.rigor < old.rigor:
        raise InvalidInput("rigor", f"{spec.rigor} asks for less than {old.rigor}, which {old.task_id} had: {_NEEDED}")
    raise InvalidInput("checks", f"nothing is new that would change what {old.task_id} came to: {_NEEDED}")


def _cut_short(earlier: Deliberation) -> bool:
    """A limit of the task ended it."""
    said = [*earlier.staged[-1].reasons] if earlier.staged else []
    said += earlier.ranked.reasons[-1:] if earlier.ranked else ()
    return any(words.endswith((SPENT, EARLY, UNEXAMINED)) for words in said)
