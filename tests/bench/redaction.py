"""Time of a log line with redaction, and of the same line through the same pipeline without it."""

from __future__ import annotations

import io
import time

from cnmysql import log

LINES = 5_000
ROUNDS = 7


def _line(redacting: bool) -> float:
    """Microseconds of processor time for one line."""
    looked = log._suspicious
    if not redacting:
        log._suspicious = lambda line: False
    out = io.StringIO()
    try:
        log.configure("info", stream=out, process="manager", cluster="db", namespace="shop", instance="db-1")
        logger = log.get("role")
        began = time.process_time()
        for epoch in range(LINES):
            logger.info(
                "opened the server for clients",
                epoch=epoch,
                gtid_executed="3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77",
                reason="the order names it and the Lease is held",
            )
        return (time.process_time() - began) / LINES * 1e6
    finally:
        log._suspicious = looked


def measure() -> tuple[list[float], list[float]]:
    """With and without, in turns."""
    known = [log.Secret(f"a-password-of-32-characters-{n:04}") for n in range(5)]
    assert known
    _line(True)
    pairs = [(_line(True), _line(False)) for _ in range(ROUNDS)]
    return [a for a, _ in pairs], [b for _, b in pairs]
