"""Runs a set-up inside its sandbox, and carries what it sends to a port of its loopback to the socket of the proxy.

Arguments: the socket, the port, and the command. Ends as the command ends. Imports nothing but Python's own library.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_PIECE = 64 * 1024


async def main(socket: str, port: str, *command: str) -> int:
    async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            out = await asyncio.open_unix_connection(socket)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_copied(reader, out[1]))
            group.create_task(_copied(out[0], writer))
        for end in (out[1], writer):
            end.close()

    server = await asyncio.start_server(carried, "127.0.0.1", int(port))
    process = await asyncio.create_subprocess_exec(*command)
    code = await process.wait()
    server.close()
    return code if code >= 0 else 128 - code


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
