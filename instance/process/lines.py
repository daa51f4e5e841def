"""What mysqld prints, understood: its JSON and classic error-log lines, anything else as it stands. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cnmysql.log import redact_head

_CLASSIC = re.compile(r"^(\S+Z) +(\d+) +\[(\w+)\] +\[(MY-\d+)\] +\[(\w+)\] +(.*)$")
_PRIORITY: Final = ("info", "error", "warning", "info")
"""prio 0 System, 1 Error, 2 Warning, 3 Note."""
_LABEL: Final = {"system": "info", "error": "error", "warning": "warning", "note": "info"}
READY_CODES: Final = frozenset({"MY-010931"})
"""ER_SERVER_STARTUP_MSG: "ready for connections"; MY-011323 is the X plugin's and means nothing here."""
LAST_ERRORS: Final = 20
MAX_LINE: Final = 4096
MAX_WORD: Final = 64
"""Longest code or subsystem that is passed on."""


@dataclass(frozen=True)
class Line:
    """One line of output. `level` is one of ours; `code` (`MY-010931`) and `subsystem` are empty when it has none."""

    level: str
    message: str
    code: str = ""
    subsystem: str = ""


def parse(text: str) -> Line:
    """Understand one line; a message without secrets, at most MAX_LINE characters. Never raises."""
    text = text.rstrip("\r\n")
    found = _json(text) if text.startswith("{") else _classic(text)
    if found is None:
        found = Line(_raw_level(text), text)
    message = redact_head(found.message, MAX_LINE)
    return Line(found.level, message, found.code[:MAX_WORD], redact_head(found.subsystem, MAX_WORD))


def _json(text: str) -> Line | None:
    try:
        record = json.loads(text)
        level = _PRIORITY[int(record["prio"])]
        code = f"MY-{int(record['err_code']):06d}" if "err_code" in record else ""
        return Line(level, str(record["msg"]), code, str(record.get("subsystem", "")))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def _classic(text: str) -> Line | None:
    match = _CLASSIC.match(text)
    if match is None:
        return None
    return Line(_LABEL.get(match[3].lower(), "info"), match[6], match[4], match[5])


def _raw_level(text: str) -> str:
    """Stack traces and library complaints carry no level; `mysqld: ...` lines are complaints."""
    lowered = text.lower()
    return "error" if "error" in lowered or "signal" in lowered or "assert" in lowered else "info"


def last_errors(texts: Iterable[str]) -> tuple[str, ...]:
    """The last error lines of an output, for the report of an exit: `MY-000067 unknown variable ...`."""
    errors = [line for line in map(parse, texts) if line.level == "error" and line.message]
    return tuple(f"{line.code} {line.message}".strip() for line in errors[-LAST_ERRORS:])
