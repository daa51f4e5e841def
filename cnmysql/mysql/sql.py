"""All SQL quoting of the product, and the value a statement travels as.

Our sessions run with sql_mode='STRICT_ALL_TABLES' (`cnmysql.mysql.conn`), where these forms are exact. In a session
with NO_BACKSLASH_ESCAPES a quoted string keeps its backslashes doubled, but no value can end the literal in any mode:
a quote is doubled, never escaped by a backslash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cnmysql.log import REDACTED, Secret, redact_text

MAX_IDENTIFIER = 64
MAX_USER = 32
MAX_HOST = 255


@dataclass(frozen=True, repr=False)
class Statement:
    """One SQL statement, ready to send. `secrets`: the values in its text that no log or error may show."""

    text: str
    secrets: tuple[Secret, ...] = ()

    @property
    def secret(self) -> bool:
        return bool(self.secrets)

    def redact(self, text: str) -> str:
        """`text` (an error message, a log line) without this statement's secrets."""
        hidden = {form for s in self.secrets if s for form in (s.reveal(), _escape(s.reveal()))}
        if hidden:
            longest_first = sorted(hidden, key=len, reverse=True)
            text = re.sub("|".join(re.escape(form) for form in longest_first), REDACTED, text)
        return redact_text(text)

    def __repr__(self) -> str:
        return f"Statement({self.redact(self.text)!r})"

    __str__ = __repr__


def _checked(value: str, what: str) -> str:
    if "\0" in value:
        raise ValueError(f"{what} must not hold a NUL character")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not valid Unicode text") from None
    return value


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def quote_string(value: str) -> str:
    """A string literal. Raises ValueError for NUL and lone surrogates."""
    return f"'{_escape(_checked(value, 'a string'))}'"


def quote_secret(value: Secret) -> str:
    """A string literal of a secret; the caller puts the secret into its Statement too."""
    return f"'{_escape(_checked(value.reveal(), 'a password'))}'"


def quote_identifier(name: str) -> str:
    """A backquoted identifier. Raises ValueError when the server would refuse or change the name.

    ("Schema Object Names": 1 to 64 characters of the Basic Multilingual Plane, no trailing space, no NUL.)
    """
    _checked(name, "a name")
    if not 1 <= len(name) <= MAX_IDENTIFIER:
        raise ValueError(f"a name has 1 to {MAX_IDENTIFIER} characters, this one has {len(name)}")
    if name.endswith(" "):
        raise ValueError("a name must not end with a space")
    if any(ord(character) > 0xFFFF for character in name):
        raise ValueError("a name must not hold characters beyond U+FFFF")
    return "`" + name.replace("`", "``") + "`"


def quote_account(user: str, host: str) -> str:
    """`'user'@'host'`. Raises ValueError above 32 and 255 characters (error 1470)."""
    if len(user) > MAX_USER:
        raise ValueError(f"a user name has at most {MAX_USER} characters")
    if not 1 <= len(host) <= MAX_HOST:
        raise ValueError(f"an account's host has 1 to {MAX_HOST} characters")
    return f"{quote_string(user)}@{quote_string(host)}"


def quote_schema_target(schema: str, *, partial_revokes: bool = False) -> str:
    """Target of a GRANT on every object of exactly this schema.

    `_` and `%` are wildcards in a grant's schema unless partial_revokes is ON ("GRANT Statement"), so they are
    escaped; with partial_revokes the plain name is exact.
    """
    if "\\" in schema:
        raise ValueError("a schema that is granted on must not hold a backslash: grants read it as an escape")
    quoted = quote_identifier(schema)
    if not partial_revokes:
        quoted = quoted.replace("_", "\\_").replace("%", "\\%")
    return f"{quoted}.*"


def quote_set(values: tuple[str, ...]) -> str:
    """A parenthesised list of string literals for IN. Raises ValueError when it is empty."""
    if not values:
        raise ValueError("an IN list needs at least one value")
    return f"({', '.join(quote_string(value) for value in values)})"
