"""Configuration files of a node, as values. Pure: paths and names in, documents out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bed.config import DNS_SERVICE_ADDRESS, PAUSE_IMAGE, POD_NETWORK, Node

CNI_PLUGINS = Path("/usr/lib/cni")


def containerd(node: Node) -> str:
    """containerd's own configuration, version 3 of its format.

    The options that tolerate things are for machines without AppArmor and hugetlb cgroups. The plugin interface
    NRI is off because the nodes would fight over its one socket.
    """
    return f"""version = 3
root = "{node.root}/containerd"
state = "{node.runtime}/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{node.socket}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  enable_selinux = false
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{CNI_PLUGINS}"]
    conf_dir = "{node.root}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def cni(node: Node) -> dict[str, Any]:
    """Pods are wired point to point, so that every packet of a Pod passes the node's FORWARD chain.

    With a bridge, answers between two Pods of one node would bypass the address translation of Services, and
    cutting off one Pod would not separate it from its neighbours.
    """
    ipam = {
        "type": "host-local",
        "dataDir": f"{node.root}/ipam",
        "ranges": [[{"subnet": node.pod_cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "1.0.0", "name": "bed", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]}


def kubelet(node: Node, series: str) -> dict[str, Any]:
    """The kubelet's configuration for this kind of machine: no sysctls, cgroupfs, swap perhaps, cgroup v1 perhaps.

    Crashed containers restart within a second, so that tests that kill them fifteen times do not wait for minutes.
    """
    keys = node.paths.pki
    gates = {"KubeletInUserNamespace": True}
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(keys / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(keys / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(keys / f"{node.name}.key"),
        "address": node.address,
        "port": 10250,
        "healthzPort": 0,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "protectKernelDefaults": False,
        "imageGCHighThresholdPercent": 100,
        # The machine's own memory is no business of one of three nodes on it.
        "evictionHard": {"memory.available": "100Mi"},
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "30s",
        "podLogsDir": f"{node.paths.log}/pods/{node.name}",
        "volumePluginDir": f"{node.root}/volume-plugins",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }
    if series == "1.34":
        gates["KubeletCrashLoopBackOffMax"] = True
    else:
        # From 1.35 on the kubelet refuses cgroup v1 unless told otherwise.
        document["failCgroupV1"] = False
    return document | {"featureGates": gates}


def kube_proxy(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(node.paths.etc / "kube-proxy.kubeconfig")},
        "clusterCIDR": POD_NETWORK,
        "mode": "iptables",
        "hostnameOverride": node.name,
        "nodePortAddresses": ["primary"],
        # The table's size is a property of the machine, which a namespace cannot change.
        "conntrack": {"maxPerCore": 0},
        "healthzBindAddress": "",
        "metricsBindAddress": "127.0.0.1:10249",
    }
