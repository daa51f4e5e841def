"""A model of an API server's storage: versions, preconditions, pages, selectors and watch history, without any I/O.

Real server behaviour is tested against a real server; this one is for faults a real one cannot be made to show.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.merge_patch import merge_patch

Json = dict[str, Any]
Place = tuple[str, str, str]
"""(group and version, plural, namespace); the namespace "" means all or none."""

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?$"
)


class Refusal(Exception):
    """An answer that is not 2xx, as the server's Status object."""

    def __init__(self, code: int, reason: str, message: str = "", **details: Any) -> None:
        super().__init__(f"{code} {reason} {message}")
        self.code = code
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message or reason,
            "details": details,
        }


@dataclass(frozen=True)
class Target:
    """What a path names."""

    api: str
    plural: str
    ns: str
    name: str
    sub: str

    @classmethod
    def of(cls, path: str) -> Target:
        match = _PATH.match(path)
        if match is None:
            raise Refusal(404, "NotFound", f"no such path {path}")
        api = f"{match['group']}/{match['version']}" if match["group"] else match["version"]
        return cls(api, match["plural"], match["ns"] or "", match["name"] or "", match["sub"] or "")


@dataclass
class Change:
    version: int
    target: Target
    old: Json | None
    new: Json | None


@dataclass
class FakeStore:
    """Objects and their history. `compacted` is the oldest version a watch may still start from."""

    version: int = 100
    objects: dict[Target, Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    compacted: int = 100
    bookmark_every: float = 60.0
    absent: set[str] = field(default_factory=set)
    """Plurals the server does not know."""

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._snapshots: dict[str, tuple[int, list[Json]]] = {}
        self._uid = 0
        self._manager = "x"

    # --- one request

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> Json:
        """The answer to a request. Raises Refusal."""
        target = Target.of(path)
        self._manager = query.get("fieldManager", "x")
        if target.plural in self.absent:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        plain = Target(target.api, target.plural, target.ns, target.name, "")
        if method == "GET":
            return copy.deepcopy(self._existing(plain)) if target.name else self._list(target, query)
        if method == "POST":
            return self._create(target, body)
        if method == "DELETE":
            return self._delete(plain, body or {})
        if content_type == "application/apply-patch+yaml" and plain not in self.objects:
            if "uid" in body.get("metadata", {}):
                raise Refusal(409, "Conflict", "uid mismatch: the object does not exist")
            return self._create(Target(target.api, target.plural, target.ns, "", ""), body)
        current = self._existing(plain)
        wanted = body.get("metadata", {})
        if method == "PATCH" and wanted.get("uid", current["metadata"]["uid"]) != current["metadata"]["uid"]:
            raise Refusal(422, "Invalid", "field is immutable", causes=[{"field": "metadata.uid"}])
        self._check(current, wanted)
        return self._write(plain, body if method == "PUT" else merge_patch(current, body))

    def _existing(self, target: Target) -> Json:
        if target not in self.objects:
            raise Refusal(404, "NotFound", f"{target.plural} {target.name!r} not found")
        return self.objects[target]

    @staticmethod
    def _check(current: Json, wanted: Json) -> None:
        for name in ("uid", "resourceVersion"):
            if wanted.get(name) and wanted[name] != current["metadata"][name]:
                raise Refusal(409, "Conflict", f"precondition failed: {name}")

    def _create(self, collection: Target, body: Json) -> Json:
        target = Target(collection.api, collection.plural, collection.ns, body["metadata"]["name"], "")
        if target in self.objects:
            raise Refusal(409, "AlreadyExists", f"{target.plural} {target.name!r} already exists")
        self._uid += 1
        meta = {**body["metadata"], "uid": f"uid-{self._uid}"}
        if target.ns:
            meta["namespace"] = target.ns
        return self._write(target, {**body, "metadata": meta})

    def _delete(self, target: Target, options: Json) -> Json:
        self._check(self._existing(target), options.get("preconditions") or {})
        old = self.objects.pop(target)
        self.version += 1
        self._record(target, old, None)
        return {"kind": "Status", "status": "Success"}

    def _write(self, target: Target, body: Json) -> Json:
        old = self.objects.get(target)
        self.version += 1
        new = copy.deepcopy(body)
        if old is not None:
            new["metadata"] = {**new["metadata"], "uid": old["metadata"]["uid"]}
            new["metadata"].setdefault("namespace", target.ns)
        new["metadata"]["resourceVersion"] = str(self.version)
        managers = {m["manager"]: m for m in (old or {}).get("metadata", {}).get("managedFields", ())}
        managers[self._manager] = {"manager": self._manager, "fieldsV1": {"f:spec": {}}}
        new["metadata"]["managedFields"] = list(managers.values())
        self.objects[target] = new
        self._record(target, old, new)
        return copy.deepcopy(new)

    def _record(self, target: Target, old: Json | None, new: Json | None) -> None:
        self.history.append(Change(self.version, target, old, new))
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def compact(self) -> None:
        """Forget the history: every watch from before now is answered with 410, and continue tokens expire."""
        self.compacted = self.version
        self.history.clear()
        self._snapshots.clear()

    # --- lists and watches

    def select(self, path: str, query: Mapping[str, str]) -> list[Json]:
        collection = Target.of(path)
        found = [(t, o) for t, o in self.objects.items() if _belongs(t, collection) and _selected(o, query)]
        found.sort(key=lambda pair: (pair[0].ns, pair[0].name))
        return [copy.deepcopy(obj) for _, obj in found]

    def _list(self, collection: Target, query: Mapping[str, str]) -> Json:
        token = query.get("continue", "")
        if token:
            if token.partition("/")[0] not in self._snapshots:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
            version, items = self._snapshots[token.partition("/")[0]]
            start = int(token.partition("/")[2])
        else:
            path = f"/apis/{collection.api}" if "/" in collection.api else f"/api/{collection.api}"
            path += f"/namespaces/{collection.ns}" if collection.ns else ""
            version, items, start = self.version, self.select(f"{path}/{collection.plural}", query), 0
        limit = int(query.get("limit", "0")) or len(items)
        meta: Json = {"resourceVersion": str(version)}
        if start + limit < len(items):
            snapshot = token.partition("/")[0] or f"s{len(self._snapshots)}v{version}"
            self._snapshots[snapshot] = (version, items)
            meta["continue"] = f"{snapshot}/{start + limit}"
        chosen = copy.deepcopy(items[start : start + limit])
        for item in chosen:  # items of a typed list carry neither
            item.pop("kind", None)
            item.pop("apiVersion", None)
        return {"kind": "List", "metadata": meta, "items": chosen}

    async def follow(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """Watch events after `resourceVersion` until `timeoutSeconds` have passed; bookmarks when asked for."""
        collection = Target.of(path)
        at = int(query["resourceVersion"])
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query.get("timeoutSeconds", "1800"))
        while True:
            if at < self.compacted:
                yield {"type": "ERROR", "object": Refusal(410, "Expired", "too old resource version").body}
                return
            changed = self._changed
            for change in [c for c in self.history if c.version > at]:
                at = change.version
                if _belongs(change.target, collection) and (event := _event(change, query)) is not None:
                    yield event
            left = end - loop.time()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, self.bookmark_every)):
                    await changed.wait()
            except TimeoutError:
                if query.get("allowWatchBookmarks") == "true":
                    meta = {"resourceVersion": str(at)}
                    yield {"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": collection.api, "metadata": meta}}


def _event(change: Change, query: Mapping[str, str]) -> Json | None:
    was = change.old is not None and _selected(change.old, query)
    now = change.new is not None and _selected(change.new, query)
    if not was and not now:
        return None
    obj = copy.deepcopy(change.new if now else change.old)
    assert obj is not None
    obj["metadata"]["resourceVersion"] = str(change.version)
    return {"type": ("MODIFIED" if was else "ADDED") if now else "DELETED", "object": obj}


def _belongs(target: Target, collection: Target) -> bool:
    same_kind = (target.api, target.plural) == (collection.api, collection.plural)
    return same_kind and collection.ns in {"", target.ns}


def _selected(obj: Json, query: Mapping[str, str]) -> bool:
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, equals, value = term.partition("=")
        if (labels.get(name) != value) if equals else (name not in labels):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = term.partition("=")
        if meta.get(name.removeprefix("metadata.")) != value:
            return False
    return True
