"""`python -P -m tests.chaos.launch PROXY_PORT CLOCKS`: `moot up`, recast for faults.

Services reach the log through the proxy at PROXY_PORT, each has a clock of its own (a file in the folder CLOCKS, by its
name), and the orchestrator has a replica.
"""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from folkmoot.platform.children import Recipe
from folkmoot.platform.embedded import SERVICES, serve
from folkmoot.runtime import logging
from folkmoot.runtime.settings import load

REPLICA = "orchestrator-2"
READY_S = 240.0
"""Of each part, instead of a minute: where other work loads the machine, Ray has taken longer."""


def recast(port: int, clocks: Path, recipe: Recipe) -> Sequence[Recipe]:
    recipe = msgspec.structs.replace(recipe, ready_s=READY_S)
    if recipe.name not in SERVICES:
        return (recipe,)
    first = _with(recipe, recipe.name, port, clocks)
    if recipe.name != "orchestrator":
        return (first,)
    return first, _with(recipe, REPLICA, port, clocks, FOLKMOOT_GRPC_LISTEN="127.0.0.1:0")


def _with(recipe: Recipe, name: str, port: int, clocks: Path, **more: str) -> Recipe:
    ours = {"FOLKMOOT_LOG_URL": f"nats://127.0.0.1:{port}", "FOLKMOOT_CLOCK_SHIFT_FILE": str(clocks / name)}
    return msgspec.structs.replace(recipe, name=name, env={**recipe.env, **ours, **more})


def main() -> None:
    port, clocks = sys.argv[1:]
    logging.configure("platform")
    asyncio.run(serve(load(), lambda _: None, recast=partial(recast, int(port), Path(clocks))))


if __name__ == "__main__":
    main()
