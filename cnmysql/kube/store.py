"""The informer's memory: objects by key, and keys by whatever its indexers find in an object."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence, Set

from cnmysql.kube.wire import Json

Indexer = Callable[[Json], Sequence[str]]


class Store:
    """Objects by `namespace/name`. Objects are shared, never copied: readers must not modify them."""

    def __init__(self, indexers: Mapping[str, Indexer]) -> None:
        self._objects: dict[str, Json] = {}
        self._indexers = dict(indexers)
        self._indexes: dict[str, dict[str, set[str]]] = {name: {} for name in indexers}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Json | None:
        return self._objects.get(key)

    def missing_from(self, seen: Set[str]) -> builtins.list[str]:
        """Keys we hold that are not in `seen`."""
        return [key for key in self._objects if key not in seen]

    def list(self) -> builtins.list[Json]:
        return list(self._objects.values())

    def by_index(self, index: str, value: str) -> builtins.list[Json]:
        """Objects for which the indexer named `index` gave `value`, in key order. KeyError for an unknown index."""
        return [self._objects[key] for key in sorted(self._indexes[index].get(value, ()))]

    def put(self, key: str, obj: Json) -> Json | None:
        """Keep the object; returns the one it replaces."""
        old = self._objects.get(key)
        self._objects[key] = obj
        if self._indexers:
            self._reindex(key, old, obj)
        return old

    def remove(self, key: str) -> Json | None:
        """Forget the object; returns it, or None when there was none."""
        old = self._objects.pop(key, None)
        if old is not None and self._indexers:
            self._reindex(key, old, None)
        return old

    def _reindex(self, key: str, old: Json | None, new: Json | None) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            before = set(indexer(old)) if old is not None else set()
            after = set(indexer(new)) if new is not None else set()
            for value in before - after:
                keys = index[value]
                keys.discard(key)
                if not keys:
                    del index[value]
            for value in after - before:
                index.setdefault(value, set()).add(key)
