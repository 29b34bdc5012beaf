"""What makes a node of it: the kubelet, and the proxy of services."""

import resource

import msgspec

from deploy.testbed.kubernetes import cgroups
from deploy.testbed.kubernetes.control import Control
from deploy.testbed.kubernetes.places import NODE, Network, Places
from deploy.testbed.kubernetes.processes import Processes

_FILES = 1_000_000
PIDS = 512
"""Most processes of one pod, as of one command in a local sandbox."""


def start(places: Places, network: Network, control: Control, running: Processes) -> None:
    """Unless they run; returns once the node is ready. Raises Failed."""
    cgroups.make(places.cgroup)
    _kubelet(places, network, control)
    running.until("the node to be ready", control.node_ready, needs=["containerd", "kubelet"])
    # Of a fresh node it ends some seconds later, why is not known: services alone need it, and `up` starts it again.
    _proxy(places, network, control)


def _kubelet(places: Places, network: Network, control: Control) -> None:
    subject = f"/O=system:nodes/CN=system:node:{NODE}"
    serving = control.authority.pair("kubelet", subject, f"DNS:{NODE},IP:{network.node}")
    own = control.identity("kubelet-node", subject)
    authority = str(control.authority.certificate)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    settings = places.state / "kubelet.json"
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(network.node),
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{places.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # To lower it takes CAP_SYS_RESOURCE, which root lacks in a container.
        "oomScoreAdj": 0,
        "maxOpenFiles": min(most, _FILES) if most > 0 else _FILES,
        "podPidsLimit": PIDS,
        "makeIPTablesUtilChains": False,
        "resolvConf": str(places.state / "resolv.conf"),
        # An image that was thrown away could not be had again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }
    settings.write_bytes(msgspec.json.encode(document))
    control.part(
        "kubelet",
        f"--config={settings}",
        f"--kubeconfig={own}",
        f"--hostname-override={NODE}",
        f"--node-ip={network.node}",
    )


def _proxy(places: Places, network: Network, control: Control) -> None:
    settings = places.state / "kube-proxy.json"
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": str(network.pods),
        "clientConnection": {"kubeconfig": str(control.identity("kube-proxy"))},
        "hostnameOverride": NODE,
        "bindAddress": str(network.node),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # These settings are the machine's: leave them alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    settings.write_bytes(msgspec.json.encode(document))
    control.part("kube-proxy", f"--config={settings}")
