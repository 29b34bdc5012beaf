"""Processes: to outlive a command, to reach others, to gain rights, and the rarer calls of the kernel."""

# ruff: noqa: E501 -- a script reads best on one line

import struct

from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import ABSENT, PERMISSION, READ_ONLY, Attack

_CALLS = {
    "trace": "kernel(101, 117, 0, 0, 0, 0)",
    "io_uring": "kernel(425, 425, 8, (ctypes.c_char * 200)())",
    "bpf": "kernel(321, 280, 0, (ctypes.c_char * 128).from_buffer_copy(struct.pack('<IIII', 2, 4, 4, 1).ljust(128, b'\\0')), 128)",
    "performance events": (
        "kernel(298, 241, (ctypes.c_char * 128).from_buffer_copy(struct.pack('<II', 1, 128).ljust(128, b'\\0')), 0, -1, -1, 0)"
    ),
    "user page faults": "kernel(323, 282, 0)",
    "add a key": "kernel(248, 217, b'user', NONCE.encode(), b'x', 1, -1)",
    "read key rings": "kernel(250, 219, 0, -3, 1)",
    "read another's memory by call": (
        "there, here = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)\n"
        "def piece(b): return (ctypes.c_char * 16).from_buffer_copy(struct.pack('<QQ', ctypes.addressof(b), 8))\n"
        "kernel(310, 270, os.getpid(), piece(here), 1, piece(there), 1, 0)"
    ),
    "compare processes": "kernel(312, 272, os.getpid(), os.getpid(), 1, 0, 0)",
    "a new user namespace": "kernel(272, 97, 0x10000000)",
    "a new network namespace": "kernel(272, 97, 0x40000000)",
    "a new mount namespace": "kernel(272, 97, 0x00020000)",
    "a clone in a new user namespace": "kernel(56, 220, 0x10000011, 0, 0, 0, 0) or os._exit(0)",
    "a clone in a new mount namespace": "kernel(56, 220, 0x00020011, 0, 0, 0, 0) or os._exit(0)",
    "a clone by the newer call": (
        "kernel(435, 435, (ctypes.c_char * 64).from_buffer_copy(struct.pack('<QQQQQ', 0x10000000, 0, 0, 0, 17).ljust(64, b'\\0')), 64)"
        " or os._exit(0)"
    ),
}
_GAINS = {
    "enter a namespace by its file": "kernel(308, 268, os.open('/proc/1/ns/mnt', 0), 0)",
    "load a module": "kernel(175, 105, b'x', 1, b'')",
    "load another kernel": "kernel(246, 104, 0, 0, 0, 0)",
    "restart the machine": "kernel(169, 142, 0, 0, 0, 0)",
    "take away swap": "kernel(168, 225, b'/swapfile')",
    "switch on accounting": "kernel(163, 89, b'/tmp/acct')",
    "name the machine": "socket.sethostname('moot-' + NONCE)",
    "set the clock": "time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "become root": "os.setuid(0)",
    "take root's groups": "os.setgroups([0])",
    "take capabilities": (
        "kernel(126, 91, (ctypes.c_char * 8).from_buffer_copy(struct.pack('<II', 0x20080522, 0)),"
        " (ctypes.c_char * 24).from_buffer_copy(struct.pack('<IIIIII', *[1 << 21] * 6)))"
    ),
    "more open files than the limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (10**6, 10**6))",
    "more processes than the limit": "resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6))",
    "larger files than the limit": "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
    "dumps of memory": "resource.setrlimit(resource.RLIMIT_CORE, (10**6, 10**6))",
    "go before all others": "os.setpriority(os.PRIO_PROCESS, 0, -20)",
    "run in real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
    "never to be killed for memory": "os.write(os.open('/proc/self/oom_score_adj', 1), b'-1000')",
    "lock all memory": "LIBC.mlockall(3) and kernel(0, 63, -1, None, 0)",
    "no more NoNewPrivs": "LIBC.prctl(38, 0, 0, 0, 0) and kernel(157, 167, 38, 0, 0, 0, 0)",
    "ports of the processor": "kernel(172, 24, 3)",
}
_NOWHERE = {
    "more processes than the limit": {
        "kubernetes": "rlimits count a user of the whole node: there the pod's control group counts (podPidsLimit)"
    }
}
_OTHERS = {
    "kill a process of the host": "os.kill(PID, 9)",
    "hold a process of the host": "kernel(434, 434, PID, 0)",
    "stop a process of the host": "os.kill(PID, 19)",
    "slow a process of the host": "os.setpriority(os.PRIO_PROCESS, PID, 19)",
    "change a host process's limits": "resource.prlimit(PID, resource.RLIMIT_CPU, (1, 1))",
    "move a process of the host": "os.sched_setaffinity(PID, {0})",
}
_SEEN = "see processes beyond its own"
_SHELL = {
    "sudo and su": ("sudo -n true || su -c true", rf"not found|effective|{PERMISSION}|Authentication"),
    "a nested user namespace": ("unshare -U true", rf"No space left|{PERMISSION}"),
    "a nested sandbox": ("unshare -Urm true", rf"No space left|{PERMISSION}"),
    "enter the first process's namespaces": ("nsenter -t 1 -m -p true", PERMISSION),
    "a copy of the shell for its owner": (
        "cp /bin/sh s; chmod 6755 s; ./s -c 'test $(id -u) = 0' || echo EPERM; false",
        "EPERM",
    ),
    _SEEN: (
        'grep -qz "[c]anary-$NONCE" /proc/[0-9]*/cmdline 2>/dev/null || { echo EPERM; false; }',
        "EPERM",
    ),
    "end its keeper": ("kill -9 1; sleep 0.1; kill -0 1 && echo EPERM && false", "EPERM|not permitted"),
    "type into a terminal": (
        """python3 -c "import fcntl; fcntl.ioctl(0, 0x5412, b'x')" """,
        "Inappropriate|ENOTTY|EPERM|not permitted|EIO",
    ),
}


