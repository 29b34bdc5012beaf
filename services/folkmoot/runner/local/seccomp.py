"""A seccomp filter as bytes for `bwrap --seccomp`: what no build or test needs, and exploits love. No I/O here.

A deny-list for calls, not an allow-list: repositories bring every tool there is, and the next version of a language's
runtime uses a call that the last one did not. The walls are the namespaces; this takes away the parts of the kernel
that are least tried behind them. An allow-list for what few use and many exploits began with: kinds of sockets.
"""

import errno
import struct
from collections.abc import Mapping, Sequence

import msgspec

from folkmoot.kernel.errors import Misconfigured

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
_SOCKETS = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6; and AF_NETLINK for routes only: by it runtimes list the interfaces. All others are
refused: vsock reaches the hypervisor; alg, packet, tipc, rds, bluetooth, xdp and the rest load modules."""
_NETLINK, _ROUTE = 16, 0
_NAMESPACES = 0x7E020000
"""CLONE_NEW*: mounts, cgroups, host names, IPC, users, processes, network."""
_IOCTLS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into somebody's terminal."""

# Same numbers everywhere. Answered as a kernel without them does, so that programs use their older ways:
# - io_uring: runs calls that no filter sees.
# - clone3: its flags lie in memory, where no filter sees them; every libc falls back to clone.
# - memfd_secret: memory that nobody counts.
_UNKNOWN = (425, 426, 427, 435, 447)
# - mounts by the newer calls; pidfd_getfd and process_madvise reach into processes of the same user; quotactl_fd.
_NEWER = (428, 429, 430, 431, 432, 433, 442, 467, 438, 440, 443)


_SEGMENT_BYTES = 65_536
"""Largest System V segment. A segment that nobody maps is memory of no process, which the watch does not see, and there
may be 4,096 of them. PostgreSQL needs 56 bytes; for more, programs have POSIX segments and mmap."""


class _Machine(msgspec.Struct, frozen=True):
    audit: int
    socket: int
    socketpair: int
    clone: int
    ioctl: int
    shmget: int
    denied: tuple[int, ...]


# Why each is refused:
# - ptrace, process_vm_*, kcmp: read, steer and compare processes of the same user.
# - bpf, perf_event_open, userfaultfd: verifier, parser and stops in mid-copy that exploits of the kernel begin with.
# - keys: the session keyring is in no namespace. fanotify, lookup_dcookie: see what others open.
# - kexec, modules: code into the kernel. swap, reboot, names, acct, syslog, quotactl, nfsservctl, vhangup: of the whole
#   machine. The clock: too. All of these need a capability as well, which nobody has inside.
# - mounts, chroot, setns, unshare, clone's CLONE_NEW*: the walls are mounts and namespaces; new ones are new surface.
# - file handles: a file by its number, past every folder above it.
# - move_pages, migrate_pages: memory of others by node. iopl, ioperm, modify_ldt, uselib, ustat, _sysctl, sysfs:
#   relics.
_MACHINES: Mapping[str, _Machine] = {
    "x86_64": _Machine(
        audit=0xC000003E,
        socket=41,
        socketpair=53,
        clone=56,
        ioctl=16,
        shmget=29,
        denied=(
            # ptrace, bpf, perf_event_open, userfaultfd, kcmp
            *(101, 321, 298, 323, 312),
            # add_key, request_key, keyctl
            *(248, 249, 250),
            # kexec_load, kexec_file_load, init_module, finit_module, delete_module
            *(246, 320, 175, 313, 176),
            # process_vm_readv, process_vm_writev, move_pages, migrate_pages
            *(310, 311, 279, 256),
            # mount, umount2, pivot_root, chroot, setns, unshare
            *(165, 166, 155, 161, 308, 272),
            # open_by_handle_at, name_to_handle_at, fanotify_init, lookup_dcookie, acct
            *(304, 303, 300, 212, 163),
            # swapon, swapoff, reboot, sethostname, setdomainname, syslog, vhangup, quotactl, nfsservctl
            *(167, 168, 169, 170, 171, 103, 153, 179, 180),
            # settimeofday, adjtimex, clock_settime, clock_adjtime
            *(164, 159, 227, 305),
            # iopl, ioperm, modify_ldt, uselib, ustat, _sysctl, sysfs
            *(172, 173, 154, 134, 136, 156, 139),
        ),
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        socket=198,
        socketpair=199,
        clone=220,
        ioctl=29,
        shmget=194,
        denied=(
            # ptrace, bpf, perf_event_open, userfaultfd, kcmp
            *(117, 280, 241, 282, 272),
            # add_key, request_key, keyctl
            *(217, 218, 219),
            # kexec_load, kexec_file_load, init_module, finit_module, delete_module
            *(104, 294, 105, 273, 106),
            # process_vm_readv, process_vm_writev, move_pages, migrate_pages
            *(270, 271, 239, 238),
            # mount, umount2, pivot_root, chroot, setns, unshare
            *(40, 39, 41, 51, 268, 97),
            # open_by_handle_at, name_to_handle_at, fanotify_init, lookup_dcookie, acct
            *(265, 264, 262, 18, 89),
            # swapon, swapoff, reboot, sethostname, setdomainname, syslog, vhangup, quotactl, nfsservctl
            *(224, 225, 142, 161, 162, 116, 58, 60, 42),
            # settimeofday, adjtimex, clock_settime, clock_adjtime
            *(170, 171, 112, 266),
        ),
    ),
}


