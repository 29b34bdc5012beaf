"""Bundles made lately: every examination of a candidate begins with the same one."""

from collections import OrderedDict

from folkmoot.kernel.ids import CommitId, RepositoryId

Span = tuple[RepositoryId, CommitId, CommitId]
"""Repository, base, commit."""


class Recent:
    """At most `limit` bytes of them; the one that was asked for longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Span, bytes] = OrderedDict()

    def get(self, span: Span) -> bytes | None:
        if span in self._kept:
            self._kept.move_to_end(span)
        return self._kept.get(span)

    def put(self, span: Span, bundle: bytes) -> None:
        self._size += len(bundle) - len(self._kept.pop(span, b""))
        self._kept[span] = bundle
        while self._size > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)