_LOOP = (
    "(setsid sh -c 'while :; do date +%N >tick; sleep 0.01; done' &) ; (nohup sh -c 'while :; do date +%N >tick; done' &)"
    " ; sleep 0.2"
)
_LOOKS = 100
_KEEPER = {
    "look into its keeper": "ls /proc/$PPID/fd/ && cat /proc/$PPID/environ",
    "its keeper's memory": "head -c1 /proc/$PPID/mem",
    "speak for its keeper": "printf 'X\\0\\0\\0\\2{}' >/proc/$PPID/fd/1",
    "write to the log of its first process": "echo evil >/proc/1/fd/1 || echo evil >/proc/1/fd/2",
}


async def _survivor(arena: Arena) -> str:
    """A command leaves loops behind, in sessions of their own, that write to a file."""
    async with arena.lent() as workspace:
        await workspace.run(["sh", "-c", f"{_LOOP}; exit 0"], env=arena.environment)
        return "" if await _still(workspace) else "a loop outlived its command"


async def _still(workspace: GrpcWorkspace) -> bool:
    first = await workspace.read("tick")
    await workspace.run(["sleep", "0.1"])
    return await workspace.read("tick") == first


async def _orphans(arena: Arena) -> str:
    """The same, and the process that watches the command is killed: what is left ends soon all the same."""
    async with arena.lent() as workspace:
        await workspace.run(["sh", "-c", f"{_LOOP}; kill -9 $PPID; exit 0"], env=arena.environment)
        for _ in range(_LOOKS):
            if await _still(workspace):
                return ""
        return "a loop outlived its keeper"


async def _forged(arena: Arena) -> str:
    """What is printed is no end: not even what a watcher itself would say."""
    body = b'{"limit":"","truncated":false,"signal":0}'
    end = b"X" + struct.pack(">I", len(body)) + body
    workspace = await arena.workspace()
    done = await workspace.run(["sh", "-c", "cat; exit 3"], stdin=end * 3, env=arena.environment)
    return "" if (done.end.exit_code, done.stdout) == (3, end * 3) else repr(done)


async def _modules(arena: Arena) -> str:
    """Programs of ours that run inside load nothing that a command left: not from the folder, not from the home."""
    names = "json ctypes resource select struct sitecustomize usercustomize encodings/evil"
    lay = f"""h=$(python3 -m site --user-site); mkdir -p "$h" encodings
for n in {names}; do for d in . "$h" ~; do echo 'open("/workspace/ran", "w")' >"$d/$n.py"; done; done; rm -f ran; true"""
    async with arena.lent() as workspace:
        await workspace.run(["sh", "-c", lay], env=arena.environment)
        await workspace.run(
            ["/bin/true"], env=arena.environment | {"PYTHONPATH": "/workspace", "PYTHONSTARTUP": "json.py"}
        )
        await workspace.list()
        ran = (await workspace.run(["test", "-e", "ran"])).end.ok
        return "a module was loaded" if ran else ""


async def _everybody(arena: Arena) -> str:
    """Signals to all that it may signal: the canary and the runner live on, and the workspace works."""
    workspace = await arena.workspace()
    await workspace.run(["python3", "-c", "import os; os.kill(-1, 9)"], env=arena.environment)
    return "" if (await workspace.run(["true"])).end.ok else "the workspace is broken"


async def _loaded(arena: Arena) -> str:
    """Variables of a command that have code loaded: into what limits it, too, before the limits are set?"""
    variables = {"PERL5LIB": "/workspace", "PERL5OPT": "-Mevil", "LD_PRELOAD": "/workspace/none.so"}
    async with arena.lent() as workspace:
        await workspace.write("evil.pm", b"open(my $f, '>', '/workspace/ran'); 1;")
        done = await workspace.run(["/bin/true"], env=arena.environment | variables)
        ran = (await workspace.run(["test", "-e", "ran"])).end.ok
    # The loader of each program that has the variable says once that it cannot: the command's own, and nobody else's.
    return f"loaded {done.stderr!r}" if ran or done.stderr.count(b"cannot be preloaded") != 1 else ""


ATTACKS = [
    *(
        Attack(name=name, family="kernel", python=p, says=rf"{PERMISSION}|ENOSPC", outside=True)
        for name, p in _CALLS.items()
    ),
    *(
        Attack(
            name=n,
            family="rights",
            python=p,
            says=rf"{READ_ONLY}|EINVAL|ValueError|ENOMEM|EBADF",
            nowhere=_NOWHERE.get(n, {}),
        )
        for n, p in _GAINS.items()
    ),
    *(Attack(name=n, family="processes", python=p, says=ABSENT) for n, p in _OTHERS.items()),
    *(
        Attack(name=n, family="processes", sh=script, says=says, outside=n == _SEEN)
        for n, (script, says) in _SHELL.items()
    ),
    *(
        Attack(name=n, family="processes", sh=script, says=rf"{PERMISSION}|{ABSENT}", alone=True)
        for n, script in _KEEPER.items()
    ),
    Attack(name="code before the limits", family="processes", act=_loaded),
    Attack(name="modules in the way of what runs inside", family="processes", act=_modules),
    Attack(name="a forged end", family="processes", act=_forged),
    Attack(name="outlive its command and its keeper", family="processes", act=_orphans),
    Attack(name="outlive its command", family="processes", act=_survivor),
    Attack(name="a signal to everybody", family="processes", act=_everybody),
]
