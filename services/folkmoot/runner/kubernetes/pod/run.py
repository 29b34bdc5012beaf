"""One command in a workspace's pod, watched: its output, its limits, its end, and the end of all that it left.

Standard input: the length of an order (4 bytes, big-endian), the order as a literal of Python's, then `stdin` bytes for
the command. After that it stays open, and its end means that nobody listens any more: everything is killed. An order
with `gate` may come before: to look, by `reach.py`, whether we are kept off the network.
Standard output: frames, each a letter, a length (4 bytes, big-endian) and a body. `G` what could still be reached when
the gate's patience was over, `B` the command has begun, `O` and `E` a piece of its standard output and error, `R` it
was refused (JSON), `V` a piece of what `look.py` saw, where the order says so, `X` it has ended (JSON), the last one.
Our own exit status is the command's, 128 and the number of the signal that ended it, or `OVER` when a limit was hit.
The command cannot write into our streams: it has pipes of its own, and may not look into this process.
"""

from __future__ import annotations

import _ctypes  # `ctypes` itself costs half as much as all of Python's start
import errno
import os
import resource
import select
import stat
import struct
import time

TYPE_CHECKING = False  # as mypy knows it; the import itself would cost milliseconds
if TYPE_CHECKING:
    import signal
    from ctypes import c_char_p, c_int, c_ushort
    from typing import Any, NoReturn
else:
    import _signal as signal  # without the names of `enum`, which cost as much as all other imports together

    c_int, c_ushort, c_char_p = (type(code, (_ctypes._SimpleCData,), {"_type_": code}) for code in "iHz")  # noqa: SLF001

