"""What is over its time goes by itself, while `moot up` runs.

In the platform's own process, since no service may erase anything: only this process is the admin of the bus.
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import BrokenChain, Conflict, FailedPrecondition, FolkmootError, InvalidInput, NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.platform.archive.admin import admin_of, keeping, lock_of
from folkmoot.platform.archive.erase import erase
from folkmoot.platform.archive.unnamed import Sweeping, sweep_artifacts
from folkmoot.runner.store import exclusive
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.settings import RetentionSettings, Settings

log = logging.getLogger(__name__)

ACTOR = "retention"


async def keep(settings: Settings, url: str, clock: Clock) -> None:
    """Sweep the log of the embedded server at `url`, again and again, for ever; one that fails is tried again."""
    while True:
        await clock.sleep(settings.retention.sweep_s)
        try:
            async with exclusive(lock_of(settings.data_folder)), keeping(admin_of(settings, url)) as keeper:
                await sweep(keeper, settings.retention, now=clock.now(), mirrored=settings.data_folder / "mirrors")
        except FolkmootError as error:
            log.warning("retention waits: %s", error, extra={"action": "retry"})


async def sweep(
    keeper: Keeper, retention: RetentionSettings, *, now: datetime, mirrored: Path
) -> tuple[tuple[str, ...], Sweeping]:
    """Forget what is over its time, and what somebody began to forget: what that was, and what became of artifacts.

    Raises Unavailable, FailedPrecondition("sealed").
    """
    gone = await _forgotten(keeper, retention, now, mirrored)
    swept = await sweep_artifacts(keeper, now=now, grace_s=retention.artifacts_hours * 3_600)
    if gone or swept.removed:
        log.info("forgot %d stories and %d artifacts", len(gone), swept.removed, extra={"action": "swept"})
    return gone, swept


async def _forgotten(keeper: Keeper, retention: RetentionSettings, now: datetime, mirrored: Path) -> tuple[str, ...]:
    wanted = await _half(keeper)
    if retention.stories_days:
        wanted += await _over(keeper, now - timedelta(days=retention.stories_days))
    if wanted:
        await keeper.require_erasable()
    gone: list[str] = []
    for of in wanted:
        try:
            await erase(keeper, of, actor=ACTOR, reason=_reason(retention), at=now, mirrored=mirrored)
        except (FailedPrecondition, Conflict, NotFound):
            continue  # it goes on after all, or has just gone with its story
        except (InvalidInput, BrokenChain) as error:
            log.warning("%s is not forgotten: %s", of, error, extra={"action": "unreadable"})
            continue  # the others go all the same
        gone.append(of)
    return tuple(gone)


async def _half(keeper: Keeper) -> list[str]:
    """What was interrupted while it was forgotten; stories first, which take their tasks with them."""
    names = [*await keeper.half_erased(subjects.ALL_STORIES), *await keeper.half_erased(subjects.ALL_DELIBERATIONS)]
    return [name.rpartition(".")[2] for name in names]


async def _over(keeper: Keeper, before: datetime) -> list[str]:
    """Stories, and tasks of no story, whose last event is older."""
    stories = await keeper.bus.log.lasts(subjects.ALL_STORIES)
    tasks = [s for s in await keeper.bus.log.lasts(subjects.ALL_DELIBERATIONS) if _alone(s)]
    return [s.event.subject.rpartition(".")[2] for s in [*stories, *tasks] if s.event.time < before]


def _alone(last: Stored) -> bool:
    fact = last.event.data
    return isinstance(fact, DeliberationEnded) and not fact.result.story_id


def _reason(retention: RetentionSettings) -> str:
    return f"older than {retention.stories_days:g} days"
