"""What users may set under `mysql.parameters`: names, values, what changes live. Pure.

Policy, first match wins: malformed -> refused; denied -> refused; managed -> refused; removed in the server's
version -> dropped with a warning; a value mysqld would misread -> refused; deprecated -> warning; else rendered.
Facts about option files are from "Using Option Files" and tried on the server by tests/mysql/test_mycnf.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cnmysql.mysql import variables
from cnmysql.mysql.parameter_names import PREFIXES, REASONS, SYNONYMS, Class, bare, base, normalise, refusal
from cnmysql.mysql.parameter_tables import (
    DENIED,
    DENIED_PREFIXES,
    DEPRECATED,
    IMMUTABLE,
    MANAGED,
    MANAGED_PREFIXES,
    PATH,
    PATH_FREE,
    PATH_REASON,
    REMOVED,
    ROLLED,
)
from cnmysql.mysql.parameter_values import AT_START, no_option, wrong_word
from cnmysql.mysql.sql import quote_string
from cnmysql.mysql.version import Version

__all__ = [
    "DENIED",
    "DENIED_PREFIXES",
    "DEPRECATED",
    "IMMUTABLE",
    "MANAGED",
    "MANAGED_PREFIXES",
    "MAX_VALUE_BYTES",
    "PATH",
    "PATH_FREE",
    "PATH_REASON",
    "PREFIXES",
    "REASONS",
    "REMOVED",
    "ROLLED",
    "SYNONYMS",
    "Change",
    "Class",
    "Finding",
    "bare",
    "base",
    "changes",
    "check_change",
    "check_parameters",
    "classify",
    "is_dynamic",
    "kind_of",
    "literal",
    "needs_roll",
    "normalise",
    "rendered",
]

MAX_VALUE_BYTES: Final = 3800
"""Option files are read by lines of 4096 bytes on older servers; the rest of a longer line would become a line."""


@dataclass(frozen=True)
class Finding:
    """One remark about one parameter. `fatal`: the whole set is refused until it is corrected."""

    kind: Class
    key: str
    message: str

    @property
    def fatal(self) -> bool:
        return self.kind in (Class.MANAGED, Class.DENIED, Class.INVALID)


_KEY = re.compile(r"^[a-z][a-z0-9_]*$")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_INTEGER = re.compile(r"^([+-]?[0-9]{1,20})([kmgtpe]?)$", re.I)
_NUMERIC = re.compile(r"^[+-]?[0-9]{1,20}(\.[0-9]{1,10})?$")
_BOOLEAN: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
_SUFFIX: Final = {letter: 1024 ** (index + 1) for index, letter in enumerate("kmgtpe")}
_TLS_VERSIONS: Final = {"tlsv1.2", "tlsv1.3"}
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


def _parse_table(table: Mapping[str, str]) -> Mapping[str, str]:
    return {name: kind for kind, found in table.items() for name in found.split()}


_DYNAMIC: Final = _parse_table(variables.DYNAMIC)
_KINDS: Final = {**_parse_table(variables.STATIC), **_DYNAMIC}


def classify(key: str, version: Version) -> Class:
    """What happens to a key on a server of this version, its value left aside."""
    return _classify(key, version)[0]


def _classify(key: str, version: Version) -> tuple[Class, str]:
    name = base(normalise(key))
    stripped = bare(name)
    if not _KEY.match(stripped):
        return Class.INVALID, "is not the name of a server variable: letters, digits and underscores"
    refused = refusal(name)
    if refused:
        return refused[0], f"is not allowed: it {refused[1]}; remove it"
    removed = REMOVED.get(name)
    if removed and version >= removed[0]:
        return Class.REMOVED, f"does not exist in MySQL {version.series} and is left out; {removed[1]}"
    if name != stripped and name not in _KINDS:
        return Class.INVALID, f"is {stripped} with a prefix; write {stripped} and the value it is to have instead"
    deprecated = DEPRECATED.get(name)
    if deprecated and version >= deprecated[0]:
        return Class.DEPRECATED, f"is deprecated in MySQL {version.series}; {deprecated[1]}"
    return Class.ALLOWED, ""


def check_parameters(params: Mapping[str, str], version: Version) -> list[Finding]:
    """Every remark about a user's parameters, by key. No fatal one: `rendered` may be used."""
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for key, value in sorted(params.items()):
        name = normalise(key)
        kind, message = _classify(key, version)
        if kind not in (Class.INVALID, Class.DENIED, Class.MANAGED):
            problem = _bad_value(name, value) if kind is not Class.REMOVED else None
            if name in seen:
                problem = f"is given twice, also as {seen[name]!r}; keep one"
            if problem:
                kind, message = Class.INVALID, problem
        seen.setdefault(name, key)
        if kind is not Class.ALLOWED:
            findings.append(Finding(kind, key, f"mysql.parameters: {key!r} {message}"))
    return findings


