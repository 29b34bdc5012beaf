"""Stretches of time, laid one after the other without a gap, and summed up to parts. Pure."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec


class Phase(StrEnum):
    """What a part of a deliberation's time was spent on."""

    QUEUE = "queue"
    CONVENING = "convening"
    """The repository brought here, the council named."""
    WORKSPACE = "workspace"
    LOST = "lost attempt"
    AGENT = "agent"
    ADMISSION = "admission"
    EXAMINATION = "examination"
    JUDGING = "judging"
    WEIGHING = "weighing"
    """From the last thing that a stage waited for to the next stage."""
    BETWEEN = "between works"
    """Of an agent: the others were at work."""
    RANKING = "ranking"
    PUBLISHING = "publishing"
    OWNERLESS = "no owner"
    """An orchestrator was gone, and no other had taken the task yet."""
    UNDER_WAY = "under way"
    """Agents and examinations of a task that has not been ranked."""
    ENDING = "ending"


class Inner(StrEnum):
    """Parts of an agent's time and of an examination's."""

    START = "start"
    """From a workspace that is ready to the first call."""
    MODEL = "model"
    TOOLS = "tools"
    BETWEEN = "between calls"
    HANDING_IN = "handing in"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    """For a turn, and for a fresh workspace."""
    COMMAND = "command"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """A `Phase`, or within one an `Inner`."""
    about: str = ""
    """Agent, or subject of an examination."""
    began_s: float
    """Since the request."""
    seconds: float
    times: int = 1
    """How many stretches it sums up."""
    parts: tuple["Part", ...] = ()
    """Together as long as itself; by name, so not in the order of time."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """In microseconds since the request."""

    phase: Phase
    inner: Inner | None
    about: str
    began: int
    ended: int


class Walk:
    """Goes forward in time, and never past the end: what it passes is covered exactly once."""

    def __init__(self, began: int, end: int) -> None:
        self.stretches: list[Stretch] = []
        self._at = began
        self._end = end

    def to(self, phase: Phase, moment: int | None, inner: Inner | None = None, about: str = "") -> None:
        """Until `moment` it was spent on `phase`; an unknown moment, and one that is past, change nothing."""
        until = self._at if moment is None else min(max(moment, self._at), self._end)
        if until > self._at:
            self.stretches.append(Stretch(phase=phase, inner=inner, about=about, began=self._at, ended=until))
        self._at = until


def ownerless(stretches: Iterable[Stretch], gaps: Sequence[tuple[int, int]]) -> Iterator[Stretch]:
    """The same time; what lies in a gap was spent on waiting for an owner."""
    for whole in stretches:
        cuts = sorted({whole.began, whole.ended, *(c for gap in gaps for c in gap if whole.began < c < whole.ended)})
        for began, ended in itertools.pairwise(cuts):
            piece = msgspec.structs.replace(whole, began=began, ended=ended)
            inside = any(gap[0] <= began and ended <= gap[1] for gap in gaps)
            yield msgspec.structs.replace(piece, phase=Phase.OWNERLESS, inner=None, about="") if inside else piece


def parts(stretches: Iterable[Stretch]) -> tuple[Part, ...]:
    """Neighbours of one phase are one part."""
    groups = itertools.groupby(stretches, key=lambda s: (s.phase, s.about))
    return tuple(_whole(phase, about, list(group)) for (phase, about), group in groups)


def _whole(phase: Phase, about: str, own: Sequence[Stretch]) -> Part:
    inner = dict.fromkeys(s.inner for s in own if s.inner is not None)
    inside = tuple(_part(name, "", [s for s in own if s.inner is name]) for name in inner)
    return msgspec.structs.replace(_part(phase, about, own), parts=inside, times=1)


def _part(name: str, about: str, own: Sequence[Stretch]) -> Part:
    total = sum(s.ended - s.began for s in own)
    return Part(name=name, about=about, began_s=seconds(own[0].began), seconds=seconds(total), times=len(own))


def micros(span_s: float) -> int:
    return round(span_s * 1e6)


def seconds(span_us: int) -> float:
    return span_us / 1e6
