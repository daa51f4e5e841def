"""Equal parts of objects kept once: Pods of one operator are alike, and each repeats the same labels, mounts, probes.

Sound because stored objects are never modified. Objects that are alike take a fraction of the memory this way.
"""

from __future__ import annotations

from typing import Any, Final

from cnmysql.kube.wire import Json

LIMIT: Final = 4096
"""Parts remembered for sharing. When there are more the memory starts anew; what is shared already stays shared."""
LONGEST: Final = 128
"""Characters of a string worth remembering. Longer ones are rarely equal, and may be secrets or megabytes."""


class Sharing:
    """Rebuilds objects from parts seen before. One per informer."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._parts: dict[tuple[Any, ...], Any] = {}
        self._limit = limit

    def share(self, obj: Json) -> Json:
        """An equal object, new itself, that shares its parts with earlier ones."""
        if len(self._parts) > self._limit:
            self._parts.clear()
        return {name: self._part(value)[0] for name, value in obj.items()}

    def _part(self, value: Any) -> tuple[Any, bool]:
        """The value to use, and whether it is remembered.

        A container is known by the identities of what is in it, which compares fast. An identity means something only
        while its bearer lives, so a container is remembered only when all of its content is.
        """
        key: tuple[Any, ...]
        if isinstance(value, dict):
            parts = {name: self._part(item) for name, item in value.items()}
            value = {name: item for name, (item, _) in parts.items()}
            if not all(known for _, known in parts.values()):
                return value, False
            key = (dict, *value, *map(id, value.values()))
        elif isinstance(value, list):
            items = [self._part(item) for item in value]
            value = [item for item, _ in items]
            if not all(known for _, known in items):
                return value, False
            key = (list, *map(id, value))
        elif isinstance(value, str) and len(value) > LONGEST:
            return value, False
        else:
            key = (type(value), value)  # with the type, because True == 1 == 1.0
        return self._parts.setdefault(key, value), True
