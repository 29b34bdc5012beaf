"""Errors, sorted by what the caller must do.

    FolkmootError
    |- CallerError            mend the request; repeating it changes nothing
    |  |- InvalidInput          a field is wrong (names it)
    |  |- NotFound
    |  |- AlreadyExists         same key, other content
    |  |- FailedPrecondition    a guard said no (names it)
    |  |- Unauthenticated
    |  `- PermissionDenied
    |- RetryLater             the same request may succeed after a while
    |  |- Unavailable           a part is down or still starting
    |  `- ResourceExhausted     a queue, quota or budget is full
    |- Conflict               another writer was first: fold again, then decide anew
    `- NeedsPerson            nothing automatic helps
       |- BrokenChain           the log lost or changed a message
       `- Misconfigured         a setting or this machine lacks something (says what and how to get it)

Adapters map foreign exceptions to these once. `runtime.grpc.status` maps them to gRPC codes, `runtime.log` to
ack, retry and park.
"""


class FolkmootError(Exception):
    """Root of all errors that this platform raises on purpose."""


class CallerError(FolkmootError):
    """Mend the request; repeating it changes nothing."""


class InvalidInput(CallerError):
    """`field` is a dotted path into the request."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type["InvalidInput"], tuple[str, str]]:
        return type(self), (self.field, self.problem)


class NotFound(CallerError):
    """What was named does not exist (or no longer)."""


class AlreadyExists(CallerError):
    """The same key was used with other content."""


class FailedPrecondition(CallerError):
    """`guard` is a stable word for the rule that said no."""

    def __init__(self, guard: str, problem: str) -> None:
        super().__init__(f"{guard}: {problem}")
        self.guard = guard
        self.problem = problem

    def __reduce__(self) -> tuple[type["FailedPrecondition"], tuple[str, str]]:
        return type(self), (self.guard, self.problem)


class Unauthenticated(CallerError):
    """No token, or none that we gave out."""


class PermissionDenied(CallerError):
    """A good token, but not for this."""


class RetryLater(FolkmootError):
    """The same request may succeed after `retry_after_s` seconds."""

    def __init__(self, problem: str, retry_after_s: float = 1.0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["RetryLater"], tuple[object, ...]]:
        return type(self), (self.problem, self.retry_after_s)


class Unavailable(RetryLater):
    """A part is down or still starting."""


class ResourceExhausted(RetryLater):
    """A queue, quota or budget is full."""


class Conflict(FolkmootError):
    """Another writer was first: fold again, then decide anew."""


class NeedsPerson(FolkmootError):
    """Nothing automatic helps."""


class BrokenChain(NeedsPerson):
    """The log lost or changed a message; the message names subject and sequence."""


class Misconfigured(NeedsPerson):
    """A setting or this machine lacks something; the message says what, and how to get it."""
