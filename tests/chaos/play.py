"""One run: a platform, a few stories at once, a sequence of faults, and the verdict."""

import asyncio
import shutil
import time
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import RetryLater, Unauthenticated
from folkmoot.kernel.ids import StoryId
from tests.chaos import tales, verdict
from tests.chaos.faults import Fault
from tests.chaos.inject import Injector, Say
from tests.chaos.record import Finding, Row, Run, append
from tests.chaos.stage import Stage, staged
from tests.chaos.tales import Ending, Shape
from tests.chaos.watch import Watch

AT_ONCE = 3
END_S = 900.0
"""From the last fault until all stories must have ended: four tasks of a plan, one after the other."""
GONE_S = 60.0
"""From the platform's end until nothing of it may be left."""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A run, with what else a test wants to know of it."""

    run: Run
    rows: tuple[Row, ...]
    timeline: tuple[str, ...]


class _Play:
    def __init__(self, seed: str, faults: list[Fault], stage: Stage, keep: Path | None, say: Say) -> None:
        self.seed = seed
        self._faults = faults
        self._stage = stage
        self._watch = Watch(stage)
        told = partial(append, keep) if keep else lambda _: None
        self.injector = Injector(stage, self._watch, seed, told, say)
        self._shapes = tales.shapes(seed)
        self._first: list[StoryId] = []
        """Those that were there before the faults."""
        self.accepted: dict[StoryId, tuple[Shape, int]] = {}
        """With the number of the last fault that had begun."""
        self._ended: dict[StoryId, int] = {}
        self._over = False
        self.findings: list[Finding] = []

    async def play(self) -> None:
        await self._stage.model_up()
        await self._stage.up()
        async with asyncio.TaskGroup() as group:
            asked = {shape: group.create_task(self._undisturbed(shape), name=shape) for shape in Shape}
        expected = {shape: ending.result() for shape, ending in asked.items()}
        self._first = await self._stage.arena.stories()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch.run(), name="watch")
            await self._disturbed()
            watching.cancel()
        await self._judge(expected)
        await self._end()

    def outcome(self, kept: str) -> Run:
        return Run(
            seed=self.seed,
            findings=tuple(self.findings),
            stories=len(self.accepted),
            plans=sum(shape is Shape.PLAN for shape, _ in self.accepted.values()),
            tasks=sum(len(told.tasks) for name, told in self._watch.stories.items() if name in self.accepted),
            swallowed=self._stage.proxy.swallowed,
            kept=kept,
        )

    async def _undisturbed(self, shape: Shape) -> Ending:
        began = time.monotonic()
        ending = await tales.undisturbed(self._stage.arena, shape, self._stage.folder / "repositories")
        winners = ", ".join(f"{name} by {outcome.winner}" for name, outcome in ending.tasks.items())
        self.injector.note(f"undisturbed: {shape}, {time.monotonic() - began:.1f} s, {ending.state}: {winners}")
        return ending

    async def _disturbed(self) -> None:
        async with asyncio.TaskGroup() as group:
            drivers = [group.create_task(self._drive(), name=f"driver {n}") for n in range(AT_ONCE)]
            await self.injector.all(self._faults)
            self._over = True
            await asyncio.wait(drivers, timeout=END_S)
            for driver in drivers:
                driver.cancel()

    async def _drive(self) -> None:
        """One story after the other, while there are faults; and the last one to its end."""
        while not self._over:
            story = await self._asked(next(self._shapes))
            await self._watch.until(lambda story=story: self._watch.over(story), within_s=86_400)  # type: ignore[misc]
            self._ended[story] = self.injector.current
            self.injector.note(f"{story} {self._watch.state(story)}")

    async def _asked(self, shape: Shape) -> StoryId:
        """Under one key, as often as it takes until somebody accepts it."""
        key, before = uuid.uuid4().hex, self.injector.current
        while True:
            # Between two lives of the platform its file is not there, or names the former one's secret.
            with suppress(RetryLater, FileNotFoundError, Unauthenticated, msgspec.MsgspecError):
                story = await tales.submit(self._stage.arena, shape, self._stage.folder / "repositories", key)
                self.accepted[story] = shape, before
                self.injector.note(f"{story} accepted: {shape}")
                return story
            await asyncio.sleep(0.2)

    # --- the verdict --------------------------------------------------------------------------------------------

    async def _judge(self, expected: dict[Shape, Ending]) -> None:
        arena = self._stage.arena
        for row in self.injector.rows:
            if not row.skipped and row.recovered_s is None:
                self._find(f"fault {row.fault.number}", f"nothing recovered from it: {row.fault}", row.fault.number)
        for story, (shape, first) in self.accepted.items():
            if not self._watch.over(story):
                self._find(story, f"undecided: {shape}", first)
                continue
            for problem in await verdict.of_story(arena, story, expected[shape]):
                self._find(story, problem, first)
        known = [*self._first, *self.accepted]
        for problem in [*await verdict.of_log(arena, known), *await verdict.of_graph(arena)]:
            self._find("log", problem, 0)

    async def _end(self) -> None:
        try:
            await self._stage.down()
        except TimeoutError:
            self._find("platform", "did not end", 0)
            await self._stage.kill()
        until = time.monotonic() + GONE_S
        while (left := self._stage.leftovers()) and time.monotonic() < until:  # noqa: ASYNC110 -- processes of others
            await asyncio.sleep(0.2)
        for each in left:
            self._find("platform", f"left behind: {each}", 0)

    def _find(self, subject: str, problem: str, first: int) -> None:
        last = self._ended.get(StoryId(subject), self.injector.current)
        finding = Finding(seed=self.seed, subject=subject, faults=(first, last), problem=problem)
        self.findings.append(finding)
        self.injector.note(f"VIOLATION {subject}: {problem}")


async def run(
    seed: str, faults: list[Fault], folder: Path, *, keep: Path | None = None, say: Say = lambda _: None
) -> Played:
    """Plays `faults` on a platform of its own in the empty `folder`. In `keep` lie a line for each fault, at once, and
    one for the run; and the platform's data, if something is found or the run breaks off."""
    async with staged(folder) as stage:
        play, whole = _Play(seed, faults, stage, keep, say), False
        try:
            await play.play()
            whole = True
        finally:
            if stage.part("platform"):
                await stage.kill()
            kept = _kept(folder, keep / f"chaos-{seed}") if keep and (play.findings or not whole) else ""
        done = play.outcome(kept)
    if keep:
        append(keep, done)
    rows = sorted(play.injector.rows, key=lambda row: row.fault.number)
    return Played(run=done, rows=tuple(rows), timeline=tuple(play.injector.timeline))


def _kept(folder: Path, place: Path) -> str:
    return str(shutil.copytree(folder, place, dirs_exist_ok=True, ignore=_special))


def _special(folder: str, names: list[str]) -> list[str]:
    """Sockets and pipes are no evidence."""
    return [n for n in names if not ((p := Path(folder) / n).is_file() or p.is_dir()) or n == "ballast"]
