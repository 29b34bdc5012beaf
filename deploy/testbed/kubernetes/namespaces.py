"""The node's own mounts, network, processes and host name, held by one process; one link joins it to this machine."""

import signal
from pathlib import Path
from shlex import quote

from deploy.shared import run
from deploy.testbed.kubernetes import processes
from deploy.testbed.kubernetes.places import NODE, Network, Places
from deploy.testbed.kubernetes.processes import Processes

HOLD = "hold"
_SETTINGS = {
    "kernel/keys/root_maxbytes": 25_000_000,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
}
"""The kubelet would set these for the whole machine. It is shown what it wants to find."""


class Node:
    """One bed's namespaces."""

    def __init__(self, places: Places, running: Processes) -> None:
        self._places = places
        self._running = running

    @property
    def up(self) -> bool:
        return self._running.child(HOLD) is not None

    def inside(self, *argv: object) -> list[str]:
        """The same command, run in the namespaces."""
        pid = str(self._running.child(HOLD))
        return ["nsenter", "-t", pid, "-m", "-n", "-p", "-u", "--", *(str(word) for word in argv)]

    def make(self, program: Path, network: Network) -> None:
        """Unless they are there. Raises Failed."""
        if self.up:
            return
        self._hold(program)
        self._join(network)
        self._furnish(network)
        for addresses in (network.pods, network.services):
            run("ip", "route", "replace", addresses, "via", network.node)

    def _hold(self, program: Path) -> None:
        new = ("--mount", "--net", "--pid", "--uts", "--propagation", "private", "--mount-proc")
        self._running.start(HOLD, "unshare", *new, "--fork", "--kill-child", program, HOLD)
        self._running.until("the node's namespaces", lambda: self.up, needs=[HOLD])

    def _join(self, network: Network) -> None:
        link = self._places.link
        pid = str(self._running.child(HOLD))
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "address", "add", f"{network.machine}/30", "dev", link)
        run("ip", "link", "set", link, "up")

    def _furnish(self, network: Network) -> None:
        """Its own /run, /var/lib and /var/log; nothing of this is seen from outside."""
        state = self._places.state
        for folder in (state / "lib/containerd", state / "log", state / "shown", self._places.store):
            folder.mkdir(parents=True, exist_ok=True)
        (state / "resolv.conf").write_text("# no name service\n", "utf-8")
        shown = {name: state / "shown" / name.replace("/", "-") for name in _SETTINGS}
        for name, file in shown.items():
            file.write_text(f"{_SETTINGS[name]}\n", "utf-8")
        own = quote(str(state))
        lines = [
            "mount -t tmpfs tmpfs /run",
            "mkdir -p /run/netns /run/lock",
            f"mount --bind {quote(str(self._places.store))} {own}/lib/containerd",
            f"mount --rbind {own}/lib /var/lib",
            f"mount --bind {own}/log /var/log",
            *(f"mount --bind {quote(str(file))} /proc/sys/{name}" for name, file in shown.items()),
            f"hostname {NODE}",
            "ip link set lo up",
            f"ip address add {network.node}/30 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {network.machine}",
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
        ]
        run(*self.inside("sh", "-euc", "\n".join(lines)))

    def end(self) -> None:
        """With the holding process the kernel ends all others in there, and takes their mounts and their network."""
        for pid in (self._running.child(HOLD), self._running.pid(HOLD)):
            if pid is not None:
                processes.send(pid, signal.SIGKILL)
