"""Fixtures that any test may ask for."""

import signal

pytest_plugins = ["tests.fixtures.nats", "tests.fixtures.platform"]

# In a run in the background Ctrl-C is ignored, and what is started from it would inherit that; what is handled is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
