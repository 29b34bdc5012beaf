"""What check-outs need besides a repository's objects, fetched from the mirrors and the artifacts; the same for every
backend. What one check-out asked for is kept for the next."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import ArtifactRef, PackedFile
from folkmoot.kernel.ids import CommitId, RepositoryId
from folkmoot.runner import checkout
from folkmoot.runner.checkout import Stock
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.extraction import decoded
from folkmoot.runner.recent import Recent, Span
from folkmoot.runner.workspace import Wish

Bundles = Callable[[RepositoryId, CommitId, CommitId], Awaitable[bytes]]
"""What is there, and commit, to a bundle of what is between: `Mirrors.bundle_of`."""
Changes = Callable[[RepositoryId, CommitId, CommitId], Awaitable[bytes]]
"""Base and commit to what is between, as `git diff-tree --raw -z` says it: `Mirrors.changes`."""
Exhibits = Callable[[ArtifactRef], Awaitable[bytes]]
"""`Artifacts.get`."""
Objects = Callable[[RepositoryId], Path]
"""`Mirrors.objects`."""
Wants = Callable[[RepositoryId, CommitId], Awaitable[Wanted]]
"""A base to what it asks for besides its files: `Mirrors.environment`."""
Contents = Callable[[RepositoryId, Sequence[str]], Awaitable[list[bytes]]]
"""Object ids to what is in them: `Mirrors.contents`."""
_EXHIBIT_BYTES = 16 * 1024**2
"""Twice what `ExtractTests` packs: in JSON bytes are a third longer."""
_ROOM = 16 * 1024**2
"""Bytes of each kind that are kept for the next check-out."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where what is checked out comes from."""

    objects: Objects
    bundles: Bundles
    changes: Changes
    exhibits: Exhibits
    environment: Wants
    contents: Contents


class Stocks:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._changes = Recent[Span](_ROOM)
        self._exhibits = Recent[ArtifactRef](_ROOM)

    async def of(self, wish: Wish) -> Stock:
        """Raises NotFound for an unknown commit, InvalidInput for an exhibit that is none."""
        tree, of = wish.tree, wish.repository_id
        bundle = b"" if tree.commit == tree.below else await self._sources.bundles(of, tree.below, tree.commit)
        gone, kept = checkout.overlaid(tree, await self.changed(wish))
        return Stock(bundle=bundle, gone=gone, kept=kept, files=await self._laid_over(tree.exhibit))

    async def changed(self, wish: Wish) -> bytes:
        """What of the commit an overlay may concern."""
        tree = wish.tree
        span = (wish.repository_id, tree.base, tree.commit)
        if not tree.overlay or tree.commit == tree.base:
            return b""
        known = self._changes.get(span)
        if known is None:
            known = await self._sources.changes(*span)
            self._changes.put(span, known)
        return known

    async def _laid_over(self, exhibit: ArtifactRef | None) -> tuple[PackedFile, ...]:
        if exhibit is None:
            return ()
        if exhibit.size > _EXHIBIT_BYTES:
            raise InvalidInput("exhibit_size", f"{exhibit.size} bytes; at most {_EXHIBIT_BYTES}")
        known = self._exhibits.get(exhibit)
        if known is None:
            known = await self._sources.exhibits(exhibit)
            self._exhibits.put(exhibit, known)
        return decoded(known, "exhibit_sha256")
