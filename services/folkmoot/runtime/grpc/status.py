"""Our errors as gRPC statuses with google.rpc details, and back. One table, used by server and client."""

import json

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from folkmoot.kernel import errors

DOMAIN = "folkmoot"
"""Of google.rpc.ErrorInfo."""

_WORDS_BYTES, _FIELD_BYTES = 1_200, 200
"""Words travel twice, in metadata, of which gRPC lets 8 KiB pass: more would arrive as RESOURCE_EXHAUSTED."""

_CODES: list[tuple[type[errors.FolkmootError], int]] = [
    (errors.InvalidInput, code_pb2.INVALID_ARGUMENT),
    (errors.NotFound, code_pb2.NOT_FOUND),
    (errors.AlreadyExists, code_pb2.ALREADY_EXISTS),
    (errors.FailedPrecondition, code_pb2.FAILED_PRECONDITION),
    (errors.Unauthenticated, code_pb2.UNAUTHENTICATED),
    (errors.PermissionDenied, code_pb2.PERMISSION_DENIED),
    (errors.ResourceExhausted, code_pb2.RESOURCE_EXHAUSTED),
    (errors.Unavailable, code_pb2.UNAVAILABLE),
    (errors.RetryLater, code_pb2.UNAVAILABLE),
    (errors.Conflict, code_pb2.ABORTED),
    (errors.BrokenChain, code_pb2.DATA_LOSS),
]


def to_status(error: errors.FolkmootError) -> status_pb2.Status:
    """The status of `error`; an error of no listed kind is ours to mend: INTERNAL."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    status = status_pb2.Status(code=code, message=_cut(str(error), _WORDS_BYTES))
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def from_aio_error(error: grpc.aio.AioRpcError) -> errors.FolkmootError:
    """The error that the server raised; transport failures become Unavailable."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return _from_status(status_pb2.Status.FromString(value))
    return _from_code(error.code(), error.details() or str(error.code()))


def _details(error: errors.FolkmootError) -> list[message.Message]:
    match error:
        case errors.InvalidInput():
            field, words = _cut(error.field, _FIELD_BYTES), _cut(error.problem, _WORDS_BYTES)
            violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=words)
            return [error_details_pb2.BadRequest(field_violations=[violation])]
        case errors.FailedPrecondition():
            words = _cut(error.problem, _WORDS_BYTES)
            failed = error_details_pb2.PreconditionFailure.Violation(type=error.guard, description=words)
            return [error_details_pb2.PreconditionFailure(violations=[failed])]
        case errors.RetryLater():
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(round(error.retry_after_s * 1000))
            return [error_details_pb2.RetryInfo(retry_delay=delay)]
        case _:
            return [error_details_pb2.ErrorInfo(reason=type(error).__name__, domain=DOMAIN)]


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of it; what is no UTF-8 is escaped."""
    body = text.encode("utf-8", "backslashreplace")
    return body.decode() if len(body) <= limit else f"{body[: limit - 3].decode('utf-8', 'ignore')}…"


def _from_status(status: status_pb2.Status) -> errors.FolkmootError:
    for packed in status.details:
        if packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            packed.Unpack(bad)
            first = bad.field_violations[0]
            return errors.InvalidInput(first.field, first.description)
        if packed.Is(error_details_pb2.PreconditionFailure.DESCRIPTOR):
            failure = error_details_pb2.PreconditionFailure()
            packed.Unpack(failure)
            return errors.FailedPrecondition(failure.violations[0].type, failure.violations[0].description)
        if packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
            kind = errors.ResourceExhausted if status.code == code_pb2.RESOURCE_EXHAUSTED else errors.Unavailable
            return kind(status.message, retry.retry_delay.ToMilliseconds() / 1000)
    return _from_number(status.code, status.message)


def _from_code(code: grpc.StatusCode, text: str) -> errors.FolkmootError:
    number: int = code.value[0]
    return _from_number(number, text)


def _from_number(number: int, text: str) -> errors.FolkmootError:
    if number in (code_pb2.UNAVAILABLE, code_pb2.DEADLINE_EXCEEDED, code_pb2.CANCELLED):
        return errors.Unavailable(text)
    if number == code_pb2.RESOURCE_EXHAUSTED:
        return errors.ResourceExhausted(text)
    if number == code_pb2.INVALID_ARGUMENT:
        return errors.InvalidInput("request", text)
    if number == code_pb2.FAILED_PRECONDITION:
        return errors.FailedPrecondition("guard", text)
    kind = next((kind for kind, known in _CODES if known == number), errors.FolkmootError)
    return kind(text)


NOT_REPEATABLE = [
    {"service": "folkmoot.api.workspace.v1.WorkspaceService", "method": "Exec"},
    {"service": "folkmoot.api.orchestrator.v1.OrchestratorService", "method": "Deliberate"},
    {"service": "folkmoot.api.orchestrator.v1.OrchestratorService", "method": "DeliberateAsync"},
    {"service": "folkmoot.api.orchestrator.v1.OrchestratorService", "method": "UnregisterAgent"},
    {"service": "folkmoot.api.orchestrator.v1.OrchestratorService", "method": "DeleteCouncil"},
    {"service": "folkmoot.api.orchestrator.v1.OrchestratorService", "method": "ReplayParked"},
    {"service": "folkmoot.api.planning.v1.PlanningService", "method": "CreateStory"},
]
"""Whether a broken call ran is unknown, and twice is not the same as once (without an idempotency key)."""


def service_config() -> str:
    """For clients: a call that found no server waits for one; one that was cut off is repeated where that is safe."""
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.2s",
        "maxBackoff": "3s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    repeatable = {"name": [{}], "waitForReady": True, "retryPolicy": policy}
    return json.dumps({"methodConfig": [{"name": NOT_REPEATABLE, "waitForReady": True}, repeatable]})
