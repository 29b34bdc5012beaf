"""The table of design section 3, as data."""

import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import AgentId, StoryId, TaskId
from folkmoot.runtime.log import topology

TASK, AGENT = TaskId("t-1"), AgentId("a-1")


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        (subjects.story(StoryId("s-1")), "AGILE"),
        (subjects.request(TASK), "REQUESTS"),
        (subjects.deliberation(TASK), "DELIBERATIONS"),
        (subjects.agent_result(TASK, AGENT), "DELIBERATIONS"),
        (subjects.agent_request(TASK, AGENT), "AGENT_REQUESTS"),
        (subjects.agent_response(TASK, AGENT), "AGENT_RESPONSES"),
        (subjects.agent_steps(TASK, AGENT), "STEPS"),
        (topology.parked_subject("REQUESTS"), "PARKED"),
        (subjects.ALL_STORIES, "AGILE"),
        (subjects.ALL_DELIBERATIONS, "DELIBERATIONS"),
        ("agent.steps.t-1.*", "STEPS"),
    ],
)
def test_every_subject_has_its_stream(subject: str, stream: str) -> None:
    """What the kernel names, the bus keeps; patterns too."""
    assert topology.stream_of(subject).name == stream


@pytest.mark.parametrize("subject", ["agile.events", "agile.events.a.b", "agile.>", "agent.*.t-1.a-1", "nothing", ""])
def test_a_pattern_that_is_wider_than_a_stream_is_refused(subject: str) -> None:
    """Half an answer would look like a whole one."""
    with pytest.raises(InvalidInput, match="belongs to no stream"):
        topology.stream_of(subject)


def test_logs_are_kept_and_cannot_be_purged() -> None:
    """What is true stays."""
    for stream in (topology.AGILE, topology.DELIBERATIONS, topology.PARKED):
        config = stream.config()
        assert (config["max_age"], config["discard"], config["storage"]) == (0, "new", "file")
        assert config["deny_purge"]


def test_only_what_stories_left_can_be_erased() -> None:
    """Event by event; the fleet's log and parked messages stay as they are."""
    erasable = {stream.name for stream in topology.LOGS if not (stream.config()["deny_delete"] or stream.queue)}
    assert erasable == {"AGILE", "DELIBERATIONS", "STEPS"}


def test_queues_forget_what_is_done() -> None:
    """And nothing else."""
    for stream in (topology.REQUESTS, topology.AGENT_REQUESTS):
        assert stream.config()["retention"] == "workqueue"
        assert stream.config()["max_age"] == 0


def test_responses_and_steps_age() -> None:
    """A day and a week, in nanoseconds."""
    assert topology.AGENT_RESPONSES.config()["max_age"] == 24 * 3600 * 10**9
    assert topology.STEPS.config()["max_age"] == 7 * 24 * 3600 * 10**9


def test_only_the_admin_may_create_or_delete() -> None:
    """A service cannot reach the management API, but for the place it follows from."""
    words = (
        "STREAM.CREATE",
        "STREAM.DELETE",
        "STREAM.UPDATE",
        "PURGE",
        "CONSUMER.DELETE",
        "DURABLE",
        "$JS.API.>",
        "$KV",
    )
    for user in topology.USERS:
        rights = [right for right in user.publish() if any(word in right for word in words)]
        assert rights == (["$JS.API.>"] if user.name == "platform" else [])
        assert user.subscribe() == [f"_INBOX_{user.name}.>"]


def test_every_subject_has_one_kind_of_writer() -> None:
    """Nobody forges another's events. The admin replays parked requests, imports, and puts tombstones."""
    writers = {
        pattern: sorted(user.name for user in topology.USERS if pattern in user.writes)
        for stream in topology.LOGS
        for pattern in stream.subjects
    }
    assert writers == {
        "agile.events.*": ["planning", "platform"],
        "deliberation.requests.*": ["orchestrator", "platform"],
        "deliberation.events.*": ["orchestrator", "platform"],
        "agent.results.*.*": ["agents", "platform"],
        "agent.requests.*.*": ["orchestrator", "platform"],
        "agent.responses.*.*": ["runner"],
        "agent.steps.*.*": ["agents"],
        "fleet.events.councils": ["orchestrator"],
        "fleet.events.decisions": ["context"],
        "parked.>": [],
    }
