"""Tells when an agent goes in circles. Pure. Numbers: shared habits of the best small agents."""

IDENTICAL_CALLS = 4
IDENTICAL_ERRORS = 3
ALTERNATING_CALLS = 6


class Habits:
    """The latest calls and errors of one run; a warning starts the count anew."""

    def __init__(self) -> None:
        self._calls: list[str] = []
        self._errors: list[str] = []
        self.warned = False

    def saw(self, call: str, error: str) -> None:
        self._calls = [*self._calls, call][-ALTERNATING_CALLS:]
        self._errors = [*self._errors, error][-IDENTICAL_ERRORS:]

    def found(self) -> str:
        """The habit in words; empty when there is none."""
        if len(self._calls) >= IDENTICAL_CALLS and len(set(self._calls[-IDENTICAL_CALLS:])) == 1:
            return f"the same call {IDENTICAL_CALLS} times in a row: {self._calls[-1][:200]}"
        if len(self._errors) == IDENTICAL_ERRORS and len(set(self._errors)) == 1 and self._errors[0]:
            return f"the same error {IDENTICAL_ERRORS} times in a row: {self._errors[0][:200]}"
        if len(self._calls) == ALTERNATING_CALLS and self._alternates():
            return f"{ALTERNATING_CALLS} calls that alternate between two"
        return ""

    def _alternates(self) -> bool:
        even, odd = set(self._calls[::2]), set(self._calls[1::2])
        return len(even) == 1 and len(odd) == 1 and even != odd

    def warn(self) -> None:
        self.warned = True
        self._calls, self._errors = [], []
