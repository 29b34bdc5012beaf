"""Process 1 of a workspace's pod: keeps it there, and kills whatever lost its parent.

A command's own watcher (`run.py`) ends all that the command left. What is re-parented to this process has lost that
watcher too. Nothing inside can end process 1 by SIGKILL; being asked to end by the kubelet, it does so at once. The
source of `run.py` is the last of its arguments: what a process was started with cannot be changed by another.
"""

import ctypes
import os
import signal
import sys
import time

_LOOK_S = 0.2
_PR_SET_DUMPABLE = 4


def main() -> None:
    if os.getpid() != 1:
        sys.exit("this is process 1 of a workspace's pod, and nothing else")
    # No other process of this user may look into us, or trace us.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        end_strays()
        time.sleep(_LOOK_S)  # noqa: TID251 -- a program of its own, in which nothing else runs


def end_strays() -> None:
    for pid in _children():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123 -- starts fast
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    main()
