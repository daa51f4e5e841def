"""A small synchronous Kubernetes client for tests, independent of the product's own, and waiting on conditions."""

from __future__ import annotations

import base64
import copy
import json
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

Json = dict[str, Any]
T = TypeVar("T")

PATHS = {
    "Namespace": ("/api/v1", "namespaces"),
    "Pod": ("/api/v1", "pods"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "PersistentVolume": ("/api/v1", "persistentvolumes"),
    "Service": ("/api/v1", "services"),
    "Secret": ("/api/v1", "secrets"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Node": ("/api/v1", "nodes"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Certificate": ("/apis/cert-manager.io/v1", "certificates"),
    "Issuer": ("/apis/cert-manager.io/v1", "issuers"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Cluster": ("/apis/mysql.cloudnative-mysql.io/v1alpha1", "clusters"),
}
ATTACKER = "cnmysql-attacker"
"""User agent of requests with a token that was taken from somebody."""
CLUSTER_SCOPED = {"Namespace", "PersistentVolume", "Node", "CustomResourceDefinition"}


class ApiError(Exception):
    """A refusal by the API server; `code` and the server's own message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class TimedOut(AssertionError):
    """A condition did not come true within its bound."""


def eventually(
    check: Callable[[], T | None], timeout: float = 60, what: str = "", every: float = 0.2, tolerate: bool = False
) -> T:
    """The first truthy value of `check`. Raises TimedOut with the last value after `timeout` seconds.

    `tolerate`: an ApiError or connection error of the check counts as "not yet" (the API server may be down).
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except (ApiError, httpx.TransportError) as error:
            if not tolerate:
                raise
            last = error
        if time.monotonic() >= deadline:
            raise TimedOut(f"not within {timeout} s: {what or check}; last seen: {last!r}")
        time.sleep(every)


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


class Kube:
    """Admin access through a kubeconfig file with embedded or referenced client certificates or a token."""

    def __init__(self, kubeconfig: Path, kubectl: str = "kubectl") -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        self._authority = self._material(cluster, "certificate-authority").decode()
        tls = ssl.create_default_context(cadata=self._authority)
        if "client-certificate" in user or "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(self._material(user, "client-key") + b"\n" + self._material(user, "client-certificate"))
                pair.flush()
                tls.load_cert_chain(pair.name)
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.http = httpx.Client(base_url=cluster["server"], verify=tls, timeout=30, headers=headers)

    def _material(self, section: Json, key: str) -> bytes:
        if f"{key}-data" in section:
            return base64.b64decode(str(section[f"{key}-data"]))
        return (self.kubeconfig.parent / str(section[key])).read_bytes()

    @contextmanager
    def with_token(self, token: str) -> Iterator[Kube]:
        """The same API server as somebody else, whom the audit log tells from the true owner of the token by name."""
        other = copy.copy(self)
        headers = {"Authorization": f"Bearer {token}", "User-Agent": ATTACKER}
        tls = ssl.create_default_context(cadata=self._authority)
        with httpx.Client(base_url=self.http.base_url, verify=tls, timeout=30, headers=headers) as other.http:
            yield other

    def close(self) -> None:
        self.http.close()

    @staticmethod
    def path(kind: str, ns: str | None = None, name: str = "", sub: str = "") -> str:
        base, plural = PATHS[kind]
        space = f"/namespaces/{ns}" if ns and kind not in CLUSTER_SCOPED else ""
        return f"{base}{space}/{plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")

    def request(self, method: str, path: str, **kwargs: Any) -> Json:
        response = self.http.request(method, path, **kwargs)
        body = response.json() if response.content and "json" in response.headers.get("content-type", "") else {}
        if response.status_code >= 400:
            raise ApiError(response.status_code, body.get("message", response.text))
        result: Json = body
        return result

    def get(self, kind: str, ns: str | None, name: str) -> Json:
        return self.request("GET", self.path(kind, ns, name))

    def find(self, kind: str, ns: str | None, name: str) -> Json | None:
        """The object, or None when there is none."""
        try:
            return self.get(kind, ns, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: str, ns: str | None = None, labels: str = "") -> list[Json]:
        items: list[Json] = self.request("GET", self.path(kind, ns), params={"labelSelector": labels})["items"]
        return items

    def create(self, kind: str, ns: str | None, body: Json, dry_run: bool = False) -> Json:
        return self.request("POST", self.path(kind, ns), json=body, params={"dryRun": "All"} if dry_run else {})

    def apply(self, kind: str, ns: str | None, body: Json, manager: str = "tests") -> Json:
        """Server-side apply, as `kubectl apply --server-side` does it."""
        return self.request(
            "PATCH",
            self.path(kind, ns, body["metadata"]["name"]),
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
            params={"fieldManager": manager, "force": "true"},
        )

    def patch(self, kind: str, ns: str | None, name: str, body: Json, sub: str = "") -> Json:
        return self.request(
            "PATCH",
            self.path(kind, ns, name, sub),
            content=json.dumps(body),
            headers={"Content-Type": "application/merge-patch+json"},
        )

    def delete(
        self, kind: str, ns: str | None, name: str, *, grace: int | None = None, missing_ok: bool = False
    ) -> None:
        body: Json = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self.request("DELETE", self.path(kind, ns, name), json=body)
        except ApiError as error:
            if error.code != 404 or not missing_ok:
                raise

    def secret(self, ns: str, name: str, key: str) -> str:
        return base64.b64decode(self.get("Secret", ns, name)["data"][key]).decode()

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 60) -> Ran:
        done = subprocess.run(
            [self._kubectl, "--kubeconfig", str(self.kubeconfig), *args],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def exec(self, ns: str, pod: str, *command: str, container: str = "mysql", stdin: str | None = None) -> Ran:
        """Run a command in a container and wait for its end."""
        flags = ["-i"] if stdin is not None else []
        return self.kubectl("exec", *flags, "-n", ns, pod, "-c", container, "--", *command, stdin=stdin)

    def logs(self, ns: str, pod: str, container: str = "mysql", previous: bool = False) -> str:
        extra = ["--previous"] if previous else []
        return self.kubectl("logs", "-n", ns, pod, "-c", container, *extra).out

    def wait_gone(self, kind: str, ns: str | None, name: str, timeout: float = 60) -> None:
        eventually(lambda: self.find(kind, ns, name) is None, timeout, f"{kind} {name} to be gone")

    @contextmanager
    def namespace(self, name: str, restricted: bool = True) -> Iterator[str]:
        """A namespace that enforces the restricted Pod Security Standard, deleted afterwards without waiting."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"} if restricted else {}
        self.create("Namespace", None, {"metadata": {"name": name, "labels": labels}})
        try:
            yield name
        finally:
            self.delete("Namespace", None, name, missing_ok=True)


def ready(obj: Json, condition: str = "Ready") -> bool:
    """True when the object's condition is True for its current generation."""
    generation = obj["metadata"].get("generation")
    for entry in obj.get("status", {}).get("conditions", []):
        if entry["type"] == condition:
            fresh = "observedGeneration" not in entry or entry["observedGeneration"] == generation
            return bool(entry["status"] == "True" and fresh)
    return False
