"""The sandbox's walls leave languages alone: each that this machine has builds and runs something that uses much of it.

Go builds in `test_workspace_go.py`."""

# ruff: noqa: E501 -- a program's line stays one

import shutil

import pytest

from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.fixtures import need
from tests.fixtures.workspace import runner, toolchains, workspace

__all__ = ["runner", "toolchains", "workspace"]

_PYTHON = """
import asyncio, multiprocessing, os, pty, socket, subprocess, tempfile, threading
from concurrent.futures import ProcessPoolExecutor
async def served():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname()); await r.read(); w.close()
    a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
    assert await (await asyncio.create_subprocess_exec("true")).wait() == 0
if __name__ == "__main__":
    asyncio.run(served())
    with ProcessPoolExecutor(2) as pool: assert list(pool.map(abs, [-1, -2])) == [1, 2]
    assert multiprocessing.Value("i", 3).value == 3
    thread = threading.Thread(target=lambda: os.sched_yield()); thread.start(); thread.join()
    assert pty.spawn(["sh", "-c", "test -t 0 && stty -a"]) == 0
    with tempfile.NamedTemporaryFile(dir=".") as f: os.replace(f.name, "moved"); open(f.name, "w").close()
    assert subprocess.run(["sh", "-c", "echo x >/dev/null"]).returncode == 0
    socket.if_nameindex()
"""
_NODE = """
const {Worker} = require('worker_threads'), fs = require('fs'), http = require('http'), os = require('os');
os.networkInterfaces();
fs.mkdirSync('a/b', {recursive: true}); fs.writeFileSync('a/x', '1'); fs.renameSync('a/x', 'a/b/x');
const s = http.createServer((q, r) => r.end('ok')).listen(0, '127.0.0.1', () => http.get({port: s.address().port, host: '127.0.0.1'}, r => {
  r.resume(); r.on('end', () => { s.close(); new Worker('process.exit(0)', {eval: true}).on('exit', c =>
    process.exit(require('child_process').spawnSync('true').status + c)); }); }));
"""
_C = '#include <pthread.h>\n#include <stdio.h>\nvoid *f(void *x) { return x; }\nint main(void) { pthread_t t; return pthread_create(&t, 0, f, 0) || pthread_join(t, 0) || puts("c") < 0; }\n'
_JAVA = """public class Main { public static void main(String[] a) throws Exception {
  var s = new java.net.ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress());
  new java.net.Socket(s.getInetAddress(), s.getLocalPort()).close();
  var t = new Thread(() -> {}); t.start(); t.join(); System.exit(new ProcessBuilder("true").start().waitFor()); } }
"""
_GIT = "git checkout -qb b && echo x >f && git add -A && git commit -qm x && git gc -q && git worktree add -q ../workspace/w && git stash list && git fsck"
LANGUAGES = {
    "python": ("main.py", _PYTHON, "python main.py"),
    "node": ("main.js", _NODE, "node main.js"),
    "gcc": ("main.c", _C, "gcc -pthread -o main main.c && ./main"),
    "javac": ("Main.java", _JAVA, "javac Main.java && java -Xmx256m Main"),
    "git": ("README", "x\n", _GIT),
    "perl": (
        "main.pl",
        "open(my $f, '>', 'x') or die; fork() or exit; wait; system('true') == 0 or die;",
        "perl main.pl",
    ),
}


@pytest.mark.parametrize("program", LANGUAGES)
async def test_a_language_lives_behind_the_walls(workspace: GrpcWorkspace, program: str) -> None:
    """Threads, processes, pipes, terminals, sockets of loopback, renames between folders, a build."""
    need(shutil.which(program), f"{program} is not on this machine")
    name, content, command = LANGUAGES[program]
    await workspace.write(name, content.encode())
    done = await workspace.run(["sh", "-c", command], timeout_s=120)
    assert done.end.ok, done.stderr.decode()[-2_000:]


async def test_no_run_of_pytest_compiles_it_again(workspace: GrpcWorkspace) -> None:
    """Its byte code is there, is valid, and says where things are inside."""
    look = "import _pytest.python as m; print(m.Function.runtest.__code__.co_filename)"
    done = await workspace.run(["python", "-v", "-c", look])
    assert done.stdout.decode().startswith("/opt/python/lib/")
    assert "_pytest" in done.stderr.decode()
    assert "# code object from /opt/python/" not in done.stderr.decode()
