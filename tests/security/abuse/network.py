"""The network: none is there. Also what is no network and reaches as far: sockets with names, other families."""

# ruff: noqa: E501 -- a script reads best on one line

import asyncio
from contextlib import aclosing

from folkmoot.runtime.workspace.port import Chunk
from tests.security.abuse.arena import Arena, on
from tests.security.abuse.attack import ABSENT, PERMISSION, Attack

UNREACHABLE = (
    r"ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|ETIMEDOUT|EAI_|unreachable|refused|timed out|"
    r"Could not resolve|onnect to|name resolution|Name or service not known|EAFNOSUPPORT|EPROTONOSUPPORT"
)
_ASKING = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)"
_LURES = {
    "TCP to the host's loopback": "socket.create_connection(('127.0.0.1', PORT), 2)",
    "UDP to the host's loopback": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', PORT)); s.send(b'x'); time.sleep(0.05); s.send(b'x')"
    ),
    "an abstract socket of the host": "socket.socket(socket.AF_UNIX).connect('\\0moot-' + NONCE)",
    "a socket in a folder of the host": "socket.socket(socket.AF_UNIX).connect(CANARY + '/socket')",
}
_FAR = {
    "TCP to the host's address": "socket.create_connection((HOST, PORT), 2) if HOST != '127.0.0.1' else 1 / 0",
    "TCP to the Internet": "socket.create_connection(('1.1.1.1', 80), 2)",
    "TCP to the Internet by IPv6": "socket.create_connection(('2606:4700:4700::1111', 80), 2)",
    "TCP to the host's loopback by IPv6": "socket.create_connection(('::1', PORT), 2)",
    "a mapped address": "socket.create_connection(('::ffff:127.0.0.1', PORT), 2)",
    "the whole address as zero": "socket.create_connection(('0.0.0.0', PORT), 2)",
    "the metadata service": "socket.create_connection(('169.254.169.254', 80), 2)",
    "the metadata service by IPv6": "socket.create_connection(('fd00:ec2::254', 80), 2)",
    "a container host's gateway": "socket.create_connection(('172.17.0.1', 2375), 2)",
    "the kubelet": "socket.create_connection((NODE, 10250), 2)",
    "the API server": "socket.create_connection((NODE, 6443), 2)",
    "the API server's service": "socket.create_connection((SERVICE, 443), 2)",
    "etcd": "socket.create_connection((NODE, 2379), 2)",
    "the kubelet's open port": "socket.create_connection((NODE, 10255), 2)",
    "the node's own services": "socket.create_connection((NODE, 10249), 1) and socket.create_connection((NODE, 10256), 1)",
    "a pod of somebody else's": "socket.create_connection((BYSTANDER, 8000), 2)",
    "a pod of somebody else's by UDP": (f"{_ASKING}; s.sendto(b'x', (BYSTANDER, 8000)); s.recv(1)"),
    "UDP to the host's address": (f"{_ASKING}; s.sendto(b'x', (HOST, PORT)); s.recv(1)"),
    "NATS": "socket.create_connection((HOST, 4222), 2)",
    "Ray": "socket.create_connection((HOST, 6379), 2)",
    "a name server by UDP": (f"{_ASKING}; s.sendto(b'x' * 12, ('8.8.8.8', 53)); s.recv(1)"),
    "a name": "socket.getaddrinfo('example.org', 80)",
    "a broadcast": f"{_ASKING}; s.setsockopt(1, 6, 1); s.sendto(b'x', ('255.255.255.255', 8001)); s.recv(1)",
    "a multicast": f"{_ASKING}; s.sendto(b'x', ('224.0.0.251', 8001)); s.recv(1)",
    "a port of the node": "socket.create_connection((NODE, 8001), 2)",
}
_FAMILIES = {
    "raw packets": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", True),
    "link packets": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", True),
    "the hypervisor": ("socket.socket(40, socket.SOCK_STREAM)", False),
    "the kernel's ciphers": ("socket.socket(38, socket.SOCK_SEQPACKET)", False),
    "the kernel's keys": ("socket.socket(15, socket.SOCK_RAW, 2)", False),
    "reliable datagrams": ("socket.socket(21, socket.SOCK_SEQPACKET)", False),
    "cluster messages": ("socket.socket(30, socket.SOCK_SEQPACKET)", False),
    "radio": ("socket.socket(31, socket.SOCK_RAW, 1)", False),
    "fast packets": ("socket.socket(44, socket.SOCK_RAW)", False),
    "firewall rules": ("socket.socket(16, socket.SOCK_RAW, 12)", True),
    "the audit log": ("socket.socket(16, socket.SOCK_RAW, 9)", True),
    "device events": ("socket.socket(16, socket.SOCK_RAW, 15)", True),
}
_SHELL = {
    "curl": 'curl -sS -m 2 "http://127.0.0.1:$PORT/"',
    "bash's own sockets": 'bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"',
    "git over the network": 'git ls-remote "git://127.0.0.1:$PORT/x"',
    "pip": "python3 -m pip download --no-input pip",
    "a proxy that it brings": 'http_proxy="http://127.0.0.1:$PORT" curl -sS -m 2 http://example.org/',
    "an interface": "ip link add moot0 type dummy || ip tuntap add moot0 mode tap || ip link set lo down",
}


async def _listener(arena: Arena) -> str:
    """What listens inside on all addresses is heard by nobody outside."""
    workspace = await arena.workspace()
    serve = "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); s.settimeout(9); s.accept()"
    host = await on(workspace)
    async with aclosing(workspace.stream(["python3", "-c", serve], env=arena.environment)) as parts:
        async for part in parts:
            port = int(part.data) if isinstance(part, Chunk) else 0
            break
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2.0)
        except OSError:  # TimeoutError is one
            return ""
        writer.close()
    return "a listener in the workspace was reached"


ATTACKS = [
    *(
        Attack(name=n, family="network", python=p, says=f"{UNREACHABLE}|{ABSENT}", outside=True)
        for n, p in _LURES.items()
    ),
    *(
        Attack(name=n, family="network", python=p, says=rf"{UNREACHABLE}|{PERMISSION}|ZeroDivision")
        for n, p in _FAR.items()
    ),
    *(
        Attack(name=n, family="network", python=p, says=rf"{PERMISSION}|EAFNOSUPPORT|EPROTONOSUPPORT", outside=outside)
        for n, (p, outside) in _FAMILIES.items()
    ),
    *(
        Attack(
            name=n,
            family="network",
            sh=s,
            says=rf"{UNREACHABLE}|{PERMISSION}|{ABSENT}|No module named pip|not found|No matching",
        )
        for n, s in _SHELL.items()
    ),
    Attack(name="a server for the outside", family="network", act=_listener),
]
