"""Other workspaces: their capability, their files, their processes, their sockets; and what is left of earlier ones."""

# ruff: noqa: E501 -- a script reads best on one line

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.errors import AlreadyExists, FolkmootError, NotFound, PermissionDenied, Unauthenticated
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runtime.grpc.client import credentials, mapped
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.security.abuse.arena import Arena, on
from tests.security.abuse.attack import Attack

_REFUSED = (PermissionDenied, Unauthenticated, WorkspaceLost, NotFound)


async def _through(workspace: GrpcWorkspace, arena: Arena) -> str:
    """Which calls of the port let it in."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "run": lambda: workspace.run(["true"]),
        "read": lambda: workspace.read("README.md"),
        "write": lambda: workspace.write("evil", b"x"),
        "list": workspace.list,
        "export": lambda: workspace.export_bundle(arena.bench.commit),
        "import": lambda: workspace.import_bundle(b"x", arena.bench.commit),
    }
    found = []
    for name, call in calls.items():
        try:
            await call()
        except _REFUSED:
            continue
        found.append(name)
    return ", ".join(found)


async def _tokens(arena: Arena) -> str:
    """Another workspace's token, a made-up one, none, the service's: on each call."""
    mine, other = await arena.pair()
    ident = WorkspaceId(mine.workspace_id)
    wrong = (other.token, "0" * 64, "", "the service's token", mine.token[:-1], mine.token.upper())
    tried = [await _through(GrpcWorkspace(arena.bench.channel, workspace_id=ident, token=t), arena) for t in wrong]
    return "; ".join(filter(None, tried))


async def _names(arena: Arena) -> str:
    """A right token, with names that are no workspace, or somebody else's."""
    mine, other = await arena.pair()
    names = (
        other.workspace_id,
        "",
        ".",
        "..",
        f"../{other.workspace_id}",
        f"{mine.workspace_id}/../{other.workspace_id}",
    )
    strangers = [GrpcWorkspace(arena.bench.channel, workspace_id=WorkspaceId(name), token=mine.token) for name in names]
    return "; ".join(filter(None, [await _through(stranger, arena) for stranger in strangers]))


async def _ended(arena: Arena) -> str:
    """Somebody else's workspace is closed with one's own token: it works on."""
    mine, other = await arena.pair()
    stranger = GrpcWorkspace(arena.bench.channel, workspace_id=WorkspaceId(other.workspace_id), token=mine.token)
    with suppress(*_REFUSED):
        await stranger.close()
    return "" if (await arena.bench.holding(other).run(["true"])).end.ok else "closed by a stranger"


async def _as_the_service(arena: Arena) -> str:
    """A workspace's token opens no other, and lists none."""
    mine, _ = await arena.pair()
    stub, metadata = arena.bench.stub, credentials(mine.token)
    found = []
    try:
        with mapped():
            await stub.OpenWorkspace(pb.OpenWorkspaceRequest(), metadata=metadata)
        found.append("open")
    except _REFUSED:
        pass
    try:
        with mapped():
            await stub.ListWorkspaces(pb.ListWorkspacesRequest(), metadata=metadata)
        found.append("list")
    except _REFUSED:
        pass
    return ", ".join(found)


async def _expired(arena: Arena) -> str:
    """A lease of half a second: soon after, nobody gets in."""
    opened = await arena.bench.opened(ttl_s=0.5)
    workspace = arena.bench.holding(opened)
    for _ in range(200):
        try:
            await workspace.run(["sleep", "0.05"])
        except WorkspaceLost:
            return await _through(workspace, arena)
    return "open long after its lease"


async def _reopened(arena: Arena) -> str:
    """The same name again: nothing of the first is there, and the first's token is dead."""
    first = await arena.bench.opened(holder="again")
    leave = "echo x >left; echo x >~/left; echo x >/tmp/left; git config user.name left; git stash list"
    await arena.bench.holding(first).run(["sh", "-c", leave])
    await arena.bench.holding(first).close()
    second = await arena.bench.opened(holder="again")
    look = "find /workspace /home /tmp /dev/shm -name left 2>/dev/null; git config user.name"
    seen = (await arena.bench.holding(second).run(["sh", "-c", look])).stdout.decode()
    through = await _through(arena.bench.holding(first), arena)
    await arena.bench.holding(second).close()
    return seen + through


async def _other_content(arena: Arena) -> str:
    """The name of an open workspace, with other content."""
    taken = await arena.bench.opened(holder="taken")
    try:
        await arena.bench.opened(holder="taken", overlay=1)
    except AlreadyExists:
        return ""
    finally:
        await arena.bench.holding(taken).close()
    return "opened"


