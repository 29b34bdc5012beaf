"""The way in: an event, and what is known of its subject, to a change of the graph."""

from collections.abc import Mapping

import msgspec

from folkmoot.context.projection import deliberations, fleet, stories
from folkmoot.kernel.events import Erased, Stored
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.graph.port import Change


def project(stored: Stored, known: Mapping[str, str]) -> Change:
    """The change for one event; `known` holds the properties so far of the node that `subject_node` names."""
    if isinstance(stored.event.data, Erased):
        return forgotten(stored.event.subject)
    key = stored.event.subject.rpartition(".")[2]
    if stored.event.subject.startswith("agile."):
        change = stories.change(StoryId(key), stored, known)
    elif stored.event.subject.startswith("fleet."):
        change = fleet.change(stored)
    else:
        change = deliberations.change(TaskId(key), stored, known)
    return _ranked(change, stored.seq)


def subject_node(subject: str) -> str:
    """Id of the node of the story or task whose log `subject` is; of none, when it is the fleet's."""
    kind = "story" if subject.startswith("agile.") else "task"
    return f"{kind}:{subject.rpartition('.')[2]}"


def forgotten(subject: str) -> Change:
    """The change that leaves nothing of what this subject's events wrote, save what another subject wrote too."""
    key = subject.rpartition(".")[2]
    mine = stories.PARTS if subject.startswith("agile.") else deliberations.PARTS
    return Change(clear=(subject_node(subject),), forget=tuple(part.format(key) for part in mine))


def _ranked(change: Change, seq: int) -> Change:
    """What a later event connects is newer."""
    edges = tuple(msgspec.structs.replace(edge, rank=seq) for edge in change.edges)
    return msgspec.structs.replace(change, edges=edges)