MACHINES = tuple(_MACHINES)
"""That there is a filter for."""


def program(machine: str) -> bytes:
    """The filter for `platform.machine()`. Raises Misconfigured for one that we have no numbers for."""
    if machine not in _MACHINES:
        raise Misconfigured(f"no seccomp filter for {machine}: this version sandboxes on x86_64 and aarch64")
    return b"".join(_assembled(_MACHINES[machine]))


def refusals(machine: str) -> int:
    """How many calls are refused whatever their arguments. Raises KeyError for a machine without a filter."""
    return len({*_UNKNOWN, *_NEWER, *_MACHINES[machine].denied})


def _assembled(machine: _Machine) -> Sequence[bytes]:
    """A call whose arguments are looked at has a part of its own, which ends with an answer."""
    return [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, machine.audit, skip_if_true=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_ABOVE, _X32, skip_if_false=1),
        _op(_RETURN, _ERRNO | errno.ENOSYS),
        *_refused(_UNKNOWN, errno.ENOSYS),
        *_refused((*machine.denied, *_NEWER), errno.EPERM),
        *_of(machine.socket, _families()),
        *_of(machine.socketpair, _families()),
        *_of(machine.clone, _threads()),
        *_of(machine.ioctl, _terminals()),
        *_of(machine.shmget, _segments()),
        _op(_RETURN, _ALLOW),
    ]


def _of(number: int, part: Sequence[bytes]) -> list[bytes]:
    """`part` for this call, skipped by every other."""
    return [_op(_EQUAL, number, skip_if_false=len(part)), *part]


def _families() -> list[bytes]:
    allowed = [op for family in _SOCKETS for op in (_op(_EQUAL, family, skip_if_false=1), _op(_RETURN, _ALLOW))]
    return [
        _argument(0),
        *allowed,
        _op(_EQUAL, _NETLINK, skip_if_true=1),
        _op(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
        _argument(2),
        _op(_EQUAL, _ROUTE, skip_if_true=1),
        _op(_RETURN, _ERRNO | errno.EPROTONOSUPPORT),
        _op(_RETURN, _ALLOW),
    ]


def _threads() -> list[bytes]:
    return [
        _argument(0),
        _op(_ANY_BIT, _NAMESPACES, skip_if_false=1),
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_RETURN, _ALLOW),
    ]


def _terminals() -> list[bytes]:
    return [_argument(1), *_refused(_IOCTLS, errno.EPERM), _op(_RETURN, _ALLOW)]


def _segments() -> list[bytes]:
    return [
        _argument(1, upper=True),
        _op(_EQUAL, 0, skip_if_true=1),
        _op(_RETURN, _ERRNO | errno.EINVAL),
        _argument(1),
        _op(_ABOVE, _SEGMENT_BYTES + 1, skip_if_false=1),
        _op(_RETURN, _ERRNO | errno.EINVAL),
        _op(_RETURN, _ALLOW),
    ]


def _argument(number: int, *, upper: bool = False) -> bytes:
    """Its lower half, which is all that the kernel reads of most that are looked at here; little-endian."""
    return _op(_LOAD, _ARGUMENTS + 8 * number + 4 * upper)


def _refused(values: Sequence[int], error: int) -> list[bytes]:
    """Each value that equals the accumulator ends with `error`."""
    pairs = ((_op(_EQUAL, v, skip_if_false=1), _op(_RETURN, _ERRNO | error)) for v in values)
    return [op for pair in pairs for op in pair]


def _op(code: int, value: int, *, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    """One `struct sock_filter`."""
    return struct.pack("=HBBI", code, skip_if_true, skip_if_false, value)
