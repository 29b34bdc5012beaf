"""Why a task waits, and who gives up when: the client's side, without a platform."""

from collections.abc import AsyncGenerator

import pytest

from folkmoot.cli import waiting
from folkmoot.cli.client import Client
from folkmoot.cli.fleet.client import Fleet
from folkmoot.cli.fleet.values import Status
from folkmoot.cli.streams import Seen
from folkmoot.kernel.errors import NotFound

FREE = Status(waiting=0, running=1, capacity=8, parked=0, tokens_today=0, tokens_per_day=0)
BUSY = Status(waiting=3, running=8, capacity=8, parked=0, tokens_today=0, tokens_per_day=0)
FULL = Status(
    waiting=3, running=1, capacity=8, parked=0, tokens_today=0, tokens_per_day=0, refusing="it is full", retry_after_s=5
)


@pytest.mark.parametrize(
    ("status", "says"), [(FREE, ""), (BUSY, "8 deliberations are under way"), (FULL, "it is full; there may be room")]
)
def test_the_reason_is_the_platforms(status: Status, says: str) -> None:
    """No room at all, or no turn yet; nothing is made up where nothing is known."""
    assert waiting.why(status).startswith(says)
    assert bool(waiting.why(status)) is bool(says)


class Told(Fleet):
    """How things stand, look after look."""

    def __init__(self, *statuses: Status) -> None:
        self.statuses = list(statuses)

    async def status(self) -> Status:
        return self.statuses.pop(0)


class Absent(Client):
    """Each watch waits in vain, as long as a real one would have patience."""

    def __init__(self, *statuses: Status) -> None:
        self.fleet = self.told = Told(*statuses)
        self.watches = 0

    async def watch(self, task_id: str, after: int = 0, *, fresh: bool = False) -> AsyncGenerator[Seen, None]:
        self.watches += 1
        for _ in ():
            yield _
        raise NotFound(f"there is no task {task_id}")


async def test_nobody_gives_up_while_the_platform_has_no_room() -> None:
    """A day's quota takes longer than any patience; without such a reason the task is not found."""
    client = Absent(FULL, FULL, FREE)
    with pytest.raises(NotFound):
        await anext(waiting.fresh(client, "t-1"))
    assert (client.watches, client.told.statuses) == (3, [])
