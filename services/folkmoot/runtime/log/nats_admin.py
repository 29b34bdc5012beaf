"""Creates the bus's streams and readers, and notices when what is there is something else."""

from collections.abc import Mapping
from typing import Any

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.log.jetstream import SECOND
from folkmoot.runtime.log.topology import READERS, STREAMS, ReaderSpec, StreamSpec
from folkmoot.runtime.log.wire import Refused, Wire, dial
from folkmoot.runtime.settings import LogSettings

_LOOKS = 5
"""At a reader whose lease time is being changed."""


async def ensure_topology(settings: LogSettings) -> None:
    """As the admin user: create what is missing.

    Raises Misconfigured naming stream or reader and field where something else is there, Unavailable.
    """
    async with dial(settings) as wire:
        await create(wire)


async def create(wire: Wire) -> None:
    """`ensure_topology` over a connection that is already there."""
    for stream in STREAMS:
        await _ensure_stream(wire, stream)
    for reader in READERS:
        await _ensure_reader(wire, reader)


async def _ensure_stream(wire: Wire, spec: StreamSpec) -> None:
    there = await _info(wire, f"$JS.API.STREAM.INFO.{spec.name}")
    if there is None:
        there = await _make(wire, f"$JS.API.STREAM.CREATE.{spec.name}", spec.config())
    _compare(f"stream {spec.name}", spec.config(), there["config"])


async def _ensure_reader(wire: Wire, spec: ReaderSpec) -> None:
    asked = f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.name}"
    there = await _info(wire, asked)
    config = spec.config() | {"ack_wait": int(wire.settings.ack_wait_s * SECOND)}
    request = {"stream_name": spec.stream, "config": config}
    for _ in range(_LOOKS):
        if there is not None and _drifted(config, there["config"]) != ["ack_wait"]:
            break
        made = await _make(wire, f"$JS.API.CONSUMER.DURABLE.CREATE.{spec.stream}.{spec.name}", request)
        # The answer to an update may still have the configuration from before it.
        there = await _info(wire, asked) or made
    assert there is not None
    _compare(f"reader {spec.name}", config, there["config"])


async def _info(wire: Wire, subject: str) -> dict[str, Any] | None:
    try:
        return await wire.api(subject, {})
    except Refused as refusal:
        if refusal.not_found:
            return None
        raise Misconfigured(str(refusal)) from refusal


async def _make(wire: Wire, subject: str, request: Mapping[str, object]) -> dict[str, Any]:
    try:
        return await wire.api(subject, request)
    except Refused as refusal:
        raise Misconfigured(str(refusal)) from refusal


def _compare(name: str, wanted: Mapping[str, object], there: Mapping[str, object]) -> None:
    if drifted := _drifted(wanted, there):
        field = drifted[0]
        raise Misconfigured(
            f"{name}: {field} is {there.get(field)!r}, not {wanted[field]!r}; made by another version or changed "
            "by hand. Change it back, or start with an empty data folder"
        )


def _drifted(wanted: Mapping[str, object], there: Mapping[str, object]) -> list[str]:
    """Only what we set. The server leaves out what is false or zero.

    A stream of a version that could not forget denies deletion for ever: it is kept, and `forget` refuses.
    """
    drifted = [field for field, value in wanted.items() if there.get(field, type(value)()) != value]
    return [field for field in drifted if field != "deny_delete" or wanted[field]]
