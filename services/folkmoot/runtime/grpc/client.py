"""Connecting: a channel that rides out restarts and carries the trace, and statuses mapped back to our errors."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from folkmoot.runtime.grpc.carrying import CarryingChannel
from folkmoot.runtime.grpc.status import from_aio_error, service_config

MESSAGE_BYTES = 8 * 1024 * 1024
"""As the server's default (`grpc.message_bytes`)."""

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]


def channel(address: str) -> grpc.aio.Channel:
    """A channel to host:port; closed by its owner."""
    inner = grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.service_config", service_config()),
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            # A restarted service listens again within a second; gRPC's own back-off grows to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ],
    )
    return CarryingChannel(inner)


def credentials(token: str) -> Metadata:
    """Metadata that shows `token`; pass it as `metadata=` with each call."""
    return (("authorization", f"Bearer {token}"),)


@contextmanager
def mapped() -> Iterator[None]:
    """Turns a failed call into the kernel error that the server raised."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_aio_error(error) from error


async def mapped_stream(replies: AsyncIterator[T]) -> AsyncIterator[T]:
    """`mapped`, for the replies of a streaming call."""
    with mapped():
        async for reply in replies:
            yield reply
