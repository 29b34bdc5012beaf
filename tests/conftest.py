"""Fixtures that any test may ask for."""

import itertools
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.cluster", "tests.fixtures.golang", "tests.fixtures.nats", "tests.fixtures.platform"]

# In a run in the background Ctrl-C is ignored, and what is started from it would inherit that; what is handled is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties hold on a busy machine too: how long an example takes is none of them.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_MOST = 4
"""Workers. Each has a platform of its own, of about 2 GiB."""
_SLOW = ("chaos", "e2e")
"""Folders of tests of whole platforms."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: the tests of whole platforms wait for other processes, and their starts take a core each."""
    return min(_MOST, len(os.sched_getaffinity(0)) + 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins at once: a worker is given one stretch of the list, and steals from the ends of others'.

    Tests of the cluster wait for each other: they stand in the first stretch.
    """
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    of_cluster = [item for item in items if item.get_closest_marker("kubernetes")]
    others = [item for item in items if not item.get_closest_marker("kubernetes")]
    slow = [item for item in others if _is_slow(item)]
    swift = [item for item in others if not _is_slow(item)]
    lanes = [of_cluster, *_dealt(slow, max(1, workers - 1))]
    length = -(-len(items) // workers)
    items.clear()
    for lane in lanes:
        room = max(0, length - len(lane))
        items += [*lane, *swift[:room]]
        del swift[:room]
    items += swift


def _is_slow(item: pytest.Item) -> bool:
    """Whoever starts the platform that a worker's tests share, starts it for many."""
    return item.path.parent.name in _SLOW or "moot" in getattr(item, "fixturenames", ())


def _dealt(items: list[pytest.Item], hands: int) -> list[list[pytest.Item]]:
    """File by file: a file's tests stay together, and share what they have set up."""
    dealt: list[list[pytest.Item]] = [[] for _ in range(hands)]
    for number, (_, tests) in enumerate(itertools.groupby(items, key=lambda item: item.path)):
        dealt[number % hands].extend(tests)
    return dealt
