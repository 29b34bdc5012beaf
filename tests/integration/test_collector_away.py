"""A collector that is not there, or hangs, costs spans and nothing else."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from folkmoot.runtime.settings import TelemetrySettings
from folkmoot.runtime.telemetry.ambient import span
from folkmoot.runtime.telemetry.start import telemetry

SOON_S = 6.0
"""Twice what sending may take, on a busy machine; a service that stops has nine."""


@pytest.fixture(params=["nobody listens", "nobody answers"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if request.param == "nobody answers":
            taken.listen(8)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def test_work_goes_on_and_ends_in_time(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The spans are lost, and that is said; once."""
    async with asyncio.timeout(SOON_S):
        async with telemetry(TelemetrySettings(otlp_url=url), "test"):
            for _ in range(3):
                with span("work"):
                    await asyncio.sleep(0)
    assert [r.levelname for r in caplog.records if r.name.startswith("opentelemetry")] == ["ERROR"]
