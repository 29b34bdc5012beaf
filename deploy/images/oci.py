"""One image as an archive in the OCI image layout, which containerd, podman, skopeo and docker (25 and later) import.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TYPE = "application/vnd.oci.image"
_PIECE = 1 << 20


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that is there."""

    archive: Path
    name: str
    """With its tag: `localhost/folkmoot/pause:1`."""
    digest: str
    """Of its manifest: `sha256:...`."""

    @property
    def by_digest(self) -> str:
        """What a pod asks for that must get these bytes and no others."""
        return f"{self.name.rsplit(':', 1)[0]}@{self.digest}"


def note(image: Image) -> None:
    """Write beside the archive what it is, for `noted`."""
    content = msgspec.json.encode({"name": image.name, "digest": image.digest})
    image.archive.with_suffix(".json").write_bytes(content)


def noted(archive: Path) -> Image | None:
    """The image whose archive, and note of it, were written whole."""
    file = archive.with_suffix(".json")
    if not file.is_file():
        return None
    fields = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return Image(archive=archive, name=fields["name"], digest=fields["digest"])


def write(archive: Path, name: str, layer: Path, config: Mapping[str, object]) -> Image:
    """An image of one layer (an uncompressed tar file); `config` is what an image says of running it."""
    content = _digest(layer)
    described = _json(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [content]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _reference("config.v1+json", described),
            "layers": [{"mediaType": f"{_TYPE}.layer.v1.tar", "digest": content, "size": layer.stat().st_size}],
        }
    )
    entry = _reference("manifest.v1+json", manifest) | {"annotations": {"io.containerd.image.name": name}}
    draft = archive.with_suffix(".part")
    with tarfile.open(draft, "w") as out:
        _add(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(out, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (described, manifest):
            _add(out, _blob(_sha256(blob)), blob)
        with layer.open("rb") as file:
            out.addfile(_header(_blob(content), layer.stat().st_size), file)
    draft.rename(archive)
    return Image(archive=archive, name=name, digest=_sha256(manifest))


def _json(document: object) -> bytes:
    return msgspec.json.encode(document)


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def _reference(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": f"{_TYPE}.{kind}", "digest": _sha256(blob), "size": len(blob)}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _header(name: str, size: int) -> tarfile.TarInfo:
    """Owned by root, of the year 1970: the same archive whenever it is made."""
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o644
    return header


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    out.addfile(_header(name, len(content)), io.BytesIO(content))
