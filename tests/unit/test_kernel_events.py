from datetime import UTC, datetime

import pytest

from folkmoot.kernel.errors import BrokenChain, InvalidInput, NotFound
from folkmoot.kernel.events import START, Erased, Event, Head, Stored, body_digest, follows, linked
from folkmoot.kernel.facts import CODEC, AgentFailed, CancelRequested
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.result import Usage

EVENT = Event(
    id="e1",
    source="/orchestrator/one",
    type=CancelRequested.type_name,
    subject="deliberation.events.t-1",
    time=datetime(2026, 1, 2, tzinfo=UTC),
    data=CancelRequested(actor="ann", reason="changed my mind"),
)


def test_an_event_comes_back_as_it_was_written() -> None:
    """Encoding loses nothing."""
    assert CODEC.decode(CODEC.encode(EVENT)) == EVENT


def test_an_unknown_type_is_refused_by_name() -> None:
    """An event of a newer version is never half understood."""
    body = CODEC.encode(EVENT).replace(b"cancel-requested.v1", b"cancel-requested.v9")
    with pytest.raises(InvalidInput, match=r"cancel-requested\.v9"):
        CODEC.decode(body)


def test_an_event_that_is_nested_without_end_is_refused() -> None:
    """A stranger's file may hold one: it is no event, and no fault of ours."""
    body = CODEC.encode(EVENT)[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    with pytest.raises(InvalidInput, match="recursion"):
        CODEC.decode(body)


def test_a_time_without_a_zone_is_refused() -> None:
    """It could not be compared with any other: one imported event would end whoever looks how old it is."""
    body = CODEC.encode(EVENT).replace(b"2026-01-02T00:00:00Z", b"2026-01-02T00:00:00")
    with pytest.raises(InvalidInput, match="time"):
        CODEC.decode(body)


def test_an_oversized_event_is_refused() -> None:
    """Large bodies belong in the artifact store."""
    big = Event(
        **{f: getattr(EVENT, f) for f in EVENT.__struct_fields__} | {"data": CancelRequested(actor="a" * 70_000)}
    )
    with pytest.raises(InvalidInput, match="at most 65536"):
        CODEC.encode(big)


def test_a_gap_in_the_chain_is_seen() -> None:
    """A message lost from the middle of a subject stops the reader."""
    body = CODEC.encode(EVENT)
    first = Stored(seq=7, digest=body_digest(body), event=EVENT)
    follows(START, first)
    with pytest.raises(BrokenChain, match="message 7 does not follow message 5"):
        follows(Head(seq=5, digest="ab"), first)


def test_a_tombstone_explains_the_gap_before_it() -> None:
    """Chained to the last event that is gone it stands in for any number of them; a fold learns who took them away."""
    gone = Erased(actor="ann", reason="asked", events=3, head="ab", sha256="cd", at=EVENT.time)
    event = Event(**{f: getattr(EVENT, f) for f in EVENT.__struct_fields__} | {"data": gone, "prevdigest": "ab"})
    tombstone = Stored(seq=9, digest="ef", event=event)
    linked(START, tombstone)
    linked(Head(seq=5, digest="12"), tombstone)
    with pytest.raises(NotFound, match=r"t-1 was erased on 2026-01-02T00:00:00\.000Z by ann: asked"):
        follows(START, tombstone)


def test_a_tombstone_of_something_else_explains_nothing() -> None:
    """It must be chained to what it says was there."""
    gone = Erased(actor="ann", reason="asked", events=3, head="ab", sha256="cd", at=EVENT.time)
    event = Event(**{f: getattr(EVENT, f) for f in EVENT.__struct_fields__} | {"data": gone, "prevdigest": "12"})
    with pytest.raises(BrokenChain):
        linked(START, Stored(seq=9, digest="ef", event=event))


def test_what_could_not_be_read_again_is_not_written() -> None:
    """JSON has no infinity: written as null, it would block its subject for every reader."""
    taken = Usage(wall_s=float("inf"))
    fact = AgentFailed(agent_id=AgentId("dev-1"), reason="", usage=taken)
    event = Event(id="e", source="/x", type=fact.type_name, subject="s", time=EVENT.time, data=fact)
    with pytest.raises(InvalidInput, match="float"):
        CODEC.encode(event)
