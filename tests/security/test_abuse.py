"""Every attack of `tests/security/abuse`, on the local backend: tried, refused, and nothing outside has changed. The
same on Kubernetes: test_abuse_kubernetes.py."""

import asyncio
import ctypes
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from folkmoot.kernel.evidence import Admission
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures import need
from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import Attack, judged
from tests.security.abuse.backends import BACKENDS, NotThereError, local
from tests.security.abuse.git import honest
from tests.security.abuse.lures import Lures, lures, root
from tests.security.abuse.table import ATTACKS
from tests.security.abuse.tripwire import Tripwire, ipc_key

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """One for all attacks."""
    folder = tmp_path_factory.mktemp("abuse")
    try:
        async with local(folder) as ready:
            yield ready
    except NotThereError as error:
        need(condition=False, reason=str(error))


@pytest.mark.parametrize("attack", ATTACKS, ids=[f"{a.family}: {a.name}" for a in ATTACKS])
async def test_refused(arena: Arena, attack: Attack) -> None:
    """It was tried, what it was told is a refusal, and the tripwire is whole."""
    verdict = await arena.alone(attack)
    assert verdict.stands, verdict.seen


@pytest.mark.parametrize(("losses", "refused"), [(1, True), (2, False)])
async def test_a_workspace_that_an_earlier_attack_lost(arena: Arena, losses: int, *, refused: bool) -> None:
    """It is tried once more, where nobody was before; what loses that one too was not refused."""
    before = (await arena.workspace()).id
    seen: list[str] = []

    async def act(there: Arena) -> str:
        seen.append((await there.workspace()).id)
        if len(seen) <= losses:
            raise WorkspaceLost("evicted")
        return ""

    verdict = await arena.alone(Attack(name="lost", family="limits", act=act))
    assert verdict.refused is refused, verdict.seen
    assert seen[0] == before
    assert len({*seen}) == len(seen) == 2


async def test_there_are_enough_of_each_family() -> None:
    """Names are unique, and no family is left out."""
    names = [(a.family, a.name) for a in ATTACKS]
    assert len(names) == len(set(names)) >= 80
    families = {"files", "processes", "kernel", "rights", "network", "limits", "tenancy", "git", "border"}
    assert {a.family for a in ATTACKS} == families


async def test_what_has_no_meaning_says_why() -> None:
    """Each attack has a meaning somewhere, and on the others a reason why not."""
    for attack in ATTACKS:
        assert set(attack.nowhere) < set(BACKENDS), attack.name
        assert all(len(reason) > 20 for reason in attack.nowhere.values()), attack.name


async def test_the_document_counts_them() -> None:
    """docs/security.md says how many there are of each family."""
    document = (Path(__file__).parents[2] / "docs/security.md").read_text()
    counts = Counter(attack.family for attack in ATTACKS)
    assert [f for f, count in counts.items() if f"\n| {f} | {count} |" not in document] == []


async def test_the_border_lets_an_honest_candidate_in(arena: Arena) -> None:
    """The way that the border's attacks take is open to what is not evil."""
    assert isinstance(await honest(arena), Admission)


async def test_attacks_get_through_where_there_are_no_walls(tmp_path: Path) -> None:
    """The same scripts, outside of any workspace: each of them does what it tries, so that a refusal says something."""
    need(root(), "only root can do by itself all that a workspace refuses")
    tmp_path.chmod(0o755)
    stopped = []
    for number, attack in enumerate(a for a in ATTACKS if a.outside):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with lures(folder) as around:
            done = await _bare(attack, around, folder)
            if not done:
                stopped.append(attack.name)
    assert stopped == []


