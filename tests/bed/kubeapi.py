"""A small client of the bed's API server, for the bed itself: raw objects, bounded calls, no informers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from tests.bed.config import API_PORT, HOST_ADDRESS, BedError, Paths

Object = dict[str, Any]

# Where objects of a kind live; {namespace} only for those that have one.
_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}


def collection(kind: str, namespace: str = "") -> str:
    return _COLLECTIONS[kind].format(namespace=namespace)


def path_of(document: Object) -> str:
    """The URL path of an object. Raises KeyError for a kind the bed does not handle."""
    metadata = document["metadata"]
    return f"{collection(document['kind'], metadata.get('namespace', ''))}/{metadata['name']}"


class KubeApi:
    """Calls with the admin's certificate. Every call raises BedError on an answer that is not a success."""

    def __init__(self, paths: Paths) -> None:
        context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
        context.load_cert_chain(paths.pki / "admin.crt", paths.pki / "admin.key")
        self._client = httpx.Client(
            base_url=f"https://{HOST_ADDRESS}:{API_PORT}", verify=context, trust_env=False, timeout=10
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: Object | None = None, **headers: str) -> Object:
        content = None if body is None else json.dumps(body)
        try:
            answer = self._client.request(
                method, path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
        except httpx.HTTPError as unreachable:
            raise BedError(f"{method} {path}: {unreachable!r}") from unreachable
        if answer.is_error:
            raise BedError(f"{method} {path}: {answer.status_code}: {answer.text[:1000]}")
        document: Object = answer.json()
        return document

    def get(self, path: str) -> Object:
        return self._call("GET", path)

    def items(self, path: str) -> list[Object]:
        """All objects of a collection."""
        found: list[Object] = self._call("GET", path)["items"]
        return found

    def apply(self, document: Object) -> None:
        """Server-side apply as the bed, which owns what it applies."""
        path = f"{path_of(document)}?fieldManager=bed&force=true"
        self._call("PATCH", path, document, content_type="application/apply-patch+yaml")

    def create_once(self, path: str, document: Object) -> None:
        """Creates an object; fine when one of its name exists."""
        try:
            self._call("POST", path, document, content_type="application/json")
        except BedError as refusal:
            if ": 409: " not in str(refusal):
                raise

    def merge(self, path: str, patch: Object) -> None:
        self._call("PATCH", path, patch, content_type="application/merge-patch+json")

    def delete(self, path: str) -> None:
        """Deletes an object; fine when it is gone."""
        try:
            self._call("DELETE", path)
        except BedError as refusal:
            if ": 404: " not in str(refusal):
                raise

    def changes(self, path: str, *, seconds: int) -> Iterator[str]:
        """One watch for at most `seconds`: a line per event, existing objects included. Raises httpx.HTTPError."""
        limit = httpx.Timeout(10, read=seconds + 10)
        query = {"watch": "true", "timeoutSeconds": str(seconds)}
        with self._client.stream("GET", path, params=query, timeout=limit) as answer:
            answer.raise_for_status()
            yield from answer.iter_lines()


def condition(document: Object, name: str) -> bool:
    """Whether a status condition is True."""
    conditions = document.get("status", {}).get("conditions", [])
    return any(each["type"] == name and each["status"] == "True" for each in conditions)
