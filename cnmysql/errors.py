"""The errors of the product. Each says whether trying again can help and, when known, after how long.

Edges map what their client library raises to one of these; nothing else crosses a module's door.
"""

from __future__ import annotations


class CnmysqlError(Exception):
    """Base of all our errors. `retry` says whether repeating the same call can succeed unchanged."""

    retry: bool = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds the other side asked us to wait; None when it did not say."""


class Transient(CnmysqlError):
    """The other side failed or is overloaded. Retry with backoff (after `retry_after` when given)."""

    retry = True


class Unreachable(Transient):
    """No answer: refused, reset, timed out. Nothing is known about what the other side did. Retry with backoff."""


class Conflict(CnmysqlError):
    """The object changed since it was read, or a compare-and-swap lost. Read again, decide again, then retry."""

    retry = True


class AlreadyExists(Conflict):
    """A create found the name taken. Read what is there before deciding anything."""


class Terminal(CnmysqlError):
    """Repeating the call cannot help until its input changes."""


class NotFound(Terminal):
    """The object does not exist."""


class Invalid(Terminal):
    """The other side understood the request and refuses its content; the message says why."""


class Forbidden(Terminal):
    """The identity used is not allowed to do this."""


class Gone(CnmysqlError):
    """The resource version asked for is no longer kept (HTTP 410). List again."""

    retry = True


class Refused(Terminal):
    """We ourselves refuse to act because acting would be a guess; the message names what is missing."""


class SqlError(CnmysqlError):
    """mysqld answered a statement with an error. Carries the code and a message without statement text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"MySQL error {code}: {message}")
        self.code = code
