"""Tests taken out of a candidate, or handed in as files, so that they can be run alone on any commit."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import ArtifactRef, PackedFile, PreparedBase, TestPack
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import basetree, interference, policy, suites, testfiles
from folkmoot.runner.border.entries import Entry, new_file, raw_entries, shown
from folkmoot.runner.border.tree import unfit
from folkmoot.runner.git import Git
from folkmoot.runner.objects import reading
from folkmoot.runner.testfiles import Base
from folkmoot.runtime.log.port import Artifacts

PACK_FILES = 200
PACK_BYTES = 8 * 1024**2
"""Of all files of one pack together."""
GIVEN_FILES = 8
GIVEN_BYTES = 64 * 1024
"""Of one file that is handed in."""
PROBLEMS = 20
"""That are told one by one."""
_GIVEN_JSON_BYTES = 2 * 1024**2
_BASES = 8
"""That are remembered, with all their paths."""
_SMALL_FILE_BYTES = 512 * 1024
_PROTECTED = policy.matcher(policy.PROTECTED)
_TESTS = policy.matcher(policy.TESTS)


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    packs: tuple[TestPack, ...] = ()
    """One for each runner (and Go module) that is needed."""
    production: tuple[str, ...] = ()
    """Changed paths that are neither tests nor what tests need."""
    problems: tuple[str, ...] = ()
    """What is left out and why, in words; each begins with the path where it is about one."""


class Extraction:
    """Of one runner. What bases look like is remembered: each is asked about once for every candidate and finding."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._bases: dict[CommitId, Base] = {}

    async def of_commit(self, git: Git, base: PreparedBase, commit: CommitId) -> Extracted:
        """The tests that `commit` adds to base or changes; of a changed file the whole new content.

        Raises GitFailed, Unavailable.
        """
        raw = await git.out("diff-tree", "-r", "--raw", "-z", "--no-renames", base.commit, commit)
        entries = raw_entries(raw)
        odd = [e for e in entries if not e.deleted and not (e.new_mode.startswith("100") and basetree.is_utf8(e.path))]
        plain = {e.path.decode(): e for e in entries if not e.deleted and e not in odd}
        found = testfiles.parts(plain)
        gone = [shown(e.path) for e in entries if e.deleted and not testfiles.of_tests(shown(e.path))]
        left = [e for e in odd if policy.matches(_TESTS, e.path)]
        rest = [shown(e.path) for e in odd if e not in left]
        files = await _contents(git, [plain[p] for p in (*found.tests, *found.needed)] if found.tests else [])
        packs, problems = await self._packed(git, base, found.tests, files)
        return Extracted(
            packs=packs,
            production=tuple(sorted([*found.rest, *gone, *rest])),
            problems=_told([*(f"{shown(e.path)}: is no file with a name in UTF-8" for e in left), *problems]),
        )

    async def of_files(self, git: Git, base: PreparedBase, given: ArtifactRef) -> Extracted:
        """Tests of any name that a runner knows, each new to base. Files that no runner runs come along as data.

        Raises InvalidInput("files") for what is no list of files, NotFound, GitFailed, Unavailable.
        """
        if given.size > _GIVEN_JSON_BYTES:
            raise InvalidInput("files", f"{given.size} bytes; at most {_GIVEN_JSON_BYTES}")
        files = decoded(await self._artifacts.get(given), "files")
        known = await self._base(git, base)
        problems = {f.path: why for i, f in enumerate(files) if (why := _wrong(f, files[:i], known, i))}
        sound = [f for f in files if f.path not in problems]
        tests = [f.path for f in sound if testfiles.runnable(f.path)]
        packs, more = await self._packed(git, base, tests, {f.path: f for f in sound})
        return Extracted(packs=packs, problems=_told([*(f"{_shown(p)}: {why}" for p, why in problems.items()), *more]))

    async def _packed(
        self, git: Git, base: PreparedBase, tests: Sequence[str], files: Mapping[str, PackedFile]
    ) -> tuple[tuple[TestPack, ...], list[str]]:
        """Packs, and problems in words."""
        if not tests:
            return (), []
        size = sum(len(f.content) for f in files.values())
        if len(files) > PACK_FILES or size > PACK_BYTES:
            return (), [f"{len(files)} files of {size} bytes: at most {PACK_FILES} of {PACK_BYTES} bytes together"]
        groups, problems = testfiles.groups([files[p] for p in tests], await self._base(git, base))
        packs = []
        for group in groups:
            # Tests that another command runs stay out: this one could take them for its own.
            others = set(tests) - set(group.paths)
            body = [files[path] for path in sorted(files) if path not in others]
            stored = await self._artifacts.put(msgspec.json.encode(body))
            packs.append(TestPack(files=stored, paths=group.paths, suite=group.suite))
        return tuple(packs), list(problems)

    async def _base(self, git: Git, base: PreparedBase) -> Base:
        known = self._bases.get(base.commit)
        if known is None or known.suite != base.suite:
            known = await _looked_at(git, base)
            while len(self._bases) >= _BASES:
                del self._bases[next(iter(self._bases))]
            self._bases[base.commit] = known
        return known


