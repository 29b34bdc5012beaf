"""What base's tree says to a person and to the platform: notices, configuration, suite."""

from collections.abc import Sequence

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import TestSuite
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import repoconfig, suites
from folkmoot.runner.border.entries import shown
from folkmoot.runner.environment import wanted as environments
from folkmoot.runner.environment.wanted import File, Wanted
from folkmoot.runner.git import Git
from folkmoot.runner.policy import PROTECTED

BIG_FILE_BYTES = 50_000_000
_SMALL_FILE_BYTES = 512 * 1024
_LFS_SIZES = range(100, 1_025)
"""Bytes; the LFS specification caps pointers at 1024."""
_LFS_LOOKED_AT = 5_000
_LFS_HEAD = b"version https://git-lfs.github.com/spec/v1\n"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `git ls-tree -r --long`."""

    mode: str
    object_id: str
    size: int
    """Bytes; 0 for a submodule."""
    path: bytes


class BaseTree(msgspec.Struct, frozen=True, kw_only=True):
    suite: TestSuite | None
    protected: tuple[str, ...]
    config: repoconfig.RepositoryConfig
    notices: tuple[str, ...]
    wanted: Wanted
    """What is there besides its files."""


async def read_tree(git: Git, commit: CommitId) -> BaseTree:
    """Raises InvalidInput for a `.moot.toml` that cannot be used."""
    nodes = parsed(await git.out("ls-tree", "-r", "-z", "--long", "--full-tree", commit, limit=512 * 1024**2))
    config = repoconfig.parsed(await _config_file(git, nodes))
    contents = await _contents(git, nodes, suites.READ)
    paths = [n.path.decode("utf-8", "surrogateescape") for n in nodes]
    detected = suites.detected(paths, contents)
    suite = repoconfig.suite(config.tests, detected)
    wanted = _wanted(config, nodes, detected)
    pointers = await _lfs_pointers(git, nodes)
    return BaseTree(
        suite=suite,
        protected=(*PROTECTED, *suites.steering(config.tests.command or "", paths), *config.protect.paths),
        config=config,
        notices=(*notices(nodes, pointers), *_suite_notices(suite, contents), *environment_notices(wanted)),
        wanted=wanted,
    )


def _wanted(config: repoconfig.RepositoryConfig, nodes: Sequence[Node], detected: TestSuite | None) -> Wanted:
    """Whoever says how tests are run knows what they need; what was found by its files names its program."""
    runner = detected.runner.value if detected and config.tests.command is None else ""
    environment = config.environment
    try:
        files = environments.files(environment, _plain_files(nodes) if environment.setup.strip() else {})
    except environments.Unusable as error:
        raise repoconfig.unusable(error) from error
    return Wanted(config=environment, files=files, runner=runner if runner in ("go", "node") else "")


def _plain_files(nodes: Sequence[Node]) -> dict[str, File]:
    named = ((n.path.decode("utf-8", "surrogateescape"), n) for n in nodes if n.mode.startswith("100"))
    return {path: File(path, n.object_id, n.mode == "100755", n.size) for path, n in named}


def parsed(listing: bytes) -> list[Node]:
    nodes = []
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, object_id, size = head.decode("ascii").split()
        nodes.append(Node(mode=mode, object_id=object_id, size=int(size) if size != "-" else 0, path=path))
    return nodes


def notices(nodes: Sequence[Node], lfs_pointers: int) -> list[str]:
    """What a person should know, in words. Pure."""
    submodules = [n.path for n in nodes if n.mode == "160000"]
    big = [n.path for n in nodes if n.size > BIG_FILE_BYTES]
    odd = [n.path for n in nodes if not is_utf8(n.path)]
    said = []
    if submodules:
        said.append(f"{_some(submodules, 'submodule')}: their folders stay empty in workspaces")
    if lfs_pointers:
        said.append(f"{lfs_pointers} Git LFS pointer(s): workspaces hold the pointers, not the files")
    if big:
        said.append(f"{_some(big, 'file')} of more than {BIG_FILE_BYTES // 1_000_000} MB: workspaces open slowly")
    if odd:
        said.append(f"{_some(odd, 'name')} not in UTF-8: shown with escapes")
    if any(n.path.startswith(b"folkmoot/") for n in nodes):
        said.append(
            "a top-level folder is named `folkmoot`, as the platform's own package: it stays inside the sandbox"
        )
    return said


def environment_notices(wanted: Wanted) -> list[str]:
    if not wanted.files:
        return []
    names = _some([file.path.encode("utf-8", "surrogateescape") for file in wanted.files], "file")
    return [f"the environment is set up from base's {names}: a candidate that changes one is examined without that"]


def _suite_notices(suite: TestSuite | None, contents: dict[str, str]) -> list[str]:
    said = []
    foreign = suites.foreign_node_runner(contents)
    if suite is None and foreign:
        said.append(f"package.json tests with {foreign}, which is not at hand: set tests.command in .moot.toml")
    elif suite is None:
        said.append("no tests were found: set tests.command in .moot.toml, or give checks")
    return said


async def _config_file(git: Git, nodes: Sequence[Node]) -> bytes:
    node = next((n for n in nodes if n.path == repoconfig.NAME.encode()), None)
    if node is None:
        return b""
    if not node.mode.startswith("100"):
        raise InvalidInput(repoconfig.NAME, "is no regular file")
    if node.size > repoconfig.MAX_BYTES:
        raise InvalidInput(repoconfig.NAME, f"{node.size} bytes; at most {repoconfig.MAX_BYTES}")
    return await git.out("cat-file", "blob", node.object_id)


async def _contents(git: Git, nodes: Sequence[Node], names: Sequence[str]) -> dict[str, str]:
    wanted = {name.encode() for name in names}
    small = [n for n in nodes if n.path in wanted and n.mode.startswith("100") and n.size <= _SMALL_FILE_BYTES]
    bodies = await blobs(git, [n.object_id for n in small])
    return {n.path.decode(): b.decode("utf-8", "replace") for n, b in zip(small, bodies, strict=True)}


async def _lfs_pointers(git: Git, nodes: Sequence[Node]) -> int:
    """Only where some `.gitattributes` speaks of LFS at all."""
    files = [n for n in nodes if n.mode.startswith("100")]
    rules = [n for n in files if n.path.rpartition(b"/")[2] == b".gitattributes" and n.size <= _SMALL_FILE_BYTES]
    texts = await blobs(git, [n.object_id for n in rules[:100]])
    if not any(b"filter=lfs" in text for text in texts):
        return 0
    likely = [n.object_id for n in files if n.size in _LFS_SIZES][:_LFS_LOOKED_AT]
    return sum(body.startswith(_LFS_HEAD) for body in await blobs(git, likely))


async def blobs(git: Git, object_ids: Sequence[str]) -> list[bytes]:
    """Contents in the order of `object_ids`; the caller knows that they are small. Raises GitFailed."""
    if not object_ids:
        return []
    asked = "".join(f"{o}\n" for o in object_ids).encode()
    answer = await git.out("cat-file", "--batch", stdin=asked, limit=512 * 1024**2)
    bodies, at = [], 0
    for _ in object_ids:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].rsplit(b" ", 1)[1])
        bodies.append(answer[end + 1 : end + 1 + size])
        at = end + 1 + size + 1
    return bodies


def is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _some(paths: Sequence[bytes], what: str, show: int = 3) -> str:
    names = ", ".join(shown(p)[:100] for p in paths[:show]) + (", …" if len(paths) > show else "")
    return f"{len(paths)} {what}{'s' * (len(paths) != 1)} ({names})"
