"""The control API of an instance manager: paths, methods, who may call each, how large a body may be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Caller(Enum):
    """Identities a client certificate can prove."""

    OPERATOR = "operator"
    PEER = "peer"


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    callers: frozenset[Caller]
    max_body: int = 0
    """Largest accepted request body in bytes."""


_OPERATOR = frozenset({Caller.OPERATOR})
_ANY = frozenset({Caller.OPERATOR, Caller.PEER})

STATUS: Final = Endpoint("GET", "/status", _ANY)
STATUS_STREAM: Final = Endpoint("GET", "/status/stream", _OPERATOR)
ROLE_CLOSE: Final = Endpoint("POST", "/role/close", _OPERATOR, max_body=4096)

ACCOUNTS: Final = Endpoint("POST", "/accounts", _OPERATOR, max_body=8192)

PROBE_LIVE: Final = "/livez"
PROBE_READY: Final = "/readyz"
PROBE_STARTUP: Final = "/startupz"
