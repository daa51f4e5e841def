"""The verbs: get, list, create, apply, patch, replace and delete on raw objects, each with a bounded time.

Every verb raises `cnmysql.errors` (see `wire.Transport`); deletes and writes take preconditions so that what was
decided about one object is never done to its successor.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from cnmysql import names
from cnmysql.errors import Gone, NotFound, Transient
from cnmysql.kube.resources import Resource
from cnmysql.kube.wire import (
    APPLY_PATCH,
    DEFAULT_TIMEOUT,
    JSON,
    MERGE_PATCH,
    METADATA,
    METADATA_LIST,
    Json,
    Transport,
)

LIST_TIMEOUT = 30.0


def key_of(obj: Mapping[str, Any]) -> str:
    """`namespace/name` of an object, or just its name when it has no namespace."""
    meta = obj["metadata"]
    ns = meta.get("namespace")
    return f"{ns}/{meta['name']}" if ns else str(meta["name"])


def split_key(key: str) -> tuple[str, str]:
    """Inverse of `key_of`: (namespace, name), the namespace "" for objects without one."""
    ns, _, name = key.rpartition("/")
    return ns, name


def ingest(resource: Resource, obj: Json) -> Json:
    """Make an object read from the server ready to keep: kind filled in, managedFields dropped.

    Items of a list carry no apiVersion and kind; managedFields are half the size of many objects and nobody reads them.
    Raises Transient when it is no object: then something else than an API server answered.
    """
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        raise Transient(f"the answer is not a {resource.kind}")
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    meta.pop("managedFields", None)
    return obj


def selectors(label_selector: str, field_selector: str) -> list[tuple[str, str]]:
    pairs = [("labelSelector", label_selector), ("fieldSelector", field_selector)]
    return [(name, value) for name, value in pairs if value]


class Client:
    """Verbs over one transport. Holds no state of its own; safe to share between tasks."""

    def __init__(self, transport: Transport, *, field_manager: str = names.FIELD_MANAGER) -> None:
        self.transport = transport
        self._manager = ("fieldManager", field_manager)

    async def get(self, r: Resource, ns: str | None, name: str, *, timeout: float = DEFAULT_TIMEOUT) -> Json:
        """The object as the server has it now (a consistent read, not from the server's cache)."""
        return ingest(r, await self.transport.request("GET", r.path(ns, name), timeout=timeout))

    async def get_metadata(self, r: Resource, ns: str | None, name: str, *, timeout: float = DEFAULT_TIMEOUT) -> Json:
        """Only the object's metadata: for Secrets and ConfigMaps whose content is none of our business."""
        return ingest(r, await self.transport.request("GET", r.path(ns, name), accept=METADATA, timeout=timeout))

    async def writers(
        self, r: Resource, ns: str | None, name: str, *, uid: str, timeout: float = DEFAULT_TIMEOUT
    ) -> frozenset[str]:
        """Field managers of the object: everybody who has written what it holds now. Raises NotFound when there is none
        with this uid.
        """
        answer = await self.transport.request("GET", r.path(ns, name), accept=METADATA, timeout=timeout)
        meta = answer.get("metadata") or {}
        if meta.get("uid") != uid:
            raise NotFound(f"{r.kind} {name} is another one by now")
        return frozenset(str(m.get("manager", "")) for m in meta.get("managedFields") or ())

    async def list(
        self,
        r: Resource,
        ns: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page: int = 500,
        metadata_only: bool = False,
        timeout: float = LIST_TIMEOUT,
    ) -> tuple[builtins.list[Json], str]:
        """All objects and the resource version to watch from; `timeout` is for each page."""
        found: builtins.list[Json] = []
        version = ""
        query = selectors(label_selector, field_selector)
        try:
            async for items, rv in self.pages(r, ns, query, page=page, metadata_only=metadata_only, timeout=timeout):
                found += items
                version = rv
        except Gone:
            if page == 0:
                raise
            # The snapshot behind the continue token was compacted away: ask again for everything at once.
            return await self.list(
                r,
                ns,
                label_selector=label_selector,
                field_selector=field_selector,
                page=0,
                metadata_only=metadata_only,
                timeout=timeout,
            )
        return found, version

    async def pages(
        self,
        r: Resource,
        ns: str | None,
        selectors: builtins.list[tuple[str, str]],
        *,
        page: int = 500,
        metadata_only: bool = False,
        timeout: float = LIST_TIMEOUT,
    ) -> AsyncGenerator[tuple[builtins.list[Json], str]]:
        """The list page by page, all of one snapshot: (items, its resource version). `page` 0 asks for one page.

        Raises Gone when the server compacted the snapshot away before the last page: start again with page 0.
        """
        token = ""
        while True:
            query = [*selectors]
            if page:
                query.append(("limit", str(page)))
            if token:
                query.append(("continue", token))
            accept = METADATA_LIST if metadata_only else JSON
            answer = await self.transport.request("GET", r.path(ns), query=query, accept=accept, timeout=timeout)
            meta = answer.get("metadata")
            if not isinstance(meta, dict) or "resourceVersion" not in meta:
                raise Transient(f"the answer is not a list of {r.plural}")
            yield [ingest(r, item) for item in answer.get("items") or ()], meta["resourceVersion"]
            token = meta.get("continue") or ""
            if not token:
                return

    async def create(self, r: Resource, ns: str | None, body: Json, *, timeout: float = DEFAULT_TIMEOUT) -> Json:
        """Create; AlreadyExists when the name is taken, also by an earlier attempt of ours whose answer was lost."""
        return ingest(
            r,
            await self.transport.request(
                "POST", r.path(ns), query=[self._manager], body=_typed(r, body), timeout=timeout
            ),
        )

    async def apply(
        self,
        r: Resource,
        ns: str | None,
        name: str,
        body: Json,
        *,
        force: bool = True,
        subresource: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Json:
        """Server-side apply: `body` is everything we own of the object; what it leaves out we give up owning.

        A uid in `body.metadata` makes the apply refuse (Conflict) instead of creating or touching a namesake.
        """
        query = [self._manager, ("force", "true" if force else "false")]
        answer = await self.transport.request(
            "PATCH",
            r.path(ns, name, subresource),
            query=query,
            body=_typed(r, body),
            content_type=APPLY_PATCH,
            timeout=timeout,
        )
        return ingest(r, answer)

    async def merge_patch(
        self,
        r: Resource,
        ns: str | None,
        name: str,
        patch: Json,
        *,
        resource_version: str | None = None,
        uid: str | None = None,
        subresource: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Json:
        """JSON merge patch (RFC 7386: null removes a key, lists are replaced whole).

        `resource_version` and `uid` are preconditions: Conflict when the object is not that one in that version.
        """
        conditions = {"resourceVersion": resource_version, "uid": uid}
        conditions = {k: v for k, v in conditions.items() if v is not None}
        if conditions:
            patch = {**patch, "metadata": {**patch.get("metadata", {}), **conditions}}
        answer = await self.transport.request(
            "PATCH",
            r.path(ns, name, subresource),
            query=[self._manager],
            body=patch,
            content_type=MERGE_PATCH,
            timeout=timeout,
        )
        return ingest(r, answer)

    async def replace(
        self,
        r: Resource,
        ns: str | None,
        name: str,
        body: Json,
        *,
        subresource: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Json:
        """PUT: a compare-and-swap when `body.metadata.resourceVersion` is set; Conflict when it lost."""
        answer = await self.transport.request(
            "PUT", r.path(ns, name, subresource), query=[self._manager], body=_typed(r, body), timeout=timeout
        )
        return ingest(r, answer)

    async def delete(
        self,
        r: Resource,
        ns: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        grace_seconds: int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Ask for deletion; done when finalizers and grace allow. NotFound when absent, Conflict for another uid."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            options["preconditions"] = {k: v for k, v in preconditions.items() if v is not None}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self.transport.request("DELETE", r.path(ns, name), body=options, timeout=timeout)


def _typed(r: Resource, body: Json) -> Json:
    """The body with the apiVersion and kind of its resource, which the server insists on."""
    return {"apiVersion": r.api_version, "kind": r.kind, **body}
