"""An export, read as what it is: a stranger's file. Nothing is unpacked, nothing is believed before it is checked."""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from folkmoot.kernel.errors import BrokenChain, CallerError, FailedPrecondition, InvalidInput
from folkmoot.kernel.events import MAX_EVENT_BYTES
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.platform.archive import manifest
from folkmoot.platform.archive.manifest import Manifest, Part
from folkmoot.platform.archive.record import Record, Subject, examinations, named, record, subject_of, within
from folkmoot.runtime.log import topology
from folkmoot.runtime.log.jetstream import Raw


class Opened:
    """Its members, in the one order that is allowed: manifest, events, artifacts."""

    def __init__(self, tar: tarfile.TarFile, told: Manifest, members: dict[str, tarfile.TarInfo]) -> None:
        self._tar = tar
        self._members = members
        self.manifest = told

    def record(self) -> Record:
        """Raises InvalidInput naming the member, BrokenChain, FailedPrecondition("running")."""
        found: dict[str, Subject] = {}
        for part in self.manifest.subjects:
            if part.subject in found:
                raise InvalidInput(part.member, "stands there twice")
            found[part.subject] = self._subject(part)
        try:
            return record(self.manifest.of, found)
        except FailedPrecondition:
            raise
        except CallerError as error:
            raise InvalidInput("events", str(error)) from error

    def artifact(self, ref: ArtifactRef) -> bytes:
        """Raises InvalidInput when it is not what its name says."""
        member = f"artifacts/{ref.sha256}"
        body = self._read(member, ref.size)
        if hashlib.sha256(body).hexdigest() != ref.sha256:
            raise InvalidInput(member, "is not what its name says")
        return body

    def check_artifacts(self, found: Record) -> None:
        """All that the events name is there, and nothing else. Raises InvalidInput."""
        there = {ref.sha256: ref for ref in self.manifest.artifacts}
        wanted: dict[str, ArtifactRef] = {}
        for fact in (stored.event.data for subject in found.subjects for stored in subject.events):
            wanted |= {ref.sha256: ref for ref in named(fact)}
            for ref in examinations(fact):
                wanted |= {r.sha256: r for r in self._within(ref, there)}
        if list(there.values()) != [wanted[name] for name in sorted(wanted)]:
            odd = sorted(set(there) ^ set(wanted)) or sorted(n for n in there if there[n] != wanted[n]) or ["order"]
            raise InvalidInput("artifacts", f"they are not what the events name; see {odd[0][:64]!r}")
        for ref in there.values():
            self.artifact(ref)

    def _within(self, ref: ArtifactRef, there: dict[str, ArtifactRef]) -> tuple[ArtifactRef, ...]:
        if there.get(ref.sha256) != ref:
            raise InvalidInput("artifacts", f"{ref.sha256[:64]!r} is missing")
        try:
            return within(ref, self.artifact(ref))
        except BrokenChain as error:
            raise InvalidInput("artifacts", str(error)) from error

    def _subject(self, part: Part) -> Subject:
        if topology.stream_of(part.subject) not in (topology.AGILE, topology.DELIBERATIONS):
            raise InvalidInput(part.member, "lies in no log of stories or tasks")
        body = self._read(part.member, part.size)
        if hashlib.sha256(body).hexdigest() != part.sha256:
            raise InvalidInput(part.member, "is not what the manifest says")
        bodies = body.split(b"\n")
        if bodies.pop() != b"" or not bodies or any(len(b) > MAX_EVENT_BYTES for b in bodies):
            raise InvalidInput(part.member, f"is no list of events of at most {MAX_EVENT_BYTES} bytes")
        try:
            subject = subject_of([Raw(subject=part.subject, seq=i, body=b) for i, b in enumerate(bodies, 1)])
        except InvalidInput as error:
            raise InvalidInput(part.member, str(error)) from error
        if (subject.head, len(bodies)) != (part.head, part.events):
            raise BrokenChain(f"{part.member}: it does not end where the manifest says")
        return subject

    def _read(self, name: str, size: int) -> bytes:
        member = self._members.get(name)
        if member is None or member.size != size:
            raise InvalidInput(name[:200], "is missing, or of another size than the manifest says")
        body = self._tar.extractfile(member)
        assert body is not None, "only plain files are among the members"
        return body.read()


@contextmanager
def opened(path: Path, *, artifact_bytes: int) -> Iterator[Opened]:
    """Raises InvalidInput naming file or member, NotFound by the system's OSError."""
    try:
        with tarfile.open(path, mode="r:", errorlevel=2) as tar:
            members = list(_members(tar, artifact_bytes))
            if not members or members[0].name != manifest.NAME or members[0].size > manifest.MAX_BYTES:
                raise InvalidInput(
                    "FILE", f"does not begin with a {manifest.NAME} of at most {manifest.MAX_BYTES} bytes"
                )
            head = tar.extractfile(members[0])
            assert head is not None, "only plain files are among the members"
            told = manifest.decoded(head.read())
            _require_order(told, [member.name for member in members])
            yield Opened(tar, told, {member.name: member for member in members})
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise InvalidInput("FILE", f"is no export: {error}") from error


def _members(tar: tarfile.TarFile, artifact_bytes: int) -> Iterator[tarfile.TarInfo]:
    """No link, no device, no folder, nothing sparse, nothing huge."""
    for count, member in enumerate(tar):
        limit = artifact_bytes if member.name.startswith("artifacts/") else manifest.MAX_EVENTS_BYTES
        if member.type != tarfile.REGTYPE or member.issparse() or member.size > limit:
            raise InvalidInput(member.name[:200], f"is no plain file of at most {limit} bytes")
        if count > manifest.MAX_MEMBERS:
            raise InvalidInput("FILE", "holds too many members")
        yield member


def _require_order(told: Manifest, names: list[str]) -> None:
    """Exactly what the manifest says, in its order: nothing hides between."""
    wanted = [manifest.NAME, *(part.member for part in told.subjects)]
    wanted += [f"artifacts/{ref.sha256}" for ref in told.artifacts]
    for should, name in zip(wanted, names, strict=False):
        if should != name:
            raise InvalidInput(name[:200], f"stands where the manifest has {should[:200]!r}")
    if len(wanted) != len(names):
        raise InvalidInput("FILE", f"holds {len(names)} members; the manifest says {len(wanted)}")
