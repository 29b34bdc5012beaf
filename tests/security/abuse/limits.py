"""Using up the machine: memory, processes, disk, time, output. In a workspace of small limits (`SMALL`)."""

from folkmoot.runtime.settings import RunnerSettings
from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import Attack

SMALL = RunnerSettings(
    memory_bytes=150_000_000,
    processes=50,
    open_files=200,
    file_bytes=10_000_000,
    disk_bytes=25_000_000,
)
_MEMORY = r"limit=memory|MemoryError|ENOMEM"
_BOMBS: dict[str, tuple[str, str]] = {
    "memory": ("x = []\nwhile True: x.append(bytearray(b'x') * 5_000_000)", _MEMORY),
    "memory of many small processes": (
        (
            "for _ in range(12):\n"
            "    if os.fork() == 0:\n"
            "        x = bytearray(b'x') * 25_000_000; time.sleep(60)\n"
            "time.sleep(60)"
        ),
        _MEMORY,
    ),
    "many open files": ("x = [os.open('/', 0) for _ in range(5_000)]", "EMFILE"),
    "a file larger than the disk": ("open('big', 'wb').truncate(2**40)", "EFBIG"),
    "a packed bomb": (
        (
            "import io, zipfile\n"
            "packed = io.BytesIO()\n"
            "with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('bomb', bytes(30_000_000))\n"
            "zipfile.ZipFile(packed).extractall('.')"
        ),
        "EFBIG|limit=disk",
    ),
    "shared memory by name": (
        "for n in range(20): open(f'/dev/shm/{n}', 'wb').write(bytes(9_000_000))",
        f"ENOSPC|{_MEMORY}",
    ),
    "files without a name": (
        (
            "files = []\n"
            "for n in range(12):\n"
            "    files.append(open('f', 'wb')); os.unlink('f'); files[-1].write(bytes(9_000_000)); files[-1].flush()\n"
            "time.sleep(60)"
        ),
        "limit=disk",
    ),
    "memory without a name": (
        (
            "files = []\n"
            "for n in range(30):\n"
            "    files.append(os.memfd_create('m')); os.write(files[-1], bytes(9_000_000))\n"
            "time.sleep(60)"
        ),
        "limit=memory",
    ),
    "segments of no process": (
        (
            "for n in range(40):\n"
            "    made = kernel(29, 194, 0, 9_000_000, 0o1600)\n"
            "    LIBC.shmat.restype = ctypes.c_void_p; at = LIBC.shmat(made, None, 0)\n"
            "    ctypes.memset(at, 1, 9_000_000); LIBC.shmdt(ctypes.c_void_p(at))"
        ),
        "EINVAL|limit=memory|ENOMEM",
    ),
    "a spin": ("while True: pass", "limit=time"),
    "endless depth of calls": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        r"signal=\d+|limit=|RecursionError|ENOMEM",
    ),
}
_SHELL: dict[str, tuple[str, str]] = {
    "a fork bomb": (
        "i=0; while [ $i -lt 300 ]; do sleep 60 & i=$((i+1)); done; wait",
        "limit=processes|Cannot fork|Resource temporarily|retry",
    ),
    "one large file": ("head -c 15000000 /dev/zero >one", "File too large|signal=25"),
    "the disk, file by file": (
        "i=0; while true; do head -c 5000000 /dev/zero >f$i; i=$((i+1)); [ $i -lt 9 ] || sleep 1; done",
        "limit=disk|No space left",
    ),
    "the place for temporary files": (
        "i=0; while head -c 9000000 /dev/zero >/tmp/f$i; do i=$((i+1)); done; df /tmp; false",
        "No space left|limit=memory|limit=disk",
    ),
    "a file that a cluster keeps beside the pod": (
        "head -c 30000000 /dev/zero >/dev/termination-log",
        r"File too large|signal=25|limit=disk|Read-only|Permission denied|cannot create",
    ),
    "a command that minds no end": ("trap '' TERM INT HUP; sleep 60 & sleep 60", "limit=time"),
}
_SHORT = {"a spin": 1.0, "a command that minds no end": 0.5}


async def _output(arena: Arena) -> str:
    """Endless output: no more than the limit arrives, in lines or in one."""
    workspace = await arena.workspace()
    for script in ("yes | head -c 30000000", "head -c 30000000 /dev/zero"):
        done = await workspace.run(["sh", "-c", script], env=arena.environment, output_limit=10_000)
        if len(done.stdout) > 10_000 or not done.truncated:
            return f"{len(done.stdout)} bytes arrived"
    return ""


_SEGMENTS = """import ctypes
c = ctypes.CDLL(None)
c.shmat.restype = ctypes.c_void_p
for n in range(1000):
    made = c.shmget(0, 65536, 0o1600)
    assert made >= 0, n
    at = c.shmat(made, None, 0)
    ctypes.memset(at, 1, 65536)
    c.shmdt(ctypes.c_void_p(at))
open('/dev/shm/left', 'wb').write(bytes(9_000_000))
"""


async def _left_behind(arena: Arena) -> str:
    """Memory of no process ends with the command that made it: shared segments, with and without a name."""
    async with arena.lent(small=True) as workspace:
        done = await workspace.run(["python3", "-c", _SEGMENTS])
        if not done.end.ok:
            return f"not tried: {done.stderr.decode()}"
        look = "wc -l </proc/sysvipc/shm; ls /dev/shm"
        seen = (await workspace.run(["sh", "-c", look])).stdout.decode().split()
        return "" if seen == ["1"] else f"left behind: {seen}"


async def _usable(arena: Arena) -> str:
    """After all bombs of its family its workspace, and another one, work."""
    for small in (True, False):
        workspace = await arena.fresh(small=small)
        works = (await workspace.run(["true"])).end.ok
        await workspace.close()
        if not works:
            return "a workspace does not work"
    return ""


ATTACKS = [
    *(
        Attack(name=n, family="limits", python=p, says=says, small=True, timeout_s=_SHORT.get(n, 100.0))
        for n, (p, says) in _BOMBS.items()
    ),
    *(
        Attack(name=n, family="limits", sh=s, says=says, small=True, timeout_s=_SHORT.get(n, 100.0))
        for n, (s, says) in _SHELL.items()
    ),
    Attack(name="endless output", family="limits", act=_output),
    Attack(name="memory that is left behind", family="limits", act=_left_behind),
    Attack(name="the others, by all of these", family="limits", act=_usable),
]
