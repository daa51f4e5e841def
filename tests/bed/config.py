"""Where the bed keeps things and which addresses it uses. Everything here is a constant or a path; nothing does I/O.

The bed is one per machine (it owns a bridge, network namespaces and cgroups with fixed names), and its state
belongs to one checkout: `<checkout>/.bed`. What it builds is cached outside the checkout, by hash.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
GO_SOURCES = Path(__file__).resolve().parent / "go"

# One bed per machine: the folder holds the lock, the owner's path, sockets and containerd's volatile state.
RUNTIME = Path("/run/cnmysql-bed")
CGROUP = "cnmysql-bed"

BRIDGE = "bed0"
# A bridge without an address of its own takes the lowest one of its ports, which changes as nodes join;
# their ARP entries then point nowhere for a minute.
BRIDGE_MAC = "02:be:d0:00:00:01"
HOST_ADDRESS = "10.88.0.1"
NODE_NETWORK = "10.88.0.0/24"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
API_PORT = 6443
ETCD_PORT = 23790
ETCD_PEER_PORT = 23791
S3_PORT = 8333

STORAGE_CLASS = "standard"
PROVISIONER = "bed.local/loop"
PAUSE_IMAGE = "bed.local/pause:1"

KUBERNETES_RELEASES = {"1.37": "1.37.2", "1.34": "1.34.4"}
DEFAULT_KUBERNETES = "1.37"
DEFAULT_NODES = 3
MAX_NODES = 9


class BedError(Exception):
    """The bed cannot do what was asked; the text says what to do about it."""


def kubernetes_series() -> str:
    """The series chosen by BED_KUBERNETES, or the default one.

    Raises BedError for a series the bed has no module file for.
    """
    series = os.environ.get("BED_KUBERNETES", DEFAULT_KUBERNETES)
    if series not in KUBERNETES_RELEASES:
        raise BedError(f"BED_KUBERNETES={series}: the bed builds {', '.join(KUBERNETES_RELEASES)}")
    return series


def cache_root() -> Path:
    """The folder of everything built once: binaries and images, each under the hash of its inputs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cnmysql-bed"


@dataclass(frozen=True)
class Paths:
    """The state of one bed, all below one folder. `Paths.of_checkout()` is the one everybody uses."""

    root: Path

    @classmethod
    def of_checkout(cls) -> Paths:
        """Resolved, so that two work trees whose `.bed` is one folder share one bed."""
        return cls((CHECKOUT / ".bed").resolve())

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def s3_env(self) -> Path:
        return self.root / "s3.env"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def volumes(self) -> Path:
        """The disks of the bed: one image file and one mount point per persistent volume."""
        return self.data / "volumes"

    @property
    def facts(self) -> Path:
        """What `up` built: the Kubernetes series, the number of nodes, the boot of the machine."""
        return self.root / "bed.json"


@dataclass(frozen=True)
class Node:
    """Names and addresses of node `number`, counted from 1."""

    number: int
    paths: Paths

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def netns(self) -> str:
        return f"bed-{self.name}"

    @property
    def netns_path(self) -> Path:
        return Path("/run/netns") / self.netns

    @property
    def veth(self) -> str:
        return f"veth-{self.name}"

    @property
    def address(self) -> str:
        return f"10.88.0.{10 + self.number}"

    @property
    def pod_cidr(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def cgroup(self) -> str:
        return f"{CGROUP}/{self.name}"

    @property
    def root(self) -> Path:
        """The node's disk: containerd's root, the kubelet's root, configuration. Survives `node stop`."""
        return self.paths.root / "nodes" / self.name

    @property
    def runtime(self) -> Path:
        """The node's memory: sockets and containerd's state. Gone after `node stop`."""
        return RUNTIME / self.name

    @property
    def socket(self) -> Path:
        return self.runtime / "containerd.sock"
