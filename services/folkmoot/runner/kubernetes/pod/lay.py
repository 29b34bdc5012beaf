"""An environment comes to a pod: standard input, a compressed tar of so many bytes, unpacked into a volume.

Arguments: the volume, the tar's length, its SHA-256, and the most bytes in it. Standard output: `laid` once all of it
is there and is what it should be. Whoever hears that says so by a byte; then process 1 of this container is asked to
end, and the pod goes on without anybody who could write there.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import zlib

SPOILT = 3
"""Exit status of what came whole, and is not what it should be."""
_PR_SET_DUMPABLE = 4
_PIECE = 256 * 1024
_GZIP = 31


def main(root: str, length: str, digest: str, most: str) -> None:
    argv = ["tar", "-x", "-p", "--no-same-owner", "--directory", root, "--file", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as tar:
        assert tar.stdin is not None
        incoming = Incoming(int(length), int(most), tar.stdin.fileno())
        problem = incoming.unpacked()
        tar.stdin.close()
        code = tar.wait()
    if incoming.digest() != digest:
        sys.stderr.write(f"what came has the digest {incoming.digest()}")
        sys.exit(SPOILT)
    if problem or code:
        sys.exit(problem or f"tar ended with {code}")
    os.write(1, b"laid\n")
    if os.read(0, 1):
        os.kill(1, signal.SIGTERM)


class Incoming:
    """Whatever becomes of it, it is read to its end: the digest tells whether it is what was sent."""

    def __init__(self, length: int, most: int, out: int) -> None:
        self._left = length
        self._most = most
        self._out = out
        self._seen = hashlib.sha256()
        self._opened = zlib.decompressobj(_GZIP)

    def digest(self) -> str:
        return self._seen.hexdigest()

    def unpacked(self) -> str:
        """What was wrong; empty: nothing."""
        problem = ""
        while self._left:
            piece = os.read(0, min(_PIECE, self._left)) or sys.exit("what was to come did not")
            self._left -= len(piece)
            self._seen.update(piece)
            problem = problem or self._taken(piece)
        return problem or self._taken(b"")

    def _taken(self, piece: bytes) -> str:
        try:
            while plain := self._opened.decompress(piece, _PIECE):
                piece = self._opened.unconsumed_tail
                self._most -= len(plain)
                if self._most < 0:
                    return "more is in it than was said"
                while plain:
                    plain = plain[os.write(self._out, plain) :]
        except (zlib.error, BrokenPipeError) as error:
            return str(error)
        return ""


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    main(*sys.argv[1:])
