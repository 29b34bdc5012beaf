"""What this machine must have for a node, and a free block of addresses on it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

from deploy.shared import Failed, run

_PACKAGES = {
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "unshare": "util-linux",
}
"""Debian's package by the program that we run."""
CLAIM = Path("/run/folkmoot-testbed.lock")
"""Held while addresses are chosen and taken: by one bed at a time on this machine."""
_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def lacks() -> str | None:
    """Why no bed can be had on this machine, in a few words; None where it can, after `install`."""
    if sys.platform != "linux":
        return "a node needs Linux"
    if os.geteuid():
        return "a node needs root, for namespaces, mounts and control groups"
    if not shutil.which("go"):
        return "Go is not on PATH: the programs are built from modules"
    if packages := _missing():
        if not shutil.which("apt-get"):
            return f"there is no apt-get to install {', '.join(packages)} with"
        return None
    return _kernel_lacks()


def install() -> None:
    """Install what Debian offers and this machine has not. Raises Failed."""
    if packages := _missing():
        run("apt-get", "update", extra=_QUIET)
        run("apt-get", "install", "--yes", "--no-install-recommends", *packages, extra=_QUIET)
    if still := _missing():
        raise Failed(f"still missing after the installation of {', '.join(still)}: is /usr/sbin on PATH?")
    if lacking := _kernel_lacks():
        raise Failed(lacking)


def _missing() -> list[str]:
    return sorted({package for program, package in _PACKAGES.items() if not shutil.which(program)})


def _kernel_lacks() -> str | None:
    try:
        run("unshare", "--mount", "--net", "--pid", "--uts", "--fork", "nft", "list", "tables")
    except Failed as failure:
        return f"this kernel (or the container that we are in) gives no namespaces, or no nftables in them: {failure}"
    return None


def free_block() -> str:
    """A /16 of private addresses that nothing here has a route to. Raises Failed."""
    taken = list(_routes())
    for second in (*range(250, 255), *range(128, 250)):
        block = IPv4Network(f"10.{second}.0.0/16")
        if not any(block.overlaps(other) for other in taken):
            return str(block)
    raise Failed("no block 10.N.0.0/16 is free: all are routed somewhere from this machine")


def _routes() -> Iterator[IPv4Network]:
    for route in json.loads(run("ip", "-json", "-4", "route", "show", "table", "all")):
        if route["dst"] != "default":
            yield IPv4Network(route["dst"], strict=False)
