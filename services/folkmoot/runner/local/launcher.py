"""What stands between bwrap and the command, inside: sets limits, locks itself in by Landlock, becomes the command.

Landlock is a second wall behind the mounts: only the folders that are named can be changed, whatever the mounts say, no
file system can be mounted or bound, and signals and abstract sockets reach nothing outside of the command. It can only
be put up by the process itself, after bwrap has made its mounts. Perl, which comes with git on most systems, makes such
calls without a library, and starts in a millisecond; where it is missing, util-linux' prlimit sets the limits alone.
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from folkmoot.runner.command import REPO

PERL = "/usr/bin/perl"
PRLIMIT = "/usr/bin/prlimit"
"""From outside nobody without CAP_SYS_RESOURCE could set them, and before the user namespace RLIMIT_NPROC would count
all sandboxes together."""
HOME = "/home/agent"
WRITABLE = (REPO, HOME, "/tmp", "/dev/shm")  # noqa: S108 -- inside
"""Besides what is mounted to be written. What is not there is passed over."""

# Rights by their bits: 13 is to run, read and list; 16398 besides that, to write, truncate and control a device;
# 2112 is to make devices. Newer kernels know more of them: each generation (`$abi`) is told only what it knows.
# Numbers 444 to 446 are Landlock's calls on every machine.
_LOCK = r"""
my ($openat, $prlimit) = splice @ARGV, 0, 2;
for (1 .. shift) {
  my ($kind, $most) = splice @ARGV, 0, 2;
  syscall($prlimit + 0, 0, $kind + 0, pack('QQ', $most, $most), 0) == 0 or die "limit $kind: $!\n";
}
my @writable = splice @ARGV, 0, shift;
my $abi = syscall(444, 0, 0, 1);
if ($abi > 0) {
  my $all = (1 << ($abi < 2 ? 13 : $abi < 3 ? 14 : $abi < 5 ? 15 : 16)) - 1;
  my $rules = syscall(444, pack('QQQ', $all, 0, 3), $abi < 4 ? 8 : $abi < 6 ? 16 : 24, 0);
  $rules >= 0 or die "landlock: $!\n";
  for (['/', 13], ['/dev', 13 | 2 | 16384 | 32768], map [$_, $all & ~2112], @writable) {
    my $folder = syscall($openat + 0, -100, $_->[0], 012000000, 0);
    next if $folder < 0;
    syscall(445, $rules, 1, pack('Ql', $_->[1] & $all, $folder), 0) == 0 or die "landlock: $_->[0]: $!\n";
  }
  syscall(446, $rules, 0) == 0 or die "landlock: $!\n";
}
my %set = splice @ARGV, 0, 2 * shift;
@ENV{keys %set} = values %set;
exec {$ARGV[0]} @ARGV;
print STDERR "$ARGV[0]: $!\n";
exit($! == 2 ? 127 : 126);
"""


class Calls(msgspec.Struct, frozen=True):
    """Numbers of system calls."""

    openat: int
    prlimit: int


_CALLS: Mapping[str, Calls] = {"x86_64": Calls(257, 302), "aarch64": Calls(56, 261)}
_LIMITS: Mapping[str, int] = {"fsize": 1, "core": 4, "nproc": 6, "nofile": 7, "memlock": 8}


def available() -> bool:
    """Whether `locking` works here, as far as it is ours: a kernel without Landlock leaves the lock out."""
    return platform.machine() in _CALLS and Path(PERL).is_file()


def locking(
    machine: str,
    limits: Mapping[str, int],
    writable: Sequence[str],
    environment: Mapping[str, str],
    argv: Sequence[str | bytes],
) -> list[str | bytes]:
    """By perl; of all folders only `writable` can be changed from then on.

    It runs without any variable of the environment, so that no caller's `LD_PRELOAD` or `PERL5OPT` runs before the
    lock; the command gets them all.
    """
    calls = _CALLS[machine]
    return [
        *(PERL, "-e", _LOCK, "--", str(calls.openat), str(calls.prlimit)),
        *(str(len(limits)), *(word for name, most in limits.items() for word in (str(_LIMITS[name]), str(most)))),
        *(str(len(writable)), *writable),
        *(str(len(environment)), *(word for pair in environment.items() for word in pair)),
        *argv,
    ]


def limiting(
    limits: Mapping[str, int], environment: Mapping[str, str], argv: Sequence[str | bytes]
) -> list[str | bytes]:
    """By prlimit; what the caller puts into the environment is there only once the limits are set."""
    limited = [PRLIMIT, *(f"--{name}={most}" for name, most in limits.items()), "--"]
    if not environment:
        return [*limited, *argv]
    # A shell, because env takes a program with `=` in its name for a variable.
    named = [f"{name}={value}" for name, value in environment.items()]
    return [*limited, "/usr/bin/env", *named, "/bin/sh", "-c", 'exec "$@"', "sh", *argv]
