"""The enforcer of NetworkPolicy objects in a node: without it they are kept and shown, and nothing heeds them."""

import contextlib
import signal
from pathlib import Path

from deploy.shared import Failed, run
from deploy.testbed.kubernetes import processes
from deploy.testbed.kubernetes.namespaces import Node
from deploy.testbed.kubernetes.places import NODE, Network, Places
from deploy.testbed.kubernetes.processes import Processes

ENFORCER = "enforcer"
_TABLE = ("inet", "kube-network-policies")


def enforce(places: Places, network: Network, running: Processes, node: Node, program: Path) -> None:
    """Returns once its rules are in force. Raises Failed, as where the kernel lacks the target NFQUEUE."""
    arguments = (f"--kubeconfig={places.kubeconfig}", f"--node={NODE}", f"--pods={network.pods}")
    running.start(ENFORCER, *node.inside(program, *arguments))
    running.until("NetworkPolicy objects to hold", lambda: in_force(node), needs=[ENFORCER])


def ignore(running: Processes, node: Node) -> None:
    """End the enforcer, which takes its rules away: a cluster that silently ignores policies. Raises Failed."""
    if (pid := running.child(ENFORCER)) is not None:
        processes.send(pid, signal.SIGTERM)
        running.forget(ENFORCER)
    if in_force(node):
        run(*node.inside("nft", "delete", "table", *_TABLE))


def in_force(node: Node) -> bool:
    with contextlib.suppress(Failed):
        run(*node.inside("nft", "list", "table", *_TABLE))
        return True
    return False
