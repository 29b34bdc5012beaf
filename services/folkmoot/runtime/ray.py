"""Ray: a local head as a process of ours, and how a driver joins one. The only module that sets Ray up.

    python -P -m folkmoot.runtime.ray

Whoever reaches Ray's ports runs code, so it listens on loopback only and asks for a token of our own, which lies in the
data folder. Ray puts the driver's working directory first on the path of every worker: both head and driver change to
an empty folder first.
"""

import asyncio
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from folkmoot.kernel.errors import Misconfigured, Unavailable
from folkmoot.runtime.process import Announcement, end_session, main
from folkmoot.runtime.settings import Settings

OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Nearly the least that Ray takes: what agents make lies in the log, not here."""

REMOVALS = 50
"""Tries to remove the session's folder, a tenth of a second apart."""
START_S = 60.0
"""A cold head on a busy two-core machine has taken 20 s."""
LISTEN_S = 0.05
"""Between two looks whether a head listens."""
LOOK_S = 1.0
"""Between two looks whether all processes of the head are there."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray turns 127.0.0.1 into the machine's outer address, and listens there, unless clusters are off.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def start_head(settings: Settings, session: Path) -> Any:
    """Start a head beside this process, on the port of `agents.ray_address` if that is set. Returns Ray's own `Node`.

    As `ray start --head` does it, whose options can do without an autoscaler and a reader of log files; a dashboard's
    server starts there even where none is wanted, and here not. Each is a Python of some 90 MiB and a second.
    Its files go to `session`, whose path must be short: a socket's may have 107 characters. Raises Misconfigured.
    """
    folder = prepare(settings.data_folder)
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    class Head(Node):
        def start_api_server(self, **_: object) -> None:
            pass

    wanted = RayParams(
        gcs_server_port=int(settings.agents.ray_address.rpartition(":")[2] or 0),
        node_ip_address="127.0.0.1",
        num_cpus=settings.agents.actors,
        num_gpus=0,
        object_store_memory=OBJECT_STORE_BYTES,
        temp_dir=str(session),
        include_dashboard=False,
        include_log_monitor=False,  # type: ignore[arg-type] # which is a bool in `ray start` too
        no_monitor=True,
    )
    try:
        return Head(wanted, head=True, shutdown_at_exit=False, spawn_reaper=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise Misconfigured(
            f"Ray does not start: {error}; its logs were in {session}, its token in {folder}"
        ) from error


def connect(settings: Settings) -> None:
    """Join the cluster at `settings.agents.ray_address` as a driver. Blocks for about a second.

    Changes the working directory of this process to an empty folder. Raises Misconfigured.
    """
    address = settings.agents.ray_address
    if not address:
        raise Misconfigured("agents.ray_address is empty: set FOLKMOOT_AGENTS_RAY_ADDRESS, or use `moot up`")
    prepare(settings.data_folder, local=address.startswith("127.0.0.1:"))
    import ray

    with _signals_kept():
        try:
            # Of what it warns, beside the main thread that it sets no handler of SIGTERM there: as we want it.
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise Misconfigured(f"no Ray cluster answers at {address}: {error}") from error


async def join(settings: Settings) -> None:
    """Wait for the head at `settings.agents.ray_address`, then `connect` beside the loop.

    Raises Misconfigured, also when nothing listens there within START_S.
    """
    address = settings.agents.ray_address
    if address:
        await _listening(address)
    await asyncio.to_thread(connect, settings)


async def _listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(START_S):
            while not await _answers(host, int(port)):  # noqa: ASYNC110 -- another process begins to listen
                await asyncio.sleep(LISTEN_S)
    except TimeoutError as error:
        raise Misconfigured(f"no Ray cluster answers at {address} within {START_S:.0f} s") from error


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def gone(address: str) -> None:
    """Returns as soon as no head listens at host:port any more.

    A connection that says nothing is held open; the head closes it now and then, and when it dies.
    """
    host, _, port = address.rpartition(":")
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            await reader.read()
        except ConnectionResetError:
            continue
        except OSError:
            return
        writer.close()


def disconnect() -> None:
    """Leave the cluster, and end the head if this process started it."""
    import ray

    with _signals_kept():
        ray.shutdown()


def prepare(data: Path, *, local: bool = True) -> Path:
    """Go to an empty folder and tell Ray how to behave; of a local cluster we know the token.

    Comes before `import ray`, which reads the environment."""
    folder = data / "ray"
    empty = folder / "empty"
    empty.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chdir(empty)
    if local:
        os.environ.update(_QUIET)  # noqa: TID251 -- Ray reads nothing else
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(_token(folder)))  # noqa: TID251
    return folder


def _token(folder: Path) -> Path:
    """Made once; whole or not there, also where the disk fills up meanwhile."""
    path = folder / "token"
    if not path.exists():
        draft = folder / "token.new"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), "ascii")
        draft.replace(path)
    return path


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM, if the main thread starts it; a service of ours drains first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    """A head until the event is set; its processes and files go with it. Raises Unavailable when one of them dies."""
    with _session(settings.data_folder) as session:
        with _ending_at_once(), _signals_kept():
            node = start_head(settings, session)
        address = str(node.gcs_address)
        announcement.ready(address)
        await _whole_until(stop, node, address)
        # Ray's own way out waits for drivers that may be gone, and for agents that have nothing to finish.
        node.kill_all_processes(check_alive=False, allow_graceful=False)
        if os.getsid(0) == os.getpid():
            end_session(os.getpid())
        await _removed(session)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """While Ray starts, the loop stands still and would hear of a signal too late."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except SystemExit:
        if os.getsid(0) == os.getpid():
            end_session(os.getpid())
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _whole_until(stop: asyncio.Event, node: Any, address: str) -> None:
    """A head that lacks a process hangs those who use it: better none, and a new one."""
    while not stop.is_set():
        if dead := node.dead_processes():
            raise Unavailable(f"Ray's {dead[0][0]} died")
        if not await _listens(address):
            # Told to end, a head closes its port at once and itself a minute later.
            raise Unavailable("Ray's head listens no more")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_S)


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _removed(folder: Path) -> None:
    """Those who were killed may still be writing their last log line."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        await asyncio.sleep(0.1)


@contextmanager
def _session(data: Path) -> Iterator[Path]:
    """A folder with a short path, removed at the end; what a predecessor on `data` left is removed first."""
    note = _note(data)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_session(data)
    session = Path(tempfile.mkdtemp(prefix="moot-ray-"))
    note.write_text(str(session), "utf-8")
    try:
        yield session
    finally:
        shutil.rmtree(session, ignore_errors=True)
        note.unlink(missing_ok=True)


def remove_session(data: Path) -> None:
    """What a head on `data` that was killed has left."""
    note = _note(data)
    if note.exists():
        shutil.rmtree(note.read_text("utf-8"), ignore_errors=True)


def _note(data: Path) -> Path:
    """Says where the session is."""
    return data / "ray" / "session"


def _main() -> int:
    """The exit code."""
    try:
        main("ray", serve)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    os._exit(_main())  # past Ray's own exit handler, which waits for processes that are dead, one of them for a minute