def decoded(body: bytes, field: str) -> tuple[PackedFile, ...]:
    """Raises InvalidInput naming `field`."""
    try:
        return msgspec.json.decode(body, type=tuple[PackedFile, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(field, f"is no list of files: {error}") from error


async def _contents(git: Git, entries: Sequence[Entry]) -> dict[str, PackedFile]:
    """The border has seen to it that they are not large."""
    if not entries:
        return {}
    async with reading(git) as objects:
        bodies = await objects.contents([e.new_object for e in entries])
    return {
        e.path.decode(): PackedFile(path=e.path.decode(), content=body, executable=e.new_mode == "100755")
        for e, body in zip(entries, bodies, strict=True)
    }


async def _looked_at(git: Git, base: PreparedBase) -> Base:
    listing = await git.out("ls-tree", "-r", "-t", "-z", "--full-tree", base.commit, limit=512 * 1024**2)
    rows = [row.partition(b"\t") for row in listing.split(b"\0")[:-1]]
    kinds = {path.decode("utf-8", "surrogateescape"): head.split(b" ") for head, _, path in rows}
    return Base(
        suite=base.suite,
        paths=frozenset(kinds),
        leaves=frozenset(path for path, head in kinds.items() if head[1] != b"tree"),
        foreign=await _foreign(git, kinds.get("package.json", [])),
    )


async def _foreign(git: Git, head: Sequence[bytes]) -> str:
    if not head or not head[0].startswith(b"100"):
        return ""
    name = head[2].decode("ascii")
    async with reading(git) as objects:
        [about] = await objects.about([name])
        bodies = await objects.contents([name]) if about.size <= _SMALL_FILE_BYTES else [b""]
    return suites.foreign_node_runner({"package.json": bodies[0].decode("utf-8", "replace")})


def _wrong(file: PackedFile, before: Sequence[PackedFile], base: Base, index: int) -> str:
    """Why a file that was handed in is left out; empty when it is not."""
    if index >= GIVEN_FILES:
        return f"at most {GIVEN_FILES} files are taken"
    if len(file.content) > GIVEN_BYTES:
        return f"has {len(file.content)} bytes; at most {GIVEN_BYTES}"
    return _forbidden(file.path) or _in_the_way(file.path, {f.path for f in before}, base)


def _forbidden(path: str) -> str:
    try:
        name = path.encode()
    except UnicodeEncodeError:
        return "is no name in UTF-8"
    if reason := unfit(name):
        return reason
    if module := interference.shadowed(new_file(name)):
        return f"would be imported instead of the module `{module}` that runs tests"
    if policy.steers(name) or (policy.matches(_PROTECTED, name) and not policy.matches(_TESTS, name)):
        return "steers more than one test"
    return ""


def _in_the_way(path: str, before: Iterable[str], base: Base) -> str:
    if path in base.paths:
        return "is in base already: choose another name"
    above = ["/".join(path.split("/")[:i]) for i in range(1, path.count("/") + 1)]
    if any(folder in base.leaves for folder in above):
        return "lies below something of base that is no folder"
    others = set(before)
    if path in others or any(f in others for f in above) or any(o.startswith(f"{path}/") for o in others):
        return "is named twice, as file or as folder"
    return ""


def _shown(path: str) -> str:
    return shown(path.encode("utf-8", "surrogatepass"))[:200]


def _told(problems: Sequence[str]) -> tuple[str, ...]:
    more = len(problems) - PROBLEMS
    return (*problems[:PROBLEMS], *([f"… and {more} more"] if more > 0 else []))
