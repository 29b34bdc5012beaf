"""Bodies made or fetched lately: every examination of a candidate begins with the same ones."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from folkmoot.kernel.ids import CommitId, RepositoryId

Span = tuple[RepositoryId, CommitId, CommitId]
"""Repository, base, commit."""


Key = TypeVar("Key", bound=Hashable)


MOST = 512
"""Of whatever size: a runner's deliberations have some hundred candidates at once, and small bodies are many."""


class Recent(Generic[Key]):
    """At most `limit` bytes of them, and MOST; the one that was asked for longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()

    def get(self, key: Key) -> bytes | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Key, body: bytes) -> None:
        self._size += len(body) - len(self._kept.pop(key, b""))
        self._kept[key] = body
        while self._size > self._limit or len(self._kept) > MOST:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)
