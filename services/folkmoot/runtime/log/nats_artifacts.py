"""Large bodies in JetStream's object store, under their SHA-256.

The stored form is the object store's own, so that any NATS tool can read it. The procedure is ours: since a name says
its content, pieces are written behind a fence on one subject, a second writer goes on where the first one stopped, and
neither purge rights nor a consumer per read are needed.
"""

import base64
import hashlib
import secrets
from datetime import datetime, timedelta

import msgspec

from folkmoot.kernel.errors import BrokenChain, InvalidInput, NotFound, Unavailable
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.jetstream import Raw, direct_pages, fenced, leader_get
from folkmoot.runtime.log.topology import BUCKET, OBJECTS
from folkmoot.runtime.log.wire import Refused, Wire

PIECE_BYTES = 256 * 1024
RENEWED_AFTER = timedelta(hours=1)
"""An artifact that is put again after so long gets a new date; retention takes away none that is younger than two."""
_REMEMBERED = 1_000
"""Names, some 200 bytes each."""
_PIECES = 16
"""Of one batch: 4 MiB."""


class NatsArtifacts:
    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._met: dict[str, None] = {}
        """Names that were put lately. They are looked for first: most are there, though they may be gone by now."""

    async def put(self, body: bytes) -> ArtifactRef:
        limit = self._wire.settings.artifact_bytes
        if len(body) > limit:
            raise InvalidInput("body", f"{len(body)} bytes; at most {limit}")
        ref = ArtifactRef(sha256=hashlib.sha256(body).hexdigest(), size=len(body))
        if ref.sha256 not in self._met and await self._written_anew(ref, body):
            return ref
        there = await self._meta(ref)
        if there is None:
            await self._write(ref, body)
        elif self._clock.now() - stored_at(there) > RENEWED_AFTER:
            await self._renew(ref, there)
        return ref

    async def get(self, ref: ArtifactRef) -> bytes:
        pieces = await self._pieces(ref)
        body = b"".join([piece.body for piece in pieces])
        whole = hashlib.sha256(body).hexdigest() == ref.sha256
        if (not whole or not pieces) and await self._meta(ref) is None:
            raise NotFound(f"no artifact {ref.sha256}")
        if not whole:
            raise BrokenChain(f"artifact {ref.sha256}: its {len(body)} bytes are not what the name says")
        return body

    async def _written_anew(self, ref: ArtifactRef, body: bytes) -> bool:
        """Most bodies are new and one piece: those are written without a look. False where that is not so."""
        self._remember(ref)
        if not 0 < len(body) <= PIECE_BYTES:
            return False
        subject = pieces_subject(ref.sha256)
        try:
            ack = await self._wire.store(subject, body, fenced(OBJECTS.name, secrets.token_hex(16), 0))
        except Refused as refusal:
            if not refusal.fence:
                raise Unavailable(str(refusal)) from refusal
            return False
        if not ack.duplicate:
            await self._append(meta_subject(ref.sha256), _meta(ref), 0)
        return not ack.duplicate

    def _remember(self, ref: ArtifactRef) -> None:
        self._met[ref.sha256] = None
        if len(self._met) > _REMEMBERED:
            del self._met[next(iter(self._met))]

    async def _write(self, ref: ArtifactRef, body: bytes) -> None:
        written = await self._pieces(ref)
        done = b"".join([piece.body for piece in written])
        if not body.startswith(done):
            raise BrokenChain(f"artifact {ref.sha256}: what is stored is no part of it")
        last = written[-1].seq if written else 0
        for start in range(len(done), len(body), PIECE_BYTES):
            last = await self._append(pieces_subject(ref.sha256), body[start : start + PIECE_BYTES], last)
        await self._append(meta_subject(ref.sha256), _meta(ref), 0)

    async def _renew(self, ref: ArtifactRef, there: Raw) -> None:
        """Say that it is wanted again, so that nobody takes it away before an event names it."""
        await self._append(meta_subject(ref.sha256), _meta(ref), there.seq)

    async def _append(self, subject: str, body: bytes, last: int) -> int:
        """Behind `last`; whoever writes the same piece first is as good as we. Answers its stream sequence.

        The id is new each time: what was just dropped would else be taken for a repetition, and not be stored.
        """
        ident = secrets.token_hex(16)
        try:
            ack = await self._wire.store(subject, body, fenced(OBJECTS.name, ident, last))
        except Refused as refusal:
            if not refusal.fence:
                raise Unavailable(str(refusal)) from refusal
        else:
            if not ack.duplicate:
                return ack.seq
        there = await leader_get(self._wire, OBJECTS.name, {"seq": last + 1, "next_by_subj": subject})
        if there is None or (there.body != body and not subject.startswith(f"$O.{BUCKET}.M.")):
            raise BrokenChain(f"{subject}: something else stands behind {last}")
        return there.seq

    async def _meta(self, ref: ArtifactRef) -> Raw | None:
        return await leader_get(self._wire, OBJECTS.name, {"last_by_subj": meta_subject(ref.sha256)})

    async def _pieces(self, ref: ArtifactRef) -> list[Raw]:
        request = {"next_by_subj": pieces_subject(ref.sha256), "batch": _PIECES}
        return await direct_pages(self._wire, OBJECTS.name, request, start=1)


def pieces_subject(sha256: str) -> str:
    return f"$O.{BUCKET}.C.{sha256}"


def meta_subject(sha256: str) -> str:
    return f"$O.{BUCKET}.M.{base64.urlsafe_b64encode(sha256.encode()).decode()}"


def named_by(meta: str) -> str:
    """The digest that a meta subject is about."""
    return base64.urlsafe_b64decode(meta.rpartition(".")[2]).decode()


def stored_at(raw: Raw) -> datetime:
    return datetime.fromisoformat(raw.at)


def _meta(ref: ArtifactRef) -> bytes:
    digest = base64.urlsafe_b64encode(bytes.fromhex(ref.sha256)).decode()
    return msgspec.json.encode(
        {
            "name": ref.sha256,
            "bucket": BUCKET,
            "nuid": ref.sha256,
            "size": ref.size,
            "chunks": -(-ref.size // PIECE_BYTES),
            "digest": f"SHA-256={digest}",
            "options": {"max_chunk_size": PIECE_BYTES},
        }
    )
