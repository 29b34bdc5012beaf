"""Generates `protos/gen` from `protos/folkmoot`; `--check` only says whether it is up to date (exit 1 when not).

Usage: python deploy/protos.py [--check]
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
GENERATED = SOURCES / "gen"
WELL_KNOWN = Path(str(grpc_tools.__file__)).parent / "_proto"


def generate(target: Path) -> None:
    """Write the Python modules, their stubs and the package files below `target`. Raises SystemExit."""
    files = sorted(str(p.relative_to(SOURCES)) for p in (SOURCES / "folkmoot").rglob("*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python")]
    outputs += [f"--{kind}_out=quiet:{target}" for kind in ("mypy", "mypy_grpc")]
    # protoc finds protoc-gen-mypy on PATH: `make` puts the environment's bin first.
    if protoc.main(["protoc", f"-I{SOURCES}", f"-I{WELL_KNOWN}", *outputs, *files]):
        raise SystemExit("protoc failed")
    api = target / "folkmoot" / "api"
    for folder in [api, *(p for p in sorted(api.rglob("*")) if p.is_dir())]:
        (folder / "__init__.py").touch()
    (api / "py.typed").touch()


def differing(left: Path, right: Path) -> list[str]:
    """Paths that are not the same in both trees."""
    names = {
        p.relative_to(t) for t in (left, right) for p in t.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    return sorted(
        str(n)
        for n in names
        if not ((left / n).is_file() and (right / n).is_file() and filecmp.cmp(left / n, right / n, False))
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        stale = differing(fresh, GENERATED)
        if "--check" in sys.argv[1:]:
            if stale:
                raise SystemExit("protos/gen is out of date; run `make proto`:\n  " + "\n  ".join(stale))
            return
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)


if __name__ == "__main__":
    main()
