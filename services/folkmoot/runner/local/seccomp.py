"""A seccomp filter as bytes for `bwrap --seccomp`: what no build or test needs, and exploits love. No I/O here.

A deny-list, not an allow-list: repositories bring every tool there is. The walls are the namespaces; this takes away
the parts of the kernel that are least tried behind them (io_uring, bpf, user faults, mounts) and sockets that no
network namespace confines (vsock reaches the hypervisor).
"""

import errno
import struct
from collections.abc import Mapping, Sequence

import msgspec

from folkmoot.kernel.errors import Misconfigured

_LOAD, _EQUAL, _ABOVE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000
_IO_URING = (425, 426, 427)
_SOCKETS = (38, 40)
"""AF_ALG, AF_VSOCK."""
_NEW_MOUNTS = (428, 429, 430, 431, 432, 433, 442)


class _Machine(msgspec.Struct, frozen=True):
    audit: int
    socket: int
    denied: tuple[int, ...]


# Why each is refused:
# - ptrace, process_vm_*: read and steer processes of the same user.
# - bpf, perf_event_open, userfaultfd: verifier, parser and stops in mid-copy that exploits of the kernel begin with.
# - keys: the session keyring is in no namespace. fanotify: sees what others open.
# - kexec, modules: code into the kernel. swap, reboot, names, acct: of the whole machine.
# - mounts, setns, unshare: the walls are mounts and namespaces; new ones are new surface. clone's flags are left to
#   --disable-userns, which stops every way to a user namespace.
# - file handles: a file by its number, past every folder above it.
# - io_uring: runs calls that no filter sees.
_MACHINES: Mapping[str, _Machine] = {
    "x86_64": _Machine(
        0xC000003E,
        41,
        (
            # ptrace, bpf, perf_event_open, userfaultfd
            *(101, 321, 298, 323),
            # add_key, request_key, keyctl
            *(248, 249, 250),
            # kexec_load, kexec_file_load, init_module, finit_module, delete_module
            *(246, 320, 175, 313, 176),
            # process_vm_readv, process_vm_writev
            *(310, 311),
            # mount, umount2, pivot_root, setns, unshare
            *(165, 166, 155, 308, 272),
            # open_by_handle_at, name_to_handle_at, fanotify_init, acct
            *(304, 303, 300, 163),
            # swapon, swapoff, reboot, sethostname, setdomainname
            *(167, 168, 169, 170, 171),
        ),
    ),
    "aarch64": _Machine(
        0xC00000B7,
        198,
        (
            # ptrace, bpf, perf_event_open, userfaultfd
            *(117, 280, 241, 282),
            # add_key, request_key, keyctl
            *(217, 218, 219),
            # kexec_load, kexec_file_load, init_module, finit_module, delete_module
            *(104, 294, 105, 273, 106),
            # process_vm_readv, process_vm_writev
            *(270, 271),
            # mount, umount2, pivot_root, setns, unshare
            *(40, 39, 41, 268, 97),
            # open_by_handle_at, name_to_handle_at, fanotify_init, acct
            *(265, 264, 262, 89),
        ),
    ),
}


def program(machine: str) -> bytes:
    """The filter for `platform.machine()`. Raises Misconfigured for one that we have no numbers for."""
    if machine not in _MACHINES:
        raise Misconfigured(f"no seccomp filter for {machine}: this version sandboxes on x86_64 and aarch64")
    return b"".join(_assembled(_MACHINES[machine]))


def _assembled(machine: _Machine) -> Sequence[bytes]:
    return [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, machine.audit, skip_if_true=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_ABOVE, _X32, skip_if_false=1),
        _op(_RETURN, _ERRNO | errno.ENOSYS),
        *_refused(_IO_URING, errno.ENOSYS),
        *_refused((*machine.denied, *_NEW_MOUNTS), errno.EPERM),
        _op(_EQUAL, machine.socket, skip_if_true=1),
        _op(_RETURN, _ALLOW),
        _op(_LOAD, _FIRST_ARGUMENT),
        *_refused(_SOCKETS, errno.EAFNOSUPPORT),
        _op(_RETURN, _ALLOW),
    ]


def _refused(values: Sequence[int], error: int) -> list[bytes]:
    """Each value that equals the accumulator ends with `error`."""
    pairs = ((_op(_EQUAL, v, skip_if_false=1), _op(_RETURN, _ERRNO | error)) for v in values)
    return [op for pair in pairs for op in pair]


def _op(code: int, value: int, *, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    """One `struct sock_filter`."""
    return struct.pack("=HBBI", code, skip_if_true, skip_if_false, value)
