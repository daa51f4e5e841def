"""The contract between the verbs and whatever carries them to the API server. Needs no client library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import orjson

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]

DEFAULT_TIMEOUT: Final = 10.0

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""Server-side apply. JSON is YAML, so the body is JSON all the same."""

METADATA: Final = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
METADATA_LIST: Final = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""Accept headers that ask for metadata only (also for watches: the events then carry PartialObjectMetadata)."""


class Transport(Protocol):
    """One API server and one identity. Every method raises `cnmysql.errors` only.

    Unreachable: no complete answer, the outcome of a write is unknown. Transient: 429, 5xx and 401, with
    `retry_after` when the server gave one. Nothing is retried inside, except one 401 with reloaded credentials.
    """

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Json:
        """One request and its JSON answer ({} when the answer has no body) within `timeout` seconds."""

    def stream(
        self, path: str, *, query: Query = (), accept: str = JSON, idle_timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """GET whose answer does not end soon: raw chunks; Unreachable after `idle_timeout` seconds of silence."""

    async def close(self) -> None:
        """Close every connection. Streams that are open end with Unreachable."""


def encode(body: Any) -> bytes:
    return orjson.dumps(body)


def decode(raw: bytes) -> Json:
    """The JSON object in `raw`. Raises ValueError when it is anything else."""
    value = orjson.loads(raw)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    return value
