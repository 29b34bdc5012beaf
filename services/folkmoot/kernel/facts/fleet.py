"""Of all tasks: `fleet.events.councils`, written by orchestrators, and `fleet.events.decisions`, written by context."""

from typing import ClassVar

from folkmoot.kernel.events import Fact
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import StoryId, TaskId


class AgentRegistered(Fact, frozen=True, kw_only=True):
    """New, or with another profile than before."""

    type_name: ClassVar[str] = "folkmoot.fleet.agent-registered.v1"
    actor: str
    agent: AgentProfile


class AgentUnregistered(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.fleet.agent-unregistered.v1"
    actor: str
    name: str


class CouncilCreated(Fact, frozen=True, kw_only=True):
    """New, or with other agents than before."""

    type_name: ClassVar[str] = "folkmoot.fleet.council-created.v1"
    actor: str
    council: Council


class CouncilDeleted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.fleet.council-deleted.v1"
    actor: str
    name: str


class DecisionRecorded(Fact, frozen=True, kw_only=True):
    """Something that a person decided and that later work must know."""

    type_name: ClassVar[str] = "folkmoot.fleet.decision-recorded.v1"
    decision_id: str
    actor: str
    title: str
    text: str
    repository: str = ""
    paths: tuple[str, ...] = ()
    story_id: StoryId = StoryId("")
    task_id: TaskId = TaskId("")
