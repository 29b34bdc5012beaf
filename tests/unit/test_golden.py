import hashlib
import json
from pathlib import Path

import pytest

from folkmoot.kernel.facts import CODEC

VERSIONS = sorted(p for p in (Path(__file__).parent / "golden").iterdir() if p.is_dir())
FILES = [file for version in VERSIONS for file in sorted(version.glob("*.json"))]


def keeps(stored: object, now: object) -> bool:
    """All that was stored is still there; fields that came later may have joined it."""
    if isinstance(stored, dict) and isinstance(now, dict):
        return all(k in now and keeps(v, now[k]) for k, v in stored.items())
    if isinstance(stored, list) and isinstance(now, list):
        return len(stored) == len(now) and all(map(keeps, stored, now))
    return stored == now


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_was_ever_stored_still_loads(file: Path) -> None:
    """An event of every version loads, and nothing of it is lost or changed."""
    stored = json.loads(file.read_bytes())
    event = CODEC.decode(file.read_bytes())
    assert event.type == event.data.type_name == stored["type"]
    assert keeps(stored, json.loads(CODEC.encode(event)))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
def test_golden_files_are_never_changed(version: Path) -> None:
    """A file once written is a promise: the sums say which, and none is missing or new without one."""
    lines = (version / "SHA256SUMS").read_text().splitlines()
    promised = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert promised == {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in version.glob("*.json")}


def test_every_fact_has_a_golden_file() -> None:
    """A new fact cannot be forgotten."""
    assert CODEC.types == {json.loads(f.read_bytes())["type"] for f in FILES}
