"""Files of the host: written, read, reached through links, mounts, devices and what /proc shows."""

# ruff: noqa: E501 -- a script reads best on one line

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import ABSENT, PERMISSION, READ_ONLY, Attack
from tests.security.abuse.lures import SECRET

_SYSTEM = {
    "write beside the system's programs": 'touch "/usr/bin/moot-$NONCE"',
    "write over one of the system's programs": "true >>/usr/bin/env",
    "write to /etc": 'touch "/etc/moot-$NONCE"',
    "write over /etc/passwd": "true >>/etc/passwd",
    "write to the root folder": 'mkdir "/moot-$NONCE"',
    "write to /dev": 'touch "/dev/moot-$NONCE"',
    "write to base's objects": 'touch "/base.git/moot-$NONCE" "/base.git/objects/moot-$NONCE"',
    "write to our Python": 'touch "/opt/python/bin/moot-$NONCE"',
    "write a kernel setting": "cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern",
    "write to sysrq": "true >>/proc/sysrq-trigger",
    "change the system's modes": "chmod 777 /usr/bin/env /etc/passwd",
    "remove the system's files": "rm -f /etc/passwd /usr/bin/env && ! test -e /usr/bin/env",
    "rename the system's folders": 'mv /usr/share "/usr/moot-$NONCE"',
    "write to the kernel's interrupts": "true >>/proc/irq/default_smp_affinity",
}
_HOST = {
    "write a file of the host": 'echo evil >"$CANARY/secret"',
    "make a file on the host": 'echo evil >"$CANARY/open/moot-$NONCE"',
    "read a file of the host": 'cat "$CANARY/secret"',
    "write through a link": 'ln -s "$CANARY/secret" link; echo evil >link',
    "write through a linked parent, three levels up": 'ln -s "$CANARY" up; mkdir -p a/b; cd a/b; echo x >../../up/open/y',
    "climb out by dots": 'd=$(pwd | sed "s,[^/]*,..,g"); echo evil >"$d/$CANARY/secret"',
    "read by a process of the host": 'cat "/proc/$HOSTPID/root$CANARY/secret"',
    "read a host process's environment": 'cat "/proc/$HOSTPID/environ"',
    "read a host process's memory": 'head -c1 "/proc/$HOSTPID/mem"',
    "a hard link to a file of the host": 'ln "$CANARY/secret" hard',
    "a folder turned into a link under a running command": (
        'mkdir d; (cd d && rm -r ../d && ln -s "$CANARY" ../d); cat d/secret'
    ),
    "git told that its files are on the host": 'git --git-dir="$CANARY" --work-tree="$CANARY" init -q .',
    "git reads objects of the host": (
        'git init -q . && echo "$CANARY" >.git/objects/info/alternates && cat $(cat .git/objects/info/alternates)/secret'
    ),
}
_PRIVATE = {
    "read by the first process's folder": 'cd /proc/1/cwd && cat "../../../../../..$CANARY/secret"',
    "read by the first process's root": 'cat "/proc/1/root$CANARY/secret"',
    "ssh keys": "cat /root/.ssh/* /home/*/.ssh/* ~/.ssh/*",
    "cloud credentials": "cat ~/.aws/credentials ~/.config/gcloud/* ~/.kube/config /root/.kube/config ~/.netrc",
    "passwords of the machine": "cat /etc/shadow",
    "service account token": "cat /var/run/secrets/kubernetes.io/serviceaccount/token",
    "container engines' sockets": "ls /var/run/docker.sock /run/containerd/containerd.sock /run/crio/crio.sock",
    "D-Bus and X sockets": "ls /run/dbus/system_bus_socket /run/user/*/bus /tmp/.X11-unix/X0",
    "the runner's key": 'cat "$CANARY/../bench/runner/key"',
    "logs of the machine": "cat /var/log/syslog /var/log/messages /var/log/dpkg.log",
    "other users' files in /tmp": 'ls "${CANARY%/*}"',
}
_DEVICES = {
    "make a device": "mknod dev b 8 0",
    "make a character device of the kernel's memory": "mknod mem c 1 1",
}
_KERNEL_FILES = {
    "the machine's disks": "head -c1 /dev/vda /dev/sda /dev/nvme0n1 /dev/loop0",
    "the kernel's memory": "head -c1 /dev/mem /dev/kmem /proc/kcore",
    "the kernel's log": "head -c1 /dev/kmsg",
    "the virtual machine monitor": "head -c1 /dev/kvm",
    "user file systems": "head -c1 /dev/fuse",
    "tunnels": "head -c1 /dev/net/tun",
    "change what /sys shows": "for f in /sys/kernel/mm/ksm/run /sys/class/net/lo/mtu; do cat $f >$f || exit 1; done",
    "control groups' release agent": "echo /bin/sh >/sys/fs/cgroup/release_agent",
    "its own control group": (
        "for f in /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max; do echo max >$f && exit 0; done; false"
    ),
}
_MOUNTS = {
    "mount a file system": 'mount -t tmpfs "moot-$NONCE" /tmp',
    "mount the system writable": "mount -o remount,rw /usr",
    "bind a folder over the system's": "mount --bind . /usr/bin",
    "unmount the walls": "umount /proc || umount -l /etc || umount -l /",
    "mount another /proc": "mount -t proc proc /tmp",
    "a new root": "/usr/sbin/chroot . /bin/true",
}
_CALLS = {
    "mount by the new calls": 'kernel(430, 430, b"tmpfs", 0)',
    "clone a mount": 'kernel(428, 428, -100, b"/usr", 1)',
    "open a file by its number": 'kernel(303, 264, -100, b"/", (ctypes.c_char * 256)(), (ctypes.c_char * 8)(), 0)',
    "see what others open": "kernel(300, 262, 0, 0)",
    "pivot the root": 'kernel(155, 41, b".", b".")',
    "give a program capabilities": (
        'open("capable", "w").close()\n'
        'os.setxattr("capable", "security.capability", struct.pack("<IIIII", 0x02000001, 0xffffffff, 0, 0, 0))'
    ),
}


