"""Examinations that could differ by chance only are made once: candidates that are the same change, exhibits that hold
the same tests. Each has it recorded under its own name."""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

import msgspec

from folkmoot.kernel.deliberation import BASE, Deliberation, Wanted
from folkmoot.kernel.evidence import Examination, SuiteKind

Key = tuple[str, ...]


def key(state: Deliberation, wanted: Wanted) -> Key:
    """Equal for what runs the same command, on the same files, for the same time."""
    trees: dict[str, str] = {a.proposal_id: a.tree for a in state.admissions}
    what = wanted.name
    if wanted.kind is SuiteKind.EXHIBIT:
        pack = next(e.pack for e in state.exhibits if e.exhibit_id == wanted.name)
        what = f"{pack.files.sha256} {pack.suite.command}"
    subject = BASE if wanted.subject == BASE else f"tree {trees[wanted.subject]}"
    return subject, wanted.kind, what, str(wanted.run)


class Twins:
    """Of one deliberation, in one owner."""

    def __init__(self) -> None:
        self._found: dict[Key, Examination] = {}
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        """A lock is there for as long as somebody holds it or waits for it."""

    async def examined(self, same: Key, wanted: Wanted, make: Callable[[], Awaitable[Examination]]) -> Examination:
        """What `make` answers, or answered for its twin. Raises what `make` raises; then a twin tries by itself."""
        async with self._locks.setdefault(same, asyncio.Lock()):
            found = self._found.get(same)
            if found is None:
                found = self._found[same] = await make()
        return msgspec.structs.replace(found, subject=wanted.subject, name=wanted.name)
