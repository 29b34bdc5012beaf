"""One run: a platform, a few deliberations at once, a sequence of faults, and the verdict."""

import asyncio
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import RetryLater, Unauthenticated
from folkmoot.kernel.ids import TaskId
from tests.chaos import verdict
from tests.chaos.arena import Outcome
from tests.chaos.faults import Fault
from tests.chaos.inject import Injector, Row
from tests.chaos.stage import Stage, staged
from tests.chaos.watch import Watch

AT_ONCE = 3
END_S = 240.0
"""From the last fault until all tasks must have ended."""
GONE_S = 15.0
"""From the platform's end until nothing of it may be left."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    seed: str
    subject: str
    """A task, or what of the whole run."""
    faults: tuple[int, int]
    """Number of the last fault that had begun when the task was asked for, and when it ended."""
    problem: str

    def __str__(self) -> str:
        first, last = self.faults
        return f"seed {self.seed}, faults {first} to {last}, {self.subject}: {self.problem}"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one sequence."""

    seed: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    tasks: int
    swallowed: int
    """Replies of the log that were lost or late."""
    timeline: tuple[str, ...]
    kept: str = ""
    """Folder with the platform's data and logs; only where something was found."""


class _Play:
    def __init__(self, seed: str, faults: list[Fault], stage: Stage) -> None:
        self.seed = seed
        self._faults = faults
        self._stage = stage
        self._watch = Watch(stage)
        self.injector = Injector(stage, self._watch, seed)
        self.accepted: dict[TaskId, int] = {}
        """With the number of the last fault that had begun."""
        self._ended: dict[TaskId, int] = {}
        self._over = False
        self.findings: list[Finding] = []

    async def play(self) -> None:
        await self._stage.model_up()
        await self._stage.up()
        expected, usual_s = await self._stage.arena.undisturbed()
        self.injector.note(f"undisturbed: {usual_s:.1f} s, {expected.winner} by {expected.decided_by}")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch.run(), name="watch")
            await self._disturbed()
            watching.cancel()
        await self._judge(expected)
        await self._end()

    async def _disturbed(self) -> None:
        async with asyncio.TaskGroup() as group:
            drivers = [group.create_task(self._drive(), name=f"driver {n}") for n in range(AT_ONCE)]
            await self.injector.all(self._faults)
            self._over = True
            await asyncio.wait(drivers, timeout=END_S)
            for driver in drivers:
                driver.cancel()

    async def _drive(self) -> None:
        """One task after the other, while there are faults; and the last one to its end."""
        while not self._over:
            task = await self._asked()
            self.injector.note(f"{task} accepted")
            await self._watch.until(lambda task=task: task in self._watch.ended, within_s=86_400)  # type: ignore[misc]
            self._ended[task] = self.injector.current
            self.injector.note(f"{task} {self._watch.ended[task].result.state}")

    async def _asked(self) -> TaskId:
        """Under one key, as often as it takes until somebody accepts it."""
        key, before = uuid.uuid4().hex, self.injector.current
        while True:
            # Between two lives of the platform its file is not there, or names the former one's secret.
            with suppress(RetryLater, FileNotFoundError, Unauthenticated, msgspec.MsgspecError):
                task = await self._stage.arena.submit(repository=self._stage.folder / "repository", key=key)
                self.accepted[task] = before
                return task
            await asyncio.sleep(0.2)

    # --- the verdict --------------------------------------------------------------------------------------------

    async def _judge(self, expected: Outcome) -> None:
        arena = self._stage.arena
        for row in self.injector.rows:
            if not row.skipped and row.recovered_s is None:
                self._find(f"fault {row.fault.number}", f"nothing recovered from it: {row.fault}", row.fault.number)
        for task, first in self.accepted.items():
            if task not in self._watch.ended:
                self._find(task, "undecided", first)
                continue
            for problem in await verdict.of_task(arena, task, expected):
                self._find(task, problem, first)
        first_one = next(iter(await arena.tasks()), None)
        known = [*self.accepted, *([first_one] if first_one not in self.accepted and first_one else [])]
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
        last = self._ended.get(TaskId(subject), self.injector.current)
        finding = Finding(seed=self.seed, subject=subject, faults=(first, last), problem=problem)
        self.findings.append(finding)
        self.injector.note(f"VIOLATION {subject}: {problem}")


async def run(seed: str, faults: list[Fault], folder: Path, *, keep: Path | None = None) -> Run:
    """Plays `faults` on a platform of its own in the empty `folder`; its data goes to `keep` if something is found."""
    async with staged(folder) as stage:
        play, kept = _Play(seed, faults, stage), ""
        try:
            await play.play()
        finally:
            if stage.part("platform"):
                await stage.kill()
        if play.findings and keep is not None:
            kept = str(shutil.copytree(folder, keep / f"chaos-{seed}", dirs_exist_ok=True, ignore=_special))
        return Run(
            seed=seed,
            rows=tuple(sorted(play.injector.rows, key=lambda row: row.fault.number)),
            findings=tuple(play.findings),
            tasks=len(play.accepted),
            swallowed=stage.proxy.swallowed,
            timeline=tuple(play.injector.timeline),
            kept=kept,
        )


def _special(folder: str, names: list[str]) -> list[str]:
    """Sockets and pipes are no evidence."""
    return [n for n in names if not ((p := Path(folder) / n).is_file() or p.is_dir()) or n == "ballast"]
