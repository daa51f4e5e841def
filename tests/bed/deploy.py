"""The bed with the product on it: start what is missing, build and load images, install the operator from `deploy/`.

`python -m tests.bed.deploy` is `make bed`. Everything is repeatable: what is up to date is left alone, and the
operator is restarted only when its image changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnmysql import names
from tests.bed import bed
from tests.support.kube import ApiError, Json, Kube, eventually, ready

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / ".bed"
KUBECONFIG = STATE / "kubeconfig"
DEPLOY = CHECKOUT / "deploy"
IMAGE_ANNOTATION = "bed/image-digest"


def kubectl() -> str:
    """The bed's own kubectl, or the one in PATH when somebody else's cluster is used."""
    own = STATE / "bin" / "kubectl"
    return str(own) if own.exists() else "kubectl"


def ensure() -> Path:
    """A running bed with the operator deployed and Ready; its kubeconfig. Slow only the first time."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = time.monotonic()
        _verb("tests.bed", "up")
        _verb("tests.bed.images", "build")
        images = json.loads((STATE / "images.json").read_text())
        for archive in dict.fromkeys(entry["tar"] for entry in images.values()):
            _verb("tests.bed", "load", archive)
        kube = Kube(KUBECONFIG, kubectl())
        try:
            install(kube, images[names.DEFAULT_OPERATOR_IMAGE]["digest"])
        finally:
            kube.close()
        _say(f"bed: operator ready, {time.monotonic() - started:.1f} s in all")
    return KUBECONFIG


def install(kube: Kube, image_digest: str | None = None) -> None:
    """`kubectl apply -k deploy/`, then wait for the Deployment; a changed image digest restarts it."""
    _kubectl(kube, "apply", "-k", str(DEPLOY))
    if image_digest is None and (STATE / "images.json").exists():
        images = json.loads((STATE / "images.json").read_text())
        image_digest = images[names.DEFAULT_OPERATOR_IMAGE]["digest"]
    if image_digest is not None:
        annotations = {IMAGE_ANNOTATION: hashlib.sha256(image_digest.encode()).hexdigest()[:16]}
        kube.patch(
            "Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME,
            {"spec": {"template": {"metadata": {"annotations": annotations}}}},
        )  # fmt: skip
    wait_rolled_out(kube)


def wait_rolled_out(kube: Kube) -> None:
    """Every replica of the operator is of the present template and ready, and no former one is left."""

    def available() -> bool:
        deployment = kube.get("Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME)
        status, generation = deployment.get("status", {}), deployment["metadata"]["generation"]
        replicas = deployment["spec"]["replicas"]
        return bool(
            status.get("observedGeneration") == generation
            and status.get("updatedReplicas") == replicas == status.get("readyReplicas") == status.get("replicas")
            and ready(deployment, "Available")
        )

    eventually(available, 120, "the operator Deployment to be available", tolerate=True)


@contextmanager
def environment(kube: Kube, **variables: str) -> Iterator[None]:
    """The operator with these variables in its environment; without them again at the end."""

    def change(*words: str) -> None:
        target = ("-n", names.OPERATOR_NAMESPACE, f"deployment/{names.OPERATOR_NAME}")
        done = kube.kubectl("set", "env", *target, *words)
        assert done.code == 0, done.err
        wait_rolled_out(kube)

    try:
        change(*(f"{name}={value}" for name, value in variables.items()))
        yield
    finally:
        change(*(f"{name}-" for name in variables))


@contextmanager
def at_rest(kube: Kube) -> Iterator[None]:
    """No operator runs meanwhile; the same number of them again at the end."""
    deployment = ("Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME)
    replicas = kube.get(*deployment)["spec"]["replicas"]
    kube.patch(*deployment, {"spec": {"replicas": 0}})
    try:
        selector = "control-plane=controller-manager"
        eventually(lambda: not kube.list("Pod", names.OPERATOR_NAMESPACE, selector), 60, "the operator to rest")
        yield
    finally:
        kube.patch(*deployment, {"spec": {"replicas": replicas}})
        wait_rolled_out(kube)


def delete_installation(kube: Kube) -> None:
    """`kubectl delete -k deploy/` as a user would type it; refused deletions (the CRDs) are part of the answer."""
    kube.kubectl("delete", "-k", str(DEPLOY), timeout=180)
    kube.wait_gone("Namespace", None, names.OPERATOR_NAMESPACE, 60)


def operator_log(kube: Kube, lines: int = 60) -> str:
    """What the operator replicas logged last."""
    text = []
    try:
        pods: list[Json] = kube.list("Pod", names.OPERATOR_NAMESPACE, "control-plane=controller-manager")
    except ApiError as error:
        return str(error)
    for pod in pods:
        text.append(f"--- {pod['metadata']['name']}")
        text.append(
            kube.kubectl("logs", "-n", names.OPERATOR_NAMESPACE, pod["metadata"]["name"], f"--tail={lines}").out
        )
    return "\n".join(text)


def _kubectl(kube: Kube, *words: str) -> None:
    done = kube.kubectl(*words, timeout=120)
    if done.code != 0:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.err}")


def _verb(module: str, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=CHECKOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"python -m {module} {' '.join(words)} failed with {done.returncode}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if reason := bed.why_not():
        raise SystemExit(reason)
    ensure()
