"""What an attack is, and how its outcome is judged.

A script attacks by trying. It got through when it ends with 0; it was refused only when it ended otherwise *and* said
what the kernel or the platform says to it: a program that is missing, or a slip in the script, is no refusal.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.security.abuse.arena import Arena

Act = Callable[["Arena"], Awaitable[str]]
"""Tries something by the port itself; says what got through, or nothing. What it does not expect it raises."""
PERMISSION = r"EPERM|EACCES|ENOSYS|Operation not permitted|Permission denied|must be superuser|permission denied"
READ_ONLY = rf"Read-only file system|EROFS|{PERMISSION}"
ABSENT = r"No such file|nonexistent|can't cd|ENOENT|not a directory|cannot access|ESRCH|No such process|ECHILD"


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt; exactly one of `sh`, `python` and `act`."""

    name: str
    family: str
    says: str = PERMISSION
    """Of the output of a refused script: a regular expression."""
    sh: str = ""
    python: str = ""
    """Got through where it raises no OSError."""
    act: Act | None = None
    outside: bool = False
    """As it stands it gets through on this machine, outside of any workspace, and does no harm there (as root)."""
    small: bool = False
    """In a workspace of small limits."""
    alone: bool = False
    """A command of its own also where others are tried together: it is about the command, or its keeper."""
    nowhere: Mapping[str, str] = {}
    """Backends where it has no meaning, and why."""
    timeout_s: float = 100.0
    environment: dict[str, str] = {}

    @property
    def argv(self) -> list[str]:
        if self.python:
            return ["python3", "-c", f"{HEAD}\ntry:\n{_indented(self.python)}\n{TAIL}"]
        return ["sh", "-c", f'cd "$(mktemp -d ./abuse.XXXXXX)" || exit 99\n{self.sh}']


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    refused: bool
    seen: str
    tried: bool = True
    """False where it has no meaning; `seen` is the reason."""

    @property
    def stands(self) -> bool:
        """It did not get through."""
        return self.refused or not self.tried


def judged(attack: Attack, *, ok: bool, output: str) -> Verdict:
    """Of a script."""
    if ok:
        return Verdict(refused=False, seen=f"got through: {output[-500:]}")
    known = re.search(attack.says, output) is not None
    return Verdict(refused=known, seen=output[-500:] if known else f"not refused as expected: {output[-800:]!r}")


def _indented(program: str) -> str:
    return "\n".join(f"    {line}" for line in program.strip("\n").splitlines())


HEAD = '''
import ctypes, errno, os, platform, resource, socket, struct, sys, time
HOST, PORT, PID = os.environ["HOST"], int(os.environ["PORT"]), int(os.environ["HOSTPID"])
CANARY, NONCE = os.environ["CANARY"], os.environ["NONCE"]
NODE, SERVICE, BYSTANDER = os.environ["NODE"], os.environ["SERVICE"], os.environ["BYSTANDER"]
LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
def kernel(x86, arm, *arguments):
    """A system call by its numbers."""
    words = [a if isinstance(a, (bytes, ctypes.Array)) or a is None else ctypes.c_long(a) for a in arguments]
    answer = LIBC.syscall(ctypes.c_long(arm if ARM else x86), *words)
    if answer < 0: raise OSError(ctypes.get_errno(), "refused")
    return answer
'''
TAIL = """
    print("THROUGH")
except OSError as error:
    print(errno.errorcode.get(error.errno, error.errno), error)
    sys.exit(1)
"""