@asynccontextmanager
async def _serving(arena: Arena, program: str) -> AsyncIterator[dict[str, str]]:
    """A neighbour in whose workspace `program` runs, once it has said that it is ready; yields what attacks are told."""
    async with arena.lent() as victim:
        environment = arena.environment | {"NEIGHBOUR": await on(victim)}
        async with aclosing(victim.stream(["python3", "-c", program], env=environment, timeout_s=100)) as parts:
            await anext(aiter(parts))
            yield environment


def _neighbour(serve: str, reach: str) -> Callable[[Arena], Awaitable[str]]:
    """`serve` in one workspace, `reach` in another: who gets there says THROUGH."""

    async def act(arena: Arena) -> str:
        head = "import os, socket, sys, time, ctypes\nN = os.environ['NONCE']\n"
        tried = f"{head}try:\n    {reach}\n    print('THROUGH')\nexcept (OSError, LookupError) as error:\n    print('refused', error)\n"
        attacker = await arena.workspace()
        async with _serving(arena, f"{head}{serve}\nprint('ready', flush=True)\ntime.sleep(100)") as environment:
            said = (await attacker.run(["python3", "-c", tried], env=environment)).stdout.decode()
        return "" if said.startswith("refused") else said or "said nothing"

    return act


async def _files(arena: Arena) -> str:
    """A neighbour's file is nowhere in the file system, and its folder has no name here."""
    attacker = await arena.workspace()
    look = 'find / -name "mine-$NONCE" 2>/dev/null; ls -d /workspace/../*/"$1" /proc/*/root/"$1" 2>/dev/null'
    async with arena.lent() as victim:
        await victim.write(f"mine-{arena.nonce}", b"secret")
        return (await attacker.run(["sh", "-c", look, "sh", victim.id], env=arena.environment)).stdout.decode()


async def _token_inside(arena: Arena) -> str:
    """What runs inside finds no token, neither its workspace's nor the service's."""
    opened, _ = await arena.pair()
    look = "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; find / -xdev -newer /etc/hosts -type f -size -64k -exec cat {} + "
    done = await arena.bench.holding(opened).run(["sh", "-c", f"({look}) 2>/dev/null"], output_limit=50_000_000)
    words = (opened.token.encode(), b"the service's token")
    return ", ".join("a token" for word in words if word in done.stdout)


async def _refused_input(arena: Arena) -> str:
    """Names, folders and variables that are none."""
    workspace = await arena.workspace()
    found = []
    for argv, changes in (
        ([], {}),
        (["a\0b"], {}),
        (["true"], {"cwd": "../.."}),
        (["true"], {"cwd": "/etc"}),
        (["true"], {"env": {"A=B": "x"}}),
        (["true"], {"env": {"A": "x\0y"}}),
        (["true"], {"env": {"": "x"}}),
    ):
        try:
            await workspace.run(argv, **changes)
        except FolkmootError as error:
            if not isinstance(error, WorkspaceLost):
                continue
        found.append(repr((argv, changes)))
    return "; ".join(found)


_ACTS = {
    "wrong tokens": _tokens,
    "wrong names": _names,
    "close a stranger's": _ended,
    "act as the service": _as_the_service,
    "an expired lease": _expired,
    "what the previous one left": _reopened,
    "the same name with other content": _other_content,
    "a neighbour's files": _files,
    "a token inside": _token_inside,
    "arguments that are none": _refused_input,
    "a neighbour's port": _neighbour(
        "s = socket.create_server(('127.0.0.1', 45678))", "socket.create_connection(('127.0.0.1', 45678), 1)"
    ),
    "a neighbour's port by its address": _neighbour(
        "s = socket.create_server(('0.0.0.0', 45679))",
        "socket.create_connection((os.environ['NEIGHBOUR'], 45679), 2)",
    ),
    "a neighbour's abstract socket": _neighbour(
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0n-' + N); s.listen()",
        "socket.socket(socket.AF_UNIX).connect('\\0n-' + N)",
    ),
    "a neighbour's shared memory": _neighbour(
        "assert ctypes.CDLL(None).shmget(int(N[:7], 16), 4096, 0o1666) >= 0",
        "ctypes.CDLL(None).shmget(int(N[:7], 16), 4096, 0o666) >= 0 or {}['none']",
    ),
    "a neighbour's temporary files": _neighbour(
        "open('/tmp/' + N, 'w').close(); open('/dev/shm/' + N, 'w').close()", "open('/tmp/' + N); open('/dev/shm/' + N)"
    ),
    "a neighbour's processes": _neighbour(
        "pass",
        "[p for p in os.listdir('/proc') if p.isdigit() and b'rea' + b'dy' in open(f'/proc/{p}/cmdline', 'rb').read()"
        " and p != str(os.getpid())][0]",
    ),
}
ATTACKS = [Attack(name=name, family="tenancy", act=act) for name, act in _ACTS.items()]
