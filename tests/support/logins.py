"""Whether a server lets somebody in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import pymysql
from pymysql.constants import CR, ER

_NO_ANSWER: Final = (CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST)
_BOUND: Final = 10.0


def accepted(connect: Callable[[], Any]) -> bool:
    """Log in and leave. An instance that closes its server kills the logins in progress: such a one was not answered,
    so it is asked again. Raises pymysql's OperationalError for any other end, or after 10 s without an answer.
    """
    deadline = time.monotonic() + _BOUND
    while True:
        try:
            connect().close()
        except pymysql.err.OperationalError as error:
            if error.args[0] == ER.ACCESS_DENIED_ERROR:
                return False
            if error.args[0] not in _NO_ANSWER or time.monotonic() > deadline:
                raise
            continue
        return True
