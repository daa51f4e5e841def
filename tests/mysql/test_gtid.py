"""The GTID algebra against the server's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from hypothesis import given, settings

from cnmysql.mysql.gtid import GtidSet
from tests.support.mysqld import MysqldFactory
from tests.unit.mysql.gtids import UUIDS, texts

MALFORMED_GTID_SET = 1772


@pytest.fixture(scope="module")
def cursor(module_factory: MysqldFactory) -> Iterator[Any]:
    connection = module_factory.create("gtid").connect()
    yield connection.cursor()
    connection.close()


@settings(max_examples=300, deadline=None)
@given(left=texts(), right=texts())
def test_the_algebra_is_the_servers(cursor: Any, left: str, right: str) -> None:
    a, b = GtidSet.parse(left), GtidSet.parse(right)
    cursor.execute(
        "SELECT GTID_SUBSET(%s, %s), GTID_SUBTRACT(%s, %s), GTID_SUBTRACT(%s, ''), GTID_SUBTRACT(%s, '')",
        (left, right, left, right, f"{left},{right}", str(a)),
    )
    subset, rest, union, same = cursor.fetchone()
    assert bool(subset) is b.contains(a)
    assert GtidSet.parse(rest) == a - b
    assert GtidSet.parse(union) == a | b
    assert GtidSet.parse(same) == a
    # The canonical text differs from the server's by line breaks alone.
    assert union.replace("\n", "") == str(a | b)


@pytest.mark.parametrize(
    "text",
    [f"{UUIDS[0]}:0", "x:1", f"{UUIDS[0]}:{2**63 - 1}", f"{UUIDS[0]}:9t:1"],
)
def test_what_we_refuse_the_server_refuses(cursor: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"is n|names no"):
        GtidSet.parse(text)
    with pytest.raises(pymysql.err.OperationalError) as refused:
        cursor.execute("SELECT GTID_SUBTRACT(%s, '')", (text,))
    assert refused.value.args[0] == MALFORMED_GTID_SET
