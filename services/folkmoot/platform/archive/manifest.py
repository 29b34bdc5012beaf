"""The first member of an export: what it holds, under which digests. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.platform.archive.record import Record

FORMAT = "folkmoot.export.v1"
NAME = "manifest.json"
MAX_BYTES = 16 * 1024 * 1024
MAX_SUBJECTS = 10_000
MAX_MEMBERS = 200_000
MAX_EVENTS_BYTES = 256 * 1024 * 1024
"""Of one subject."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One subject: a file with an event a line, each byte for byte as it is stored."""

    subject: str
    events: int
    head: str
    """Digest of the last one: the end of its chain."""
    size: int
    sha256: str
    """Both of the file."""

    @property
    def member(self) -> str:
        return f"events/{self.subject}.jsonl"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    of: str
    """Id of the story or task."""
    subjects: tuple[Part, ...]
    artifacts: tuple[ArtifactRef, ...]
    """Files `artifacts/<sha256>`, sorted."""

    @property
    def mark(self) -> str:
        """Tells one export from another."""
        return hashlib.sha256(encoded(self)).hexdigest()


def described(found: Record, artifacts: Sequence[ArtifactRef]) -> Manifest:
    return Manifest(
        format=FORMAT,
        of=found.of,
        subjects=tuple(_part(subject.name, subject.bodies, subject.head) for subject in found.subjects),
        artifacts=tuple(artifacts),
    )


def lines(bodies: Sequence[bytes]) -> bytes:
    """A subject as a file. Raises InvalidInput when a body has a line feed in it: none that we wrote has."""
    if any(b"\n" in body for body in bodies):
        raise InvalidInput("events", "an event holds a line feed, which no event of ours does")
    return b"".join(body + b"\n" for body in bodies)


def encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decoded(body: bytes) -> Manifest:
    """Raises InvalidInput naming the field."""
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(NAME, str(error)) from error
    if manifest.format != FORMAT:
        raise InvalidInput(f"{NAME}: format", f"{manifest.format[:80]!r}; this version reads {FORMAT}")
    if not 0 < len(manifest.subjects) <= MAX_SUBJECTS:
        raise InvalidInput(f"{NAME}: subjects", f"{len(manifest.subjects)}; from 1 to {MAX_SUBJECTS}")
    if encoded(manifest) != body:
        raise InvalidInput(NAME, "is not written as this version writes it")
    return manifest


def _part(subject: str, bodies: Sequence[bytes], head: str) -> Part:
    body = lines(bodies)
    return Part(subject=subject, events=len(bodies), head=head, size=len(body), sha256=hashlib.sha256(body).hexdigest())