async def _file_calls(arena: Arena) -> str:
    """Each spelling of a way out, for reading, writing and listing; links to files and folders of the host too."""
    workspace = await arena.workspace()
    await workspace.run(
        ["sh", "-c", 'mkdir -p l/m; ln -sfn "$1" l/m/up; ln -sfn "$1/secret" link', "sh", str(arena.canaries)]
    )
    ways = ("../x", "../workspace-evil/x", "/workspace-evil/x", f"{arena.canaries}/secret", "link", "l/m/up/secret")
    through = []
    for way in (*ways, "l/m/up/open/x", "a/../../x", "nul\0x", "/proc/1/root/etc/passwd"):
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            partial(workspace.write, way, b"evil"),
            partial(workspace.read, way),
            partial(workspace.list, way),
        )
        for call in calls:
            try:
                await call()
            except (InvalidInput, NotFound):
                continue
            through.append(way)
    return ", ".join(through)


async def _swapped(arena: Arena) -> str:
    """A file is read and written while its folder is exchanged for a link to the host's, and back."""
    async with arena.lent() as workspace:
        return await _raced(workspace, arena)


async def _raced(workspace: GrpcWorkspace, arena: Arena) -> str:
    await workspace.run(["sh", "-c", 'mkdir real; echo mine >real/secret; ln -s "$1" link', "sh", str(arena.canaries)])
    swap = "while :; do mv -T real d; mv -T d real; mv -T link d; mv -T d link; done"
    seen = []
    async with asyncio.TaskGroup() as group:
        swapping = group.create_task(workspace.run(["sh", "-c", swap], timeout_s=60))
        for _ in range(25):
            with contextlib.suppress(NotFound, InvalidInput):
                seen.append(await workspace.read("d/secret"))
            with contextlib.suppress(NotFound, InvalidInput):
                await workspace.write("d/open", b"evil")
        swapping.cancel()
    return "read" if SECRET.encode() in seen else ""


def _family(table: dict[str, str], says: str, *, outside: bool = False) -> list[Attack]:
    return [
        Attack(name=name, family="files", sh=script, says=says, outside=outside, nowhere=_NOWHERE.get(name, {}))
        for name, script in table.items()
    ]


_NOWHERE = {
    "write to base's objects": {"kubernetes": "a pod has its own copy of base's objects, in its own repository"},
}


ATTACKS = [
    *_family(_SYSTEM, f"{READ_ONLY}|{ABSENT}"),
    *_family(_HOST, f"{ABSENT}|{READ_ONLY}", outside=True),
    *_family(_PRIVATE, f"{ABSENT}|{PERMISSION}"),
    *_family(_DEVICES, PERMISSION, outside=True),
    *_family(_KERNEL_FILES, f"{ABSENT}|{READ_ONLY}"),
    Attack(
        name="/sys",
        family="files",
        sh="ls /sys/kernel /sys/class",
        says=ABSENT,
        nowhere={"kubernetes": "every container has /sys, read-only: runtimes find their limits there"},
    ),
    *_family(_MOUNTS, f"{PERMISSION}|{ABSENT}"),
    *(Attack(name=name, family="files", python=program) for name, program in _CALLS.items()),
    Attack(name="ways out of the file calls", family="files", act=_file_calls),
    Attack(name="a race of links against the file calls", family="files", act=_swapped),
]
