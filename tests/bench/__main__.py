"""`make bench`: what the platform costs over the parts that it is made of. A figure never fails anything.

    python -m tests.bench [up] [solve] [workspaces] [deliberations] [matrix] [fanout] [log] [kernel] [crowd]
        [kubernetes] [--crowd N] [--tasks N]

Each ratio is taken in one run, ours and the floor in turn. Run it on a quiet machine, and more than once.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from folkmoot.kernel import subjects
from folkmoot.runner.local import toolchain
from tests.bench import commands, crowd, deliberations, fanout, kubernetes, logs, matrix, pure, stage, workspaces
from tests.bench.bare import Bare
from tests.bench.measure import Row, table
from tests.fixtures.platform import Moot

SECTIONS = ("up", "solve", "workspaces", "deliberations", "matrix", "fanout", "log", "kernel", "crowd", "kubernetes")


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all, unless given")
    parser.add_argument("--crowd", type=int, default=crowd.COUNT, metavar="N", help="deliberations of the crowd")
    parser.add_argument("--tasks", type=int, default=logs.MANY, metavar="N", help="ended tasks behind the last polls")
    asked = parser.parse_args()
    chosen = frozenset(asked.sections or SECTIONS)
    if unknown := chosen.difference(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}")
    began = time.monotonic()
    with TemporaryDirectory(prefix="moot-bench-") as name:
        asyncio.run(_bench(Path(name), chosen, asked.crowd, asked.tasks))
    _say(f"\n{stage.machine()}; {time.monotonic() - began:.0f} s in all. Medians; each ratio within one run.")


async def _bench(folder: Path, chosen: frozenset[str], many: int, tasks: int) -> None:
    place, rows = stage.repository(folder), list[Row]()
    with _models(folder) as (instant, slow):
        if "up" in chosen:
            rows.append(await commands.up(folder / "up"))
        if "solve" in chosen:
            rows.append(await commands.solve(stage.moot(folder / "solve"), place, instant, running=False))
        if "crowd" in chosen:
            rows += await _crowd(folder / "crowd", place, many)
        if "kubernetes" in chosen:
            rows += await kubernetes.rows(folder / "kubernetes")
        if chosen - {"up", "crowd", "kubernetes"}:
            with stage.standing(folder / "data") as command:
                rows += await _on_platform(command, folder, chosen, (instant, slow), tasks)
    _say("\n" + table(rows))


async def _crowd(folder: Path, place: Path, many: int) -> list[Row]:
    bare = Bare(folder / "bare", place, toolchain.discover(folder / "toolchain"))
    with stage.model(folder, crowd.LATENCY_S) as url:
        return await crowd.rows(folder / "data", place, url, bare, many)


@contextlib.contextmanager
def _models(folder: Path) -> Iterator[tuple[str, str]]:
    with stage.model(folder, 0.0) as instant, stage.model(folder, deliberations.LATENCY_S) as slow:
        yield instant, slow


async def _on_platform(
    command: Moot, folder: Path, chosen: frozenset[str], models: tuple[str, str], tasks: int
) -> list[Row]:
    rows, place, (instant, slow) = list[Row](), stage.repository(folder), models
    bare = Bare(folder / "bare", place, toolchain.discover(folder / "toolchain"))
    if "workspaces" in chosen:
        rows += await workspaces.rows(command.info, place, bare)
    if "solve" in chosen:
        rows.append(await commands.solve(command, place, instant, running=True))
    async with deliberations.stand(command, bare) as on:
        if "deliberations" in chosen:
            rows.append(await deliberations.instant(on, place, instant))
            _say(_breakdown(*await deliberations.breakdown(on)))
            rows.append(await deliberations.slow(on, place, slow))
        if "matrix" in chosen:
            rows.append(await matrix.row(command.info, folder, on.bus.artifacts))
        if "fanout" in chosen:
            rows.append(await fanout.row(command, folder / "fanout", on.bus))
        if chosen & {"log", "kernel"} and not on.ended:
            await on.deliberate(stage.task(place, instant))
        if "kernel" in chosen:
            rows += pure.rows(await on.bus.log.read(subjects.deliberation(on.ended[-1])))
        if "log" in chosen:
            async with logs.bare_nats(stage.log_settings(command, "orchestrator")) as nats:
                rows += [await logs.appends(on.bus, nats), *await logs.polls(on, command.info, nats, tasks)]
    return rows


def _breakdown(parts: dict[str, float], whole: float) -> str:
    lines = [
        f"One deliberation ({stage.AGENTS} agents, instant model), along what its end waited for, medians:",
        "",
        "| part | ms |",
        "| --- | --- |",
        *(f"| {name} | {seconds * 1000:.1f} |" for name, seconds in parts.items()),
        f"| **request written to end written** | **{whole * 1000:.1f}** |",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
