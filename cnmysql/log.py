"""Structured logs: one JSON object per line with stable field names, secrets taken out in one place.

Fields: ts (RFC 3339, UTC), level, msg, logger, and where they apply process, stream, cluster, namespace,
instance, epoch, error.

A secret is kept out three times: its type does not print, its value is recognised in every line once this process
has held it, and the places of a text where secrets stand (statements, keys, tokens) are blanked whatever they hold.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog

LEVELS: Final[Mapping[str, int]] = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
}
REDACTED: Final = "[redacted]"

Logger = structlog.stdlib.BoundLogger

# Everything below meets texts of strangers, on the event loop: no pattern may take more than linear time. So nothing is
# given back that was taken (`++`), unless what follows could not be found otherwise.
#
# Where a statement holds a password (IDENTIFIED BY '...', PASSWORD = "...", REPLACE '...', SET PASSWORD FOR u = '...')
# or a hash (AS 0x...). A text that was cut short may lack the closing quote, or end inside an escape.
_QUOTED: Final = r"""'(?:[^'\\]|\\(?:.|\Z)|'')*+(?:'|\Z)|"(?:[^"\\]|\\(?:.|\Z)|"")*+(?:"|\Z)|0x[0-9a-f]++"""
_SQL_SECRET = re.compile(
    r"(?is)\b(identified\s++(?:with\s++\S++\s++)?(?:by|as)\s*+|(?:source_|master_)?password(?:[\"'`]?\s*+[:=]\s*+|\s++)"
    rf"|replace\s++|set\s++password\s++for\s++\S+\s*+(?:=|to)\s*+)(?:{_QUOTED})"
)
_PEM_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)
_AUTHORIZATION = re.compile(r"(?i)\b(bearer\s++|authorization\W++basic\s++)[A-Za-z0-9._~+/=-]{8,}+")
# Looked for once in each run of token characters, and only in one that goes on as a token does or was cut short:
# otherwise every `eyJ` in "eyJ-eyJ-eyJ-..." would read on to the end.
_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]++(?:\.[\w-]|\.?\Z))([\w-]*?)(?<!\w)eyJ[\w-]{8,}+(?:\.[\w-]++\.?[\w-]*+|\.?\Z)")
_SECRET_KEYS = re.compile(r"(?i)(password|passwd|secret_?key|token|credentials?|private_?key)$")
_SIGNS: Final = (
    "identified", "passw", "replace", "private", "bearer", "basic", "eyj", "secret_key", "secretkey", "token",
    "credential",
)  # fmt: skip
"""In lower case, one of these stands in every line that the patterns above could change."""
_BEYOND: Final = 1024
"""More than a pattern above needs to know a secret by its beginning."""


class _Known:
    """Values this process has held, the latest of them: `marks` as they are and as JSON writes them.

    Short ones are not looked for: they stand in texts by chance.
    """

    SHORTEST: Final = 8
    REMEMBERED: Final = 64

    def __init__(self) -> None:
        self._values: OrderedDict[str, None] = OrderedDict()
        self.marks: tuple[tuple[str, str], ...] = ()
        self.longest = 0

    def add(self, value: str) -> None:
        if len(value) < self.SHORTEST or value in self._values:
            return
        self._values[value] = None
        if len(self._values) > self.REMEMBERED:
            self._values.popitem(last=False)
        self.marks = tuple((v, _json(v)[1:-1]) for v in self._values)
        self.longest = max(map(len, self._values))


_known = _Known()


def _json(value: object) -> str:
    """As one line. Never fails: what orjson has no words for (huge numbers, half characters) is written by json."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return json.dumps(value, default=str, skipkeys=True)


class Secret:
    """A value that does not print. `reveal()` is the only way to it; str, repr, format and JSON show a mark."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _known.add(value)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return REDACTED

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be serialised")


def redact_text(text: str) -> str:
    """Text without the secrets this process knows, and without those whose place in a text gives them away."""
    for value, _ in _known.marks:
        if value in text:
            text = text.replace(value, REDACTED)
    if not _has_sign(text):
        return text
    text = _SQL_SECRET.sub(lambda m: m[1] + REDACTED, text)
    text = _PEM_KEY.sub(REDACTED, text)
    text = _AUTHORIZATION.sub(lambda m: m[1] + REDACTED, text)
    return _TOKEN.sub(lambda m: m[1] + REDACTED, text)


def redact_head(text: str, most: int) -> str:
    """The first `most` characters of `redact_text(text)`, for texts of any length: `most` bounds the work.

    The text is cut before it is looked at, further on than `most`. A secret that this cut goes through may not be
    recognised any more; it then stands at the very end, among the characters that lie beyond, and these are dropped
    however much shorter the text has become.
    """
    beyond = max(_BEYOND, _known.longest)
    head = text[: most + beyond]
    shown = redact_text(head)
    if len(head) < len(text):
        mark = shown.rfind(REDACTED)
        shown = shown[: max(len(shown) - beyond, mark + len(REDACTED) if mark >= 0 else 0)]
    return shown[:most]


def redact(value: Any) -> Any:
    """The value with secrets replaced, through mappings and sequences; never fails on odd types."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            redact_text(str(k)): REDACTED if _SECRET_KEYS.search(str(k)) and _may_be_secret(v) else redact(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, int | float | bool | type(None)):
        return value
    return redact_text(str(value))


def _may_be_secret(value: object) -> bool:
    return not isinstance(value, int | float | bool | type(None))


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """One line. Looking at the finished line is cheap; only one that may hold a secret is taken apart."""
    event["msg"] = event.pop("event", "")
    ordered = {k: event.pop(k) for k in ("ts", "level", "msg", "logger") if k in event}
    line = _json({**ordered, **event})
    return _json(redact({**ordered, **event})) if _suspicious(line) else line


def _suspicious(line: str) -> bool:
    """Every log line comes through here: loops, because `any` would double the time."""
    for _, mark in _known.marks:
        if mark in line:
            return True
    return _has_sign(line)


def _has_sign(text: str) -> bool:
    lowered = text.lower()
    for sign in _SIGNS:  # noqa: SIM110
        if sign in lowered:
            return True
    return False


class _Handler(logging.StreamHandler[TextIO]):
    """A line that cannot be made is replaced by one that says so: nothing else is ever printed."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Of libraries only warnings and errors: below that they log requests and bodies, Secrets included."""
        return record.levelno >= logging.WARNING or isinstance(record.msg, dict)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class names it
        error = type(sys.exc_info()[1]).__name__
        fields = {"level": "error", "msg": "a log line could not be written", "logger": record.name, "error": error}
        try:
            self.stream.write(_json(fields) + "\n")
        except Exception:  # noqa: BLE001 - there is nowhere left to say so
            return


def configure(level: str = "info", *, stream: TextIO | None = None, **fields: str) -> None:
    """Set up logging for the process: JSON lines on `stream` (standard error), `fields` bound on every line.

    The standard library's root logger goes the same way, so no library can print another format.
    """
    threshold = LEVELS[level]
    out = stream if stream is not None else sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _exception_field,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.DEBUG) if level != "trace" else threshold)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)


def _exception_field(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else sys.exc_info()[1]
        if error is not None:
            event["error"] = f"{type(error).__name__}: {error}"
            event["stack"] = "".join(traceback.format_exception(error))
    return event


def get(name: str) -> Logger:
    """A logger by component name (`cluster`, `role`, `mysqld`, ...)."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger
