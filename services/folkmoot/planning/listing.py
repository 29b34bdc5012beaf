"""Stories in pages. One that cannot be read is listed as such: it must not hide the others."""

import msgspec

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import BrokenChain, InvalidInput, NotFound
from folkmoot.kernel.lifecycle import Story
from folkmoot.planning.journal import Journal
from folkmoot.runtime.log.port import Log


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A story whose log lost something, or holds what this version does not know."""

    story_id: str
    reason: str


async def newest(
    log: Log, journal: Journal, *, before: int | None, size: int
) -> tuple[list[Story | Unreadable], int | None]:
    """A page of stories by their last change, and where the next page begins."""
    lasts = [s for s in await log.lasts(subjects.ALL_STORIES) if before is None or s.seq < before]
    page = sorted(lasts, key=lambda s: s.seq, reverse=True)[:size]
    found = [await _entry(journal, s.event.subject.rpartition(".")[2]) for s in page]
    return [entry for entry in found if entry is not None], page[-1].seq if len(lasts) > len(page) else None


async def _entry(journal: Journal, story_id: str) -> Story | Unreadable | None:
    """None when it was erased since the log was asked for all."""
    try:
        return await journal.find(story_id)
    except (BrokenChain, InvalidInput) as error:
        return Unreadable(story_id=story_id, reason=str(error))
    except NotFound:
        return None
