"""Under which names mysqld finds a variable, and which of them are refused. Pure.

Facts about option files are from "Using Option Files" and tried on the server by tests/mysql/test_spellings.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cnmysql.mysql.parameter_tables import (
    DENIED,
    DENIED_PREFIXES,
    MANAGED,
    MANAGED_PREFIXES,
    PATH,
    PATH_FREE,
    PATH_REASON,
)

SYNONYMS: Final = ("loose_", "maximum_")
"""Prefixes under which the variable takes the same value."""
PREFIXES: Final = (*SYNONYMS, "skip_", "disable_", "enable_", "plugin_")
"""Prefixes under which mysqld finds a variable, in any number and order; `plugin_` for those of engines and plugins.
Beginnings of names it does not take (both tried by tests/mysql/test_spellings.py)."""
_LEADING_SYNONYMS, _LEADING_PREFIXES = (re.compile(rf"\A(?:{'|'.join(some)})++") for some in (SYNONYMS, PREFIXES))
"""All of them at once: a key may be as long as its object, and taking them off one by one copies the rest each time."""


class Class(StrEnum):
    """What happens to a parameter."""

    ALLOWED = "Allowed"
    DEPRECATED = "Deprecated"
    REMOVED = "Removed"
    MANAGED = "Managed"
    DENIED = "Denied"
    INVALID = "Invalid"


def normalise(key: str) -> str:
    """The spelling a key is compared and rendered in: trimmed, lower case, underscores."""
    return key.strip().lower().replace("-", "_")


def base(key: str) -> str:
    """The variable a normalised key gives a value to: without `loose_` and `maximum_`."""
    return _LEADING_SYNONYMS.sub("", key)


def bare(key: str) -> str:
    """The variable a normalised key may act on in whatever way: without any prefix, also those of its own name."""
    return _LEADING_PREFIXES.sub("", key)


def _refusals() -> Mapping[str, tuple[Class, str]]:
    """Every refused name, then what is left of it without prefixes."""
    rows = [(Class.DENIED, name, why) for name, why in DENIED.items()]
    rows += [(Class.MANAGED, name, why) for name, why in MANAGED.items()]
    return {bare(n): (kind, why) for kind, n, why in rows} | {n: (kind, why) for kind, n, why in rows}


_REFUSED: Final = _refusals()
REASONS: Final[Mapping[str, str]] = {name: why for name, (_, why) in _REFUSED.items()}
"""Why a name is refused; a key is, when its `base` or its `bare` form is here or matches one of the patterns."""


def refusal(key: str) -> tuple[Class, str] | None:
    """Why a normalised key is not for users, whatever its value; None for the others."""
    name = base(key)
    return _refusal(name) or _refusal(bare(name))


def _refusal(name: str) -> tuple[Class, str] | None:
    if name in _REFUSED:
        return _REFUSED[name]
    for kind, prefixes in ((Class.DENIED, DENIED_PREFIXES), (Class.MANAGED, MANAGED_PREFIXES)):
        why = _by_prefix(prefixes, name)
        if why:
            return kind, why
    if re.search(PATH, name) and name not in PATH_FREE:
        return Class.DENIED, PATH_REASON
    return None


def _by_prefix(prefixes: Mapping[str, str], name: str) -> str | None:
    return next((why for prefix, why in prefixes.items() if name.startswith(prefix)), None)
