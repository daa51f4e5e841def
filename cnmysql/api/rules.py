"""What a Cluster may say beyond the types of its fields: one table, decided by the API server in CEL.

A rule sits on the part of the spec it is about, never at the root: only there does the API server leave stored
objects alone whose part did not change, so that a rule tightened later cannot refuse status writes, finalizer edits
and scaling. A rule that compares with the former value first asks whether that value could be read at all.

What CEL in a CRD cannot afford or cannot see (map keys, the status) is in `admission.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cnmysql import names
from cnmysql.mysql.version import FLOOR, SERIES

Json = Mapping[str, Any]

MAX_NAME: Final = 50
NAME_PATTERN: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
TAG: Final = r":v?[0-9]{1,3}\\.[0-9]{1,3}([-_.][^/@:]*)?$"
"""CEL source of a pattern: the tag of an image that names a version, as `Version.of_image` reads it."""
_BELOW_FLOOR: Final = r"^:v?8\\.0\\.([0-9]|1[0-9]|2[01])([-_.].*)?$"


@dataclass(frozen=True)
class Case:
    """A spec to try: what differs from the smallest one. `before` makes it an update; `name` is the Cluster's."""

    spec: Json
    before: Json | None = None
    name: str = "sample"
    shows: str = ""
    """What the refusal has to contain besides the field: the value."""


@dataclass(frozen=True)
class Rule:
    """`at`: where the expression sits; `field`: what it is about, both from the root. `says`: a CEL string."""

    at: str
    field: str
    cel: str
    says: str
    remedy: str
    accept: tuple[Case, ...]
    reject: tuple[Case, ...]

    @property
    def transition(self) -> bool:
        """True when the rule compares with the former value."""
        return "oldSelf" in self.cel


