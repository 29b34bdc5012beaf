"""Exit codes (contract), and what an error says to a person. Pure."""

from enum import IntEnum

import msgspec

from folkmoot.kernel import errors
from folkmoot.kernel.result import State


class Code(IntEnum):
    DONE = 0
    OURS = 1
    USAGE = 2
    ABSTAINED = 3
    FAILED = 4
    CANCELLED = 5
    NOT_FOUND = 6


_OF_STATE = {State.ABSTAINED: Code.ABSTAINED, State.FAILED: Code.FAILED, State.CANCELLED: Code.CANCELLED}


class Stopped(errors.FolkmootError):
    """A command ends with a code of its own, a sentence and a hint."""

    def __init__(self, code: Code, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.code = code
        self.hint = hint

    def __reduce__(self) -> tuple[type["Stopped"], tuple[Code, str, str]]:
        return type(self), (self.code, str(self), self.hint)


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """An error for a person, and for a program that asked for JSON."""

    kind: str
    message: str
    hint: str
    code: Code


def of_state(state: State) -> Code:
    """Decided, or still on its way: done."""
    return _OF_STATE.get(state, Code.DONE)


def of_error(error: errors.FolkmootError) -> Code:
    """What the caller did is usage; what is not there is not found; the rest is ours."""
    if isinstance(error, Stopped):
        return error.code
    if isinstance(error, errors.NotFound):
        return Code.NOT_FOUND
    return Code.USAGE if isinstance(error, errors.CallerError) else Code.OURS


def complaint(error: errors.FolkmootError) -> Complaint:
    hint = error.hint if isinstance(error, Stopped) else _hint(error)
    return Complaint(kind=type(error).__name__, message=str(error), hint=hint, code=of_error(error))


def _hint(error: errors.FolkmootError) -> str:
    match error:
        case errors.NotFound() if str(error).startswith("there is no story t-"):
            return "that is a task's id; a story's begins with `s-`, and `moot story list` lists them"
        case errors.NotFound() if str(error).startswith("there is no story"):
            return "`moot story list` lists stories, `moot story show` their tasks; each data folder has its own"
        case errors.NotFound() if str(error).startswith("there is no task"):
            return (
                "`moot story show` lists a story's tasks; those that wait are not there yet, nor another data folder's"
            )
        case errors.Unauthenticated() | errors.PermissionDenied():
            return "set FOLKMOOT_GRPC_TOKEN to the platform's service token"
        case errors.FailedPrecondition(guard="running") if "platform" in str(error):
            return "if another `moot` just starts it, try again when it is up; `moot up --detach` serves many at once"
        case errors.ResourceExhausted():
            return f"try again in {error.retry_after_s:g} s"
        case errors.Unavailable():
            return "`moot doctor` says what is up; tasks that were accepted are not lost"
        case errors.Misconfigured():
            return "`moot doctor` checks this machine"
        case _:
            return ""
