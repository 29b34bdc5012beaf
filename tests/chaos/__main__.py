"""`python -m tests.chaos --faults 1000 --seed 1`: faults at random over many stories, and a table of outcomes.

Every RUN faults there is a new platform, with a seed of its own (`1.1`, `1.2`, …), in a process of its own; `--replay
1.2` plays that one again: the same faults in the same order, waiting for the same phases, over the same shapes of
stories; to the moment only as far as processes allow. Each fault is a line in the folder `--keep` as soon as it is
over; `--table` prints what lies there. Exits with 1 when something that must hold did not.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import drawn
from tests.chaos.play import run
from tests.chaos.record import Finding, Run, append, read, summary

ROOT = Path(__file__).parents[2]
RUN = 50
"""Faults on one platform: about 5 minutes on a quiet machine."""
LIMIT_S = 3_600.0
"""Longest time of one run."""
GRACE_S = 120.0
"""For a run that is told to end: its platform goes down first."""
WORDS_CHARS = 2_000


async def campaign(seeds: list[tuple[str, int]], keep: Path, at_once: int) -> None:
    """Seed and number of faults of each run; so many at once."""
    room = asyncio.Semaphore(at_once)
    async with asyncio.TaskGroup() as group:
        for seed, count in seeds:
            group.create_task(_one(seed, count, keep, room), name=f"run {seed}")


async def _one(seed: str, count: int, keep: Path, room: asyncio.Semaphore) -> None:
    argv = ["-m", "tests.chaos", "--replay", seed, "--faults", str(count), "--keep", str(keep)]
    async with room:
        with (keep / f"{seed}.txt").open("wb") as words:
            process = await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT, stdout=words, stderr=words)
            try:
                async with asyncio.timeout(LIMIT_S):
                    await process.wait()
            except TimeoutError:
                _say(f"seed {seed}: not over after {LIMIT_S:g} s")
            finally:
                await _ended(process)
    _report(seed, process.returncode, keep)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its platform goes down with it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _report(seed: str, code: int | None, keep: Path) -> None:
    rows, runs = read(keep)
    ours = [run for run in runs if run.seed == seed]
    if not ours:
        words = (keep / f"{seed}.txt").read_text("utf-8", "replace")[-WORDS_CHARS:]
        broke = Finding(seed=seed, subject="run", faults=(0, 0), problem=f"broke off with code {code}: {words}")
        ours = [Run(seed=seed, findings=(broke,))]
        append(keep, ours[0])
    violations = sum(len(r.findings) for r in runs if r.seed != seed) + len(ours[-1].findings)
    _say(f"{ours[-1]}\n{len(rows)} faults so far, {violations} violations")


async def replay(seed: str, count: int, keep: Path) -> Run:
    """One run, in this process, with its time line as it comes."""
    with tempfile.TemporaryDirectory(prefix="moot-chaos-") as folder:
        return (await run(seed, drawn(seed, count), Path(folder), keep=keep, say=_say)).run


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _seeds(options: argparse.Namespace) -> list[tuple[str, int]]:
    starts = range(0, options.faults, RUN)
    return [(f"{options.seed}.{n}", min(RUN, options.faults - at)) for n, at in enumerate(starts, 1)]


async def _played(options: argparse.Namespace) -> None:
    """Told to end, it leaves nothing running, and says what was done."""
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    if options.replay:
        _say(str(await replay(options.replay, min(options.faults, RUN), options.keep)))
    else:
        await campaign(_seeds(options), options.keep, options.at_once)


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--replay", metavar="SEED", default="", help="of one run, as a violation names it")
    parser.add_argument("--keep", type=Path, help="where lines, and data of violations, go; else a new folder")
    parser.add_argument("--at-once", type=int, default=1, help="platforms side by side")
    parser.add_argument("--table", action="store_true", help="of what lies in the folder --keep, and nothing else")
    options = parser.parse_args()
    options.keep = options.keep or Path(tempfile.mkdtemp(prefix="moot-chaos-kept-"))
    options.keep.mkdir(parents=True, exist_ok=True)
    stopped = False
    if not options.table:
        _say(f"lines and data of violations: {options.keep}")
        try:
            asyncio.run(_played(options))
        except (asyncio.CancelledError, KeyboardInterrupt):
            stopped = True
    rows, runs = read(options.keep)
    if options.replay:  # others may be at work beside it
        rows, runs = [r for r in rows if r.seed == options.replay], [r for r in runs if r.seed == options.replay]
    _say("\n".join(summary(rows, runs)))
    return 1 if stopped or any(run.findings for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
