"""What can go wrong around an agent, sorted by what the caller must do.

FolkmootError
|- AttemptLost     the actor, workspace or log died under the run: try again in a fresh workspace
`- ModelError      the model server cannot be used; the message says how, and names its URL without credentials
   `- ModelBusy      the same call may succeed after a while (429, 5xx, a broken connection)
"""

from folkmoot.kernel.errors import FolkmootError


class AttemptLost(FolkmootError):
    """The run died and left no result; a new attempt needs a fresh workspace."""


class ModelError(FolkmootError):
    """The model server cannot be used; repeating the call changes nothing."""


class ModelBusy(ModelError):
    """The same call may succeed after `retry_after_s` seconds (None: as the client thinks fit)."""

    def __init__(self, problem: str, retry_after_s: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["ModelBusy"], tuple[str, float | None]]:
        return type(self), (self.problem, self.retry_after_s)
