"""Wrapping a gRPC handler: the four kinds of methods come down to two, those with one reply and those with many."""

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Around = Callable[[Any], Any]
"""From a behaviour (request and context to a reply, or to an async iterator of them) to another one."""


def wrapped(handler: Handler, *, single: Around, streaming: Around) -> Handler:
    """The same handler with its behaviour wrapped."""
    kind = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    around = streaming if handler.response_streaming else single
    made: Handler = kind(
        around(inner),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return made
