"""Fixtures that any test may ask for."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.cluster", "tests.fixtures.nats", "tests.fixtures.platform"]

# In a run in the background Ctrl-C is ignored, and what is started from it would inherit that; what is handled is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties hold on a busy machine too: how long an example takes is none of them.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_MOST = 4
"""Workers. Each has a platform of its own, of about 2 GiB."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: the tests of whole platforms mostly wait for other processes."""
    return min(_MOST, len(os.sched_getaffinity(0)) + 1)
