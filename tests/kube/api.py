"""A real API server for tests, and the few verbs they need, each with the identity asked for."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cnmysql import names
from tests.bed import apiserver

Json = dict[str, Any]

CLUSTERS = f"/apis/{names.API_VERSION}"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
EXTENSIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LEASES = "/apis/coordination.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """Status code and body of an answer."""

    code: int
    body: Json

    @property
    def ok(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    def must(self) -> Json:
        assert self.ok, f"{self.code}: {self.message}"
        return self.body


class Api:
    """Calls to the API server as admin, or with a bearer token."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Connections of the many short-lived identities are not kept: nobody would close them.
        limits = httpx.Limits(max_keepalive_connections=0 if token else 4)
        self._client = httpx.Client(
            base_url=url, verify=context, headers=headers, timeout=30, trust_env=False, limits=limits
        )

    def close(self) -> None:
        self._client.close()

    def call(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json", **query: str
    ) -> Answer:
        response = self._client.request(method, path, json=body, headers={"Content-Type": kind}, params=query)
        try:
            answered = response.json()
        except ValueError:  # a path that is not served yet is answered in plain text
            answered = {"message": response.text}
        return Answer(response.status_code, answered)

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Json, **query: str) -> Answer:
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: Json, **query: str) -> Answer:
        return self.call("PUT", path, body, **query)

    def patch(self, path: str, body: Json, kind: str = MERGE, **query: str) -> Answer:
        return self.call("PATCH", path, body, kind, **query)

    def apply(self, path: str, body: Json) -> Answer:
        return self.call("PATCH", path, body, APPLY, fieldManager="tests", force="true")

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)


@dataclass(frozen=True)
class Server:
    """A running API server; `folder` is where its files are."""

    url: str
    folder: Path
    kubeconfig: Path
    admin: Api

    def as_token(self, token: str) -> Api:
        """The same server with another identity."""
        return Api(self.url, ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt")), token)

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The client of the server's own release, as admin."""
        _etcd, _server, binary = apiserver.build()
        return subprocess.run(
            [str(binary), "--kubeconfig", str(self.kubeconfig), *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


def admin_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
    context.load_cert_chain(folder / "pki" / "admin.crt", folder / "pki" / "admin.key")
    return context


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Poll until it holds; fails by name when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def clusters(namespace: str, name: str = "", sub: str = "") -> str:
    return "/".join(p for p in (f"{CLUSTERS}/namespaces/{namespace}/clusters", name, sub) if p)


def leases(namespace: str, name: str = "") -> str:
    return "/".join(p for p in (f"{LEASES}/namespaces/{namespace}/leases", name) if p)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """A JSON merge patch applied: null takes away."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def cluster(namespace: str, name: str = "sample", spec: Mapping[str, Any] | None = None) -> Json:
    """The smallest Cluster with these differences."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": merged({"instances": 3, "storage": {"size": "1Gi"}}, spec or {}),
    }
