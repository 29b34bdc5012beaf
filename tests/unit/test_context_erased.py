"""What was forgotten is not found in the graph."""

from folkmoot.kernel import subjects
from folkmoot.kernel.events import Erased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.graph.port import Part
from tests.fixtures.history import BEGAN, History, spec

GONE = Erased(actor="ann", reason="asked", events=1, head="ab", sha256="cd", at=BEGAN)


async def test_a_tombstone_takes_its_story_out_of_the_graph() -> None:
    """As if its events had never been: also when they are read before it, and when it is the first one read."""
    history = History()
    await history.story("s-1", spec("t-1", "s-1"))
    await history.task(spec("t-1", "s-1"), "src/a.py")
    for subject in (subjects.story(StoryId("s-1")), subjects.deliberation(TaskId("t-1"))):
        await history.write(subject, GONE)
    await history.write(subjects.story(StoryId("s-2")), GONE)
    assert await history.graph.dump() == Part(nodes=(), edges=())