def cel_string(text: str) -> str:
    """A CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_REQUEST: Final = "pvcTemplate.resources.requests.storage"


def _asks(of: str) -> str:
    """CEL: whether a storage configuration says how large the volume has to be."""
    parts = _REQUEST.split(".")
    steps = " && ".join(f"has({of}.{'.'.join(parts[: n + 1])})" for n in range(len(parts)))
    return f"(has({of}.size) || {steps})"


def _size(of: str) -> str:
    """CEL: that size. Only where `_asks` holds."""
    return f"(has({of}.size) ? {of}.size : {of}.{_REQUEST})"


_SERIES_OF_SELF: Final = f"self.find('{TAG}').find('[0-9]+\\\\.[0-9]+')"
_STORAGE_SIZE: Final = _size("self")
_OLD_SIZE: Final = _size("oldSelf")
_INITDB: Final = "spec.bootstrap.initdb"
_BACKSLASH: Final = cel_string("\\")


def _initdb(**fields: Any) -> Case:
    return Case({"bootstrap": {"initdb": fields}})


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        at="",
        field="metadata.name",
        cel=f"size(self.metadata.name) <= {MAX_NAME} && self.metadata.name.matches({cel_string(NAME_PATTERN)})",
        says="'metadata.name ' + self.metadata.name",
        remedy=f"use at most {MAX_NAME} lower-case letters, digits and dashes, a letter first and no dash last",
        accept=(Case({}, name="a"), Case({}, name="db-1"), Case({}, name="a" * MAX_NAME)),
        reject=(
            Case({}, name="a" * (MAX_NAME + 1), shows="a" * (MAX_NAME + 1)),
            Case({}, name="1db", shows="1db"),
            Case({}, name="db.main", shows="db.main"),
        ),
    ),
    Rule(
        at="spec.storage",
        field="spec.storage.size",
        cel=_asks("self"),
        says="'spec.storage.size is missing'",
        remedy="set it, for example to 10Gi, or request storage in spec.storage.pvcTemplate",
        accept=(
            Case({}),
            Case({"storage": {"size": None, "pvcTemplate": {"resources": {"requests": {"storage": "1Gi"}}}}}),
        ),
        reject=(
            Case({"storage": {"size": None}}, shows="missing"),
            Case({"storage": {"size": None, "pvcTemplate": {"accessModes": ["ReadWriteOnce"]}}}, shows="missing"),
        ),
    ),
    Rule(
        at="spec.storage",
        field="spec.storage.size",
        cel=f"!{_asks('self')} || isQuantity({_STORAGE_SIZE})"
        f" && quantity({_STORAGE_SIZE}).isGreaterThan(quantity('0'))",
        says=f"'spec.storage.size ' + {_STORAGE_SIZE} + ' is not a positive quantity'",
        remedy="write a number with a unit, for example 10Gi",
        accept=(Case({"storage": {"size": "1.5Gi"}}), Case({"storage": {"size": "1000000000"}})),
        reject=(
            Case({"storage": {"size": "10 GB"}}, shows="10 GB"),
            Case({"storage": {"size": "-1Gi"}}, shows="-1Gi"),
            Case({"storage": {"size": "lots"}}, shows="lots"),
        ),
    ),
    Rule(
        at="spec.storage",
        field="spec.storage.size",
        cel=f"!{_asks('self')} || !{_asks('oldSelf')} || !isQuantity({_OLD_SIZE}) || !isQuantity({_STORAGE_SIZE})"
        f" || quantity({_STORAGE_SIZE}).compareTo(quantity({_OLD_SIZE})) >= 0",
        says=f"'spec.storage.size ' + {_STORAGE_SIZE} + ' is smaller than ' + {_OLD_SIZE} + '; volumes cannot shrink'",
        remedy="keep the former size or ask for a larger one",
        accept=(
            Case({"storage": {"size": "2Gi"}}, before={"storage": {"size": "1Gi"}}),
            Case({"storage": {"size": "1024Mi"}}, before={"storage": {"size": "1Gi"}}),
            Case({"storage": {"size": "1Gi", "storageClass": "fast"}}, before={"storage": {"size": "1Gi"}}),
        ),
        reject=(
            Case({"storage": {"size": "1Gi"}}, before={"storage": {"size": "2Gi"}}, shows="1Gi is smaller than 2Gi"),
            Case(
                {"storage": {"size": None, "pvcTemplate": {"resources": {"requests": {"storage": "1Gi"}}}}},
                before={"storage": {"size": "2Gi"}},
                shows="1Gi is smaller than 2Gi",
            ),
        ),
    ),
    Rule(
        at="spec.imageName",
        field="spec.imageName",
        cel="self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$')",
        says="'spec.imageName ' + self + ' is not an image reference'",
        remedy=f"write registry/repository:tag, for example {names.DEFAULT_MYSQL_IMAGE}",
        accept=(
            Case({"imageName": "mysql:8.4"}),
            Case({"imageName": "localhost:5000/team/mysql:8.0.46-1"}),
            Case({"imageName": "mysql@sha256:" + "0" * 64}),
        ),
        reject=(Case({"imageName": "mysql 8.4"}, shows="mysql 8.4"), Case({"imageName": "-x"}, shows="-x")),
    ),
    Rule(
        at="spec.imageName",
        field="spec.imageName",
        cel=f"{_SERIES_OF_SELF} == '' || {_SERIES_OF_SELF} in [{', '.join(cel_string(s) for s in SERIES)}]"
        f" && !self.find('{TAG}').matches('{_BELOW_FLOOR}')",
        says="'spec.imageName ' + self + ' is not a MySQL release this operator runs'",
        remedy=f"use {FLOOR} or later of one of the series {', '.join(SERIES)}",
        accept=(
            Case({"imageName": "mysql:8.0.22"}),
            Case({"imageName": "mysql:8.0"}),
            Case({"imageName": "percona/percona-server:v8.4.3-3"}),
            Case({"imageName": "mysql:lts"}),
        ),
        reject=(
            Case({"imageName": "mysql:5.7"}, shows="mysql:5.7"),
            Case({"imageName": "mysql:8.0.21"}, shows="mysql:8.0.21"),
            Case({"imageName": "mysql:8.1.0-oracle"}, shows="mysql:8.1.0-oracle"),
        ),
    ),
    Rule(
        at=_INITDB,
        field=f"{_INITDB}.database",
        cel="self.?database.orValue('') != '' || !has(self.secret) && "
        + " && ".join(f"self.?{field}.orValue('') == ''" for field in ("owner", "characterSet", "collation")),
        says=f"'{_INITDB}.database is missing, but owner, secret, characterSet or collation is set'",
        remedy="name the application database they belong to, or remove them",
        accept=(
            _initdb(database="shop"),
            _initdb(database="shop", owner="shop", secret={"name": "shop"}, characterSet="utf8mb4"),
            Case({"bootstrap": {"initdb": {"postInitSQL": ["CREATE DATABASE x"]}}}),
        ),
        reject=(
            Case({"bootstrap": {"initdb": {"owner": "shop"}}}, shows="missing"),
            Case({"bootstrap": {"initdb": {"secret": {"name": "shop"}}}}, shows="missing"),
            Case({"bootstrap": {"initdb": {"database": "", "collation": "utf8mb4_bin"}}}, shows="missing"),
        ),
    ),
    Rule(
        at=f"{_INITDB}.database",
        field=f"{_INITDB}.database",
        cel=f"!(self.lowerAscii() in [{', '.join(cel_string(n) for n in sorted(names.RESERVED_SCHEMAS))}])",
        says=f"'{_INITDB}.database ' + self + ' is a system schema'",
        remedy="choose another name",
        accept=(_initdb(database="mysql2"),),
        reject=(
            Case({"bootstrap": {"initdb": {"database": "mysql"}}}, shows="mysql"),
            Case({"bootstrap": {"initdb": {"database": "SYS"}}}, shows="SYS"),
        ),
    ),
    Rule(
        at=f"{_INITDB}.database",
        field=f"{_INITDB}.database",
        cel=r"!self.matches('[\\x00-\\x1f\\x7f]|[^\\x{0}-\\x{ffff}]| $')",
        says=f"'{_INITDB}.database ' + self + ' cannot be a MySQL name'",
        remedy="remove control characters, characters beyond U+FFFF and the space at the end",
        accept=(_initdb(database='日本 `x` "y"'),),
        reject=(
            Case({"bootstrap": {"initdb": {"database": "shop "}}}, shows="shop "),
            Case({"bootstrap": {"initdb": {"database": "a\U0001f600"}}}, shows="a\U0001f600"),
        ),
    ),
    Rule(
        at=f"{_INITDB}.database",
        field=f"{_INITDB}.database",
        cel=f"!self.contains({_BACKSLASH})",
        says=f"'{_INITDB}.database ' + self + ' holds a backslash, which a grant on it would read as an escape'",
        remedy="choose a name without backslash",
        accept=(_initdb(database="a/b_c%"),),
        reject=(
            Case({"bootstrap": {"initdb": {"database": "a\\b"}}}, shows="a\\b"),
            Case({"bootstrap": {"initdb": {"database": "shop\\"}}}, shows="shop\\"),
        ),
    ),
    Rule(
        at=f"{_INITDB}.owner",
        field=f"{_INITDB}.owner",
        cel=f"self.lowerAscii() != 'root' && !self.lowerAscii().startsWith('mysql.')"
        f" && !self.lowerAscii().startsWith({cel_string(names.ACCOUNT_PREFIX)})",
        says=f"'{_INITDB}.owner ' + self + ' is reserved'",
        remedy=f"choose a name other than root that does not start with mysql. or {names.ACCOUNT_PREFIX}",
        accept=(_initdb(database="shop", owner="rooty"),),
        reject=tuple(
            Case({"bootstrap": {"initdb": {"database": "shop", "owner": owner}}}, shows=owner)
            for owner in ("root", "mysql.sys", "cnmysql_control")
        ),
    ),
    Rule(
        at=f"{_INITDB}.owner",
        field=f"{_INITDB}.owner",
        cel=r"!self.matches('[\\x00-\\x1f\\x7f]|[^\\x{0}-\\x{ffff}]|^ | $')",
        says=f"'{_INITDB}.owner ' + self + ' cannot be a MySQL account'",
        remedy="remove control characters, characters beyond U+FFFF and spaces at both ends",
        accept=(_initdb(database="shop", owner="o'neil@x"),),
        reject=(Case({"bootstrap": {"initdb": {"database": "shop", "owner": " x"}}}, shows=" x"),),
    ),
)
