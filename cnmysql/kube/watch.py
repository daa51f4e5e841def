"""One watch request: bytes in, events out. It ends when the server ends it; the informer decides what follows.

Semantics: kubernetes.io/docs/reference/using-api/api-concepts ("Efficient detection of changes").
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cnmysql.errors import Transient
from cnmysql.kube.answers import status_error
from cnmysql.kube.client import ingest
from cnmysql.kube.resources import Resource
from cnmysql.kube.wire import JSON, METADATA, Json, Transport, decode

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"
ERROR: Final = "ERROR"

SHORTEST, LONGEST = 300, 600
"""Seconds after which we ask the server to end a watch, drawn at random so that watches do not end together."""
IDLE_LIMIT: Final = 150.0
"""Seconds of silence after which a connection counts as dead. The server sends a bookmark about once a minute, so a
healthy watch is never silent that long; where it is, reconnecting from the last version costs one request."""
LINE_LIMIT: Final = 64 * 1024 * 1024
"""Far above any object (etcd refuses requests over 1.5 MiB); only keeps a broken sender from filling our memory."""


class Garbled(Transient):
    """The stream carried something that is not a watch event. What was missed is unknown: list again."""


@dataclass(frozen=True)
class Event:
    type: str
    object: Json

    @property
    def version(self) -> str:
        version: str = self.object["metadata"]["resourceVersion"]
        return version


class LineSplitter:
    """Cuts chunks into lines. The rest behind the last newline is kept until more comes; it is never a line."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines completed by this chunk, without newline, empty ones left out. Raises Garbled over the limit."""
        *lines, rest = chunk.split(b"\n")
        if lines and self._parts:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                raise Garbled(f"a line of more than {self._limit} bytes")
        return [line for line in lines if line.strip()]


def read_event(resource: Resource, line: bytes) -> Event:
    """The event in a line. Raises what an ERROR event stands for (Gone for 410), Garbled for anything else."""
    try:
        value = decode(line)
    except ValueError as error:
        raise Garbled(f"watch of {resource.plural}: a line is not a JSON object") from error
    kind, obj = value.get("type"), value.get("object")
    if not isinstance(obj, dict):
        raise Garbled(f"watch of {resource.plural}: an event without object")
    if kind == ERROR:
        raise status_error(f"watch of {resource.plural}", obj)
    meta = obj.get("metadata")
    if kind not in {ADDED, MODIFIED, DELETED, BOOKMARK} or not _is_metadata(meta, named=kind != BOOKMARK):
        raise Garbled(f"watch of {resource.plural}: not an event of an object")
    return Event(kind, ingest(resource, obj))


def _is_metadata(meta: Any, *, named: bool) -> bool:
    if not isinstance(meta, dict) or not isinstance(meta.get("resourceVersion"), str):
        return False
    return not named or isinstance(meta.get("name"), str)


async def watch(
    transport: Transport,
    resource: Resource,
    ns: str | None,
    *,
    version: str,
    selectors: Sequence[tuple[str, str]],
    metadata_only: bool,
    contact: Callable[[], None],
) -> AsyncGenerator[Event]:
    """Events after `version` until the server ends the watch. `contact` is called whenever bytes arrive.

    Raises Gone when the version is no longer kept, Unreachable when the connection broke or fell silent, Garbled.
    A line cut by the end of the stream is dropped: its event comes again from the last version.
    """
    seconds = random.randint(SHORTEST, LONGEST)  # noqa: S311 - spreading load, not a secret
    query = [
        *selectors,
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", version),
        ("timeoutSeconds", str(seconds)),
    ]
    accept = METADATA if metadata_only else JSON
    splitter = LineSplitter()
    async with transport.stream(resource.path(ns), query=query, accept=accept, idle_timeout=IDLE_LIMIT) as chunks:
        contact()
        async for chunk in chunks:
            contact()
            for line in splitter.feed(chunk):
                yield read_event(resource, line)