OVER = 137
_PIECE = 65536
_AHEAD = 1 << 20
_TICK_S = 0.1
_DISK_SHARE = 0.05
_ROOM_BYTES = 16 << 20
_FILES = 500000
_GRACE_S = 5.0
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 4, 22, 36, 38
_FILTER_MODE = 2
_SHARED = "/dev/shm"  # noqa: S108 -- the pod's
_OOM = (("/sys/fs/cgroup/memory.events", "oom_kill "), ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill "))


def main() -> None:
    prctl = _call("prctl")
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    order = _order()
    if "gate" in order:
        _pass(order["gate"])
        order = _order()
    # Whatever else the end of an interpreter does, the end of a process does faster.
    os._exit(Run(order).to_end())


def _order() -> dict[str, Any]:
    """It comes from the runner alone; whatever reads JSON brings `re` along, and every command would wait for that."""
    (length,) = struct.unpack(">I", _exactly(4))
    found: dict[str, Any] = eval(_exactly(length), {"__builtins__": {}})  # noqa: S307
    return found


def _pass(gate: dict[str, Any]) -> None:
    """Says what can be reached, once that is nothing, or after a while."""
    program: dict[str, Any] = {}
    exec(gate["program"], program)  # noqa: S102 -- from the runner, as the order itself
    until = time.monotonic() + gate["patience_s"]
    while (found := program["tried"](gate["asked"])) and time.monotonic() < until:
        time.sleep(gate["pause_s"])  # noqa: TID251 -- a program of its own
    said = "\n".join(found).encode()
    os.write(1, b"G" + struct.pack(">I", len(said)) + said)


def _exactly(size: int) -> bytes:
    body = b""
    while len(body) < size:
        piece = os.read(0, min(_PIECE, size - len(body)))
        if not piece:
            os._exit(0)  # nobody is there any more, and nothing has begun
        body += piece
    return body


class Run:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._wanted = order["stdin"]
        self._queued = b""
        self._frames = bytearray()
        self._rooms = {"O": order["output_limit"], "E": order["output_limit"]}
        self._truncated = False
        self._limit = ""
        self._status: int | None = None
        self._in: int | None = None
        self._pipes: dict[int, str] = {}
        self._child = self._said = self._wake = -1
        self._kills = _oom_kills()
        self._deadline = time.monotonic() + order["timeout_s"]
        self._disk_at = time.monotonic() + 0.5

    def to_end(self) -> int:
        try:
            self._begin()
        except OSError as error:
            return self._refused(error)
        self._frame("B", b"")
        try:
            while self._status is None and not self._limit:
                self._turn()
            self._end_all()
            self._rest()
            self._look_back()
        except BrokenPipeError:
            self._end_all()
        return self._farewell()

    # --- beginning

    def _begin(self) -> None:
        self._said, told = os.pipe()
        ours = [os.pipe() for _ in range(3)]
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._child = os.fork()
        if self._child == 0:
            self._become(told, ours)
        os.close(told)
        self._in, self._pipes = ours[0][1], {ours[1][0]: "O", ours[2][0]: "E"}
        for fd in (ours[0][0], ours[1][1], ours[2][1]):
            os.close(fd)
        for fd in (0, 1, self._in):
            os.set_blocking(fd, False)
        problem = os.read(self._said, 4)
        if problem:
            number = struct.unpack(">i", problem)[0]
            raise OSError(number, os.strerror(number))
        if not self._wanted:
            self._close_in()

    def _become(self, told: int, ours: list[tuple[int, int]]) -> NoReturn:
        try:
            os.setsid()
            for number, pipe in enumerate(ours):
                os.dup2(pipe[0 if number == 0 else 1], number)
            _volunteer()
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            for name, value in self._order["rlimits"].items():
                kind = getattr(resource, name)
                most = resource.getrlimit(kind)[1]
                limit = value if most == resource.RLIM_INFINITY else min(value, most)
                resource.setrlimit(kind, (limit, limit))
            os.chdir(os.fsencode(self._order["cwd"]))
            _filtered(self._order["filters"])
            argv = [os.fsencode(part) for part in self._order["argv"]]
            os.execvpe(argv[0], argv, self._environment())  # noqa: S606 -- that is its purpose
        except OSError as error:
            os.write(told, struct.pack(">i", error.errno or errno.EIO))
        finally:
            os._exit(127)

    def _environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("KUBERNETES_")}  # noqa: TID251 -- the pod's
        return {**kept, "PWD": self._order["cwd"], **self._order["environment"]}

    def _refused(self, error: OSError) -> int:
        """As a shell would say it: 127 for a program that is not there, 126 for what is none."""
        self._end_all()
        import json

        self._frame("R", json.dumps({"errno": error.errno, "text": error.strerror}).encode())
        try:
            self._flush()
        except BrokenPipeError:
            return 126
        return 127 if error.errno == errno.ENOENT else 126

    # --- under way

    def _turn(self) -> None:
        poller = select.poll()
        # Without POLLIN it still says when the other end is gone.
        reading = len(self._queued) < _PIECE if self._wanted else True
        poller.register(0, select.POLLIN if reading else 0)
        poller.register(self._wake, select.POLLIN)
        if self._frames:
            poller.register(1, select.POLLOUT)
        if len(self._frames) < _AHEAD:
            for pipe in self._pipes:
                poller.register(pipe, select.POLLIN)
        if self._in is not None and self._queued:
            poller.register(self._in, select.POLLOUT)
        for fd, events in poller.poll(max(0, 1000 * min(_TICK_S, self._deadline - time.monotonic()))):
            self._act(fd, events)
        self._look()

    def _act(self, fd: int, events: int) -> None:
        if fd == 0:
            self._hear(events)
        elif fd == 1:
            self._send()
        elif fd == self._wake:
            os.read(fd, 4096)
            self._reap()
        elif fd == self._in:
            self._feed()
        elif fd in self._pipes:  # else it is one that was closed in this turn, when all was fed
            self._take(fd)

    def _hear(self, events: int) -> None:
        if not events & select.POLLIN:
            raise BrokenPipeError
        piece = os.read(0, min(_PIECE, self._wanted) if self._wanted else 1)
        if not piece:
            raise BrokenPipeError
        self._wanted -= min(self._wanted, len(piece))
        if self._in is not None:
            self._queued += piece
            self._feed()

    def _feed(self) -> None:
        try:
            while self._queued and self._in is not None:
                self._queued = self._queued[os.write(self._in, self._queued) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # a command that does not want to hear the rest is free to
            self._queued = b""
            self._close_in()
            return
        if not self._wanted:
            self._close_in()

    def _close_in(self) -> None:
        if self._in is not None:
            os.close(self._in)
            self._in = None

    def _take(self, pipe: int) -> None:
        piece = os.read(pipe, _PIECE)
        if not piece:
            del self._pipes[pipe]
            os.close(pipe)
            return
        stream = self._pipes[pipe]
        room = self._rooms[stream]
        self._truncated |= len(piece) > room
        if room:
            self._frame(stream, piece[:room])
            self._rooms[stream] = max(0, room - len(piece))

    def _reap(self) -> None:
        """Of all that died; our own child's end is the command's."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._child:
                self._status = status

    # --- limits

    def _look(self) -> None:
        if self._status is not None:
            return
        now = time.monotonic()
        if now >= self._deadline:
            self._limit = "time"
        limits = self._order["limits"]
        processes, memory = _used(limits["processes"])
        if processes > limits["processes"]:
            self._limit = "processes"
        elif memory > limits["memory_bytes"] or _oom_kills() > self._kills:
            self._limit = "memory"
        elif now >= self._disk_at:
            self._look_at_disk(memory)
            self._disk_at = now + max(0.5, (time.monotonic() - now) / _DISK_SHARE)

    def _look_at_disk(self, memory: int) -> None:
        """Files without a name count where they lie: on the disk, or in memory."""
        limits, charged = self._order["limits"], self._order["charged"]
        on_disk, in_memory = _nameless(limits["processes"], charged)
        if memory + in_memory > limits["memory_bytes"]:
            self._limit = "memory"
        elif _overfull(charged, limits["disk_bytes"] - on_disk) or _overfull(self._order["tmp"], limits["tmp_bytes"]):
            self._limit = "disk"

    # --- the end

    def _end_all(self) -> None:
        """Nothing of the command's is left: what lost its parent has become our child."""
        until = time.monotonic() + _GRACE_S
        while time.monotonic() < until:
            for pid in _tree(os.getpid()):
                _kill(pid)
            try:
                while True:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if not pid:
                        break
                    if pid == self._child and self._status is None:
                        self._status = status
            except ChildProcessError:
                _forget_shared()
                return
            time.sleep(0.002)  # noqa: TID251 -- a program of its own

    def _rest(self) -> None:
        """What was said before the end, and is still in the pipes."""
        for pipe in list(self._pipes):
            os.set_blocking(pipe, False)
            try:
                while pipe in self._pipes:
                    self._take(pipe)
                    if len(self._frames) > _AHEAD:
                        self._flush()
            except BlockingIOError:
                continue

    def _look_back(self) -> None:
        """At what is in the repository now. A look that fails is cut short, which its reader sees."""
        asked = self._order["look"]
        if asked is None:
            return
        program: dict[str, Any] = {}
        exec(asked["program"], program)  # noqa: S102 -- from the runner, as the order itself
        try:
            for piece in program["looked"](asked):
                self._show(piece)
        except BrokenPipeError:
            raise
        except OSError:
            return

    def _show(self, piece: bytes) -> None:
        for start in range(0, len(piece), _PIECE):
            self._frame("V", piece[start : start + _PIECE])
        if len(self._frames) > _AHEAD:
            self._flush()

    def _farewell(self) -> int:
        """Killed by the kernel for memory is no end that the command chose."""
        signalled = self._status is not None and os.WIFSIGNALED(self._status)
        code = OVER if self._status is None else os.waitstatus_to_exitcode(self._status)
        if not self._limit and signalled and code == -signal.SIGKILL and _oom_kills() > self._kills:
            self._limit = "memory"
        truncated, number = str(self._truncated).lower(), -code if signalled else 0
        self._frame("X", f'{{"limit":"{self._limit}","truncated":{truncated},"signal":{number}}}'.encode())
        try:
            self._flush()
        except BrokenPipeError:
            return OVER
        if self._limit:
            return OVER
        return 128 - code if code < 0 else code

    # --- what we say

    def _frame(self, letter: str, body: bytes) -> None:
        self._frames += letter.encode() + struct.pack(">I", len(body)) + body

    def _send(self) -> None:
        try:
            del self._frames[: os.write(1, self._frames)]
        except BlockingIOError:
            return

    def _flush(self) -> None:
        """To one who is slow, not to one who is gone."""
        while self._frames:
            poller = select.poll()
            poller.register(1, select.POLLOUT)
            poller.register(0, 0)
            for fd, events in poller.poll():
                if fd == 0 or events & (select.POLLERR | select.POLLHUP):
                    raise BrokenPipeError
                self._send()


def _volunteer() -> None:
    """Who is killed first when memory ends: the command, not its watcher. For one that nobody may look into, its own
    files in /proc are root's; what is about to become a command has nothing to hide."""
    _call("prctl")(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    try:
        _write("/proc/self/oom_score_adj", "1000")
    except OSError:
        return


class _Call(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


def _call(name: str) -> _Call:
    """A function of libc that answers an int."""
    return _Call(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))  # type: ignore[arg-type]


class _Program(_ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", c_ushort), ("filter", c_char_p))


def _filtered(filters: dict[str, bytes]) -> None:
    """From here on, and in all that is started, calls of the kernel that no build or test needs are refused. What the
    cluster's own filter refuses differs from one container engine to the next, and allows more."""
    program = filters.get(os.uname().machine)
    if program is None:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {os.uname().machine}")
    prctl = _call("prctl")
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    wanted = _Program(len(program) // 8, program)
    if prctl(_PR_SET_SECCOMP, _FILTER_MODE, _ctypes.byref(wanted), 0, 0):
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _forget_shared() -> None:
    """Shared memory, semaphores and messages are no process's, and would stay; while another command runs they may be
    its own."""
    if {int(name) for name in os.listdir("/proc") if name.isdigit()} - {1, os.getpid()}:  # noqa: PTH208
        return
    for kind in ("shm", "msg"):
        for number in _numbers(kind):
            _call(f"{kind}ctl")(number, 0, None)
    for number in _numbers("sem"):
        _call("semctl")(number, 0, 0)
    for folder, folders, files in os.walk(_SHARED, topdown=False):
        for name in (*files, *folders):
            _remove(os.path.join(folder, name))  # noqa: PTH118


def _numbers(kind: str) -> list[int]:
    try:
        return [int(line.split()[1]) for line in _read(f"/proc/sysvipc/{kind}").splitlines()[1:]]
    except OSError:
        return []


def _remove(path: str) -> None:
    try:
        os.remove(path) if os.path.islink(path) or not os.path.isdir(path) else os.rmdir(path)  # noqa: PTH106, PTH107, PTH112, PTH114
    except OSError:
        return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            found += [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
    except (OSError, ValueError):
        return found
    return found


def _tree(pid: int) -> list[int]:
    """All descendants."""
    found: list[int] = []
    waiting = _children(pid)
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += _children(current)
    return found


def _used(stop_at: int) -> tuple[int, int]:
    """Of our descendants: how many, and their resident bytes; counting ends soon after `stop_at`."""
    waiting, count, memory = _children(os.getpid()), 0, 0
    while waiting and count <= stop_at:
        current = waiting.pop()
        count += 1
        memory += _resident(current)
        waiting += _children(current)
    return count, memory


def _resident(pid: int) -> int:
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _nameless(stop_at: int, charged: list[str]) -> tuple[int, int]:
    """Bytes of our descendants' open files without a name: on the disk of `charged`, and elsewhere, which is memory.

    What a process hides that nobody may look into is not counted.
    """
    disks = {os.stat(path).st_dev for path in charged if os.path.exists(path)}  # noqa: PTH110, PTH116
    found: dict[tuple[int, int], int] = {}
    for pid in _tree(os.getpid())[: stop_at + 1]:
        found.update(_opened(pid))
    on_disk = sum(size for (device, _), size in found.items() if device in disks)
    return on_disk, sum(found.values()) - on_disk


def _opened(pid: int) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            info = os.stat(f"/proc/{pid}/fd/{number}")  # noqa: PTH116
            if stat.S_ISREG(info.st_mode) and not info.st_nlink:
                found[info.st_dev, info.st_ino] = info.st_blocks * 512
    except OSError:
        return found
    return found


def _overfull(places: list[str], limit_bytes: int) -> bool:
    """Of files, or of folders and all that is in them."""
    total = files = 0
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        try:
            if not os.path.isdir(place):  # noqa: PTH112
                total += os.stat(place).st_blocks * 512  # noqa: PTH116
                continue
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    files += 1
                    if total > limit_bytes or files > _FILES:
                        return True
        except OSError:
            continue
    return total > limit_bytes


def _oom_kills() -> int:
    for path, word in _OOM:
        try:
            lines = _read(path).splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith(word))
    return 0


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 -- starts fast
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)


if __name__ == "__main__":
    main()