def check_change(old: Mapping[str, str], new: Mapping[str, str]) -> list[Finding]:
    """Parameters that cannot change once data exists."""
    before, after = ({base(key): value for key, value in _normalised(given).items()} for given in (old, new))
    return [
        Finding(
            Class.INVALID, name, f"mysql.parameters: {name!r} cannot change after initialisation; restore its value"
        )
        for name in sorted(IMMUTABLE)
        if before.get(name) != after.get(name)
    ]


def rendered(params: Mapping[str, str], version: Version) -> dict[str, str]:
    """The parameters that reach my.cnf, normalised and sorted. Raises ValueError when one is refused."""
    fatal = [finding.message for finding in check_parameters(params, version) if finding.fatal]
    if fatal:
        raise ValueError("; ".join(fatal))
    return {k: v for k, v in sorted(_normalised(params).items()) if classify(k, version) is not Class.REMOVED}


def _normalised(params: Mapping[str, str]) -> dict[str, str]:
    return {normalise(key): value.strip() for key, value in params.items()}


def _bad_value(name: str, value: str) -> str | None:
    if _CONTROL.search(value):
        return "has a line break or control character in its value; remove it"
    try:
        if len(value.encode()) > MAX_VALUE_BYTES:
            return f"has a value of more than {MAX_VALUE_BYTES} bytes; shorten it"
    except UnicodeEncodeError:
        return "has a value that is not valid Unicode text"
    if base(name) == "tls_version" and not {v.strip().lower() for v in value.split(",")} <= _TLS_VERSIONS:
        return "has a value that allows less than TLS 1.2, or nothing; write TLSv1.2,TLSv1.3 or one of them"
    if base(name) in PATH_FREE and not all(_FILE_NAME.fullmatch(v.split(":")[0].strip()) for v in value.split(";")):
        return "has a value that names a path; write file names of letters, digits and underscores, as in ibdata1:12M"
    try:
        literal(name, value)
    except ValueError as error:
        return str(error)
    return no_option(name) or wrong_word(base(name), value)


# --- values


def kind_of(key: str) -> str | None:
    """Type of a variable (boolean, integer, numeric, enumeration, set, string), None when we do not know it."""
    return _KINDS.get(base(normalise(key)))


def is_dynamic(key: str, version: Version) -> bool:
    """Whether a change applies without a restart. False for what we do not know: a roll is always right."""
    name = normalise(key)
    return version.series == variables.SERIES and name in _DYNAMIC and name not in ROLLED | AT_START


def literal(key: str, value: str) -> str:
    """The value as SET GLOBAL takes it: numbers bare with suffixes expanded (quoted ones are error 1232), else quoted.

    Raises ValueError, with what to write instead, for a value that mysqld would silently read as another one.
    """
    value = value.strip()
    kind = kind_of(key)
    if kind == "boolean":
        if value.lower() not in _BOOLEAN:
            raise ValueError(f"has the value {value!r}, which mysqld reads as OFF; write ON or OFF")
        return "ON" if _BOOLEAN[value.lower()] else "OFF"
    if kind == "integer":
        match = _INTEGER.match(value)
        if match is None:
            raise ValueError(
                f"has the value {value!r}, which is no number mysqld reads whole; write digits and at most one of "
                "K, M, G, T, P, E (powers of 1024)"
            )
        return str(int(match[1]) * _SUFFIX.get(match[2].lower(), 1))
    if kind == "numeric":
        if not _NUMERIC.match(value):
            raise ValueError(f"has the value {value!r}, which is not a decimal number; write for example 0.5")
        return value
    if kind in ("enumeration", "set") and value.isascii() and value.isdigit():
        return value
    return quote_string(value)


# --- changes


@dataclass(frozen=True)
class Change:
    """A setting that differs. `value` None: the line is gone, the server's default applies."""

    key: str
    value: str | None


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    """What a new set of settings changes, by key; values that differ only in blanks are equal."""
    before, after = _normalised(old), _normalised(new)
    return tuple(
        Change(key, after.get(key)) for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)
    )


def needs_roll(old: Mapping[str, str], new: Mapping[str, str], version: Version) -> tuple[str, ...]:
    """Keys whose change only a restart applies; empty when everything applies live."""
    return tuple(change.key for change in changes(old, new) if not is_dynamic(change.key, version))