async def _bare(attack: Attack, around: Lures, folder: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        *attack.argv,
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **around.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return not judged(attack, ok=process.returncode == 0, output=said.decode("utf-8", "replace")).refused


# --- the tripwire itself: each sensor is shown a change ----------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def around(tmp_path: Path) -> AsyncIterator[Lures]:
    async with lures(tmp_path) as ready:
        yield ready


@pytest.fixture
def wire(around: Lures, tmp_path: Path) -> Tripwire:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/HEAD").write_text("ref: refs/heads/main")
    return around.wire((tmp_path / "repository",))


async def test_an_untouched_wire_is_whole(wire: Tripwire) -> None:
    """What others do on this machine meanwhile trips nothing."""
    await asyncio.create_subprocess_exec("true")
    assert wire.tripped() == []


_CHANGES: dict[str, Callable[[Lures], object]] = {
    "files": lambda around: (around.canaries / "secret").write_text("evil"),
    "repositories": lambda around: (around.canaries.parent / "repository/HEAD").write_text("evil"),
    "canary process": lambda around: os.kill(around.pid, 19),
}


@pytest.mark.parametrize("sensor", _CHANGES)
async def test_a_change_trips_its_sensor(wire: Tripwire, around: Lures, sensor: str) -> None:
    """A file of the canaries, a ref of the origin, a signal to the canary process."""
    _CHANGES[sensor](around)
    for _ in range(100):
        if wire.tripped():
            break
        await asyncio.sleep(0.01)
    assert wire.tripped() == [sensor]


async def test_a_marked_name_in_a_shared_folder_trips(wire: Tripwire, around: Lures) -> None:
    """What an attack leaves in /tmp or /usr/bin bears its mark."""
    left = Path("/tmp") / f"moot-{around.nonce}"
    left.touch()
    try:
        assert wire.tripped() == ["names"]
    finally:
        left.unlink()


async def test_a_process_that_lives_on_trips(wire: Tripwire, around: Lures) -> None:
    """By what its environment holds, whoever its parent is by now."""
    process = await asyncio.create_subprocess_exec("sleep", "60", env={"NONCE": around.nonce, "PATH": "/usr/bin:/bin"})
    try:
        assert wire.tripped() == ["processes"]
    finally:
        process.kill()
        await process.wait()


async def test_a_mount_trips(wire: Tripwire, around: Lures) -> None:
    """One with the mark as its source, or over the canaries."""
    need(root(), "only root may mount")
    place = around.canaries.parent / "mounted"
    place.mkdir()
    await _done("mount", "-t", "tmpfs", f"moot-{around.nonce}", str(place))
    try:
        assert wire.tripped() == ["mounts"]
    finally:
        await _done("umount", str(place))


async def _done(*argv: str) -> None:
    assert await (await asyncio.create_subprocess_exec(*argv)).wait() == 0


async def test_a_socket_trips(wire: Tripwire, around: Lures) -> None:
    """One of the mark's names."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"\0other-{around.nonce}")
        assert wire.tripped() == ["sockets"]


@pytest.fixture
def segment(around: Lures) -> Iterator[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    made: list[int] = []
    yield ipc_key(around.nonce)
    made.append(libc.shmget(ipc_key(around.nonce), 0, 0))
    libc.shmctl(made[0], 0, None)


async def test_shared_memory_trips(wire: Tripwire, segment: int) -> None:
    """A segment of the mark's key."""
    assert ctypes.CDLL(None).shmget(segment, 4096, 0o1600) >= 0
    assert wire.tripped() == ["ipc"]


async def test_a_visitor_trips(wire: Tripwire, around: Lures) -> None:
    """Whoever reaches one of the listening sockets."""
    _, writer = await asyncio.open_connection("127.0.0.1", around.port)
    writer.close()
    for _ in range(100):
        if wire.tripped():
            break
        await asyncio.sleep(0.01)
    assert wire.tripped() == ["visits"]


async def test_a_script_that_is_broken_is_no_refusal() -> None:
    """Neither one that ends well, nor one that fails for another reason."""
    attack = Attack(name="x", family="files", sh="x", says="EPERM")
    verdicts = [
        judged(attack, ok=ok, output=said)
        for ok, said in ((True, "EPERM"), (False, "sh: x: not found"), (False, "EPERM"))
    ]
    assert [verdict.refused for verdict in verdicts] == [False, False, True]
