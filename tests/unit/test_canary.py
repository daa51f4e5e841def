"""The search for secrets: every form, in any file, and stored forms nowhere but where mysqld keeps them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import digest
from tests.support.canary import Canaries

VALUE = "h\"unter 2 \\ 'ö' $(USER)"
STORED = digest.make(Secret(VALUE), "0123456789abcdefghij")


def found(root: Path, canaries: Canaries, name: str, data: bytes) -> list[str]:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    canaries.seen.clear()
    canaries.look_in_files(root, [file, root / "gone"], "db-1")
    return canaries.seen


@pytest.mark.parametrize("before", [0, 1, 2, (1 << 22) - 9])
def test_a_value_in_a_file_is_found_in_every_form_and_across_pieces(tmp_path: Path, before: int) -> None:
    canaries = Canaries()
    canaries.add("password", VALUE)
    for form in (VALUE.encode(), VALUE.encode().hex().encode(), base64.b64encode(b"xy" + VALUE.encode())):
        assert found(tmp_path, canaries, "some file", b"\0" * before + form + b"\n"), form
    assert found(tmp_path, canaries, "some file", b"\0" * before + VALUE.encode()[:-1]) == []


def test_a_value_with_a_line_break_is_found_and_its_longest_line_is_not_enough(tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.add("password", "first\nsecond, longer line")
    assert found(tmp_path, canaries, "log", b"a first\nsecond, longer line b")
    assert found(tmp_path, canaries, "log", b"a second, longer line b") == []


def test_a_stored_form_is_at_home_in_the_files_of_innodb_alone(tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.add_stored("root@%", STORED)
    for name in ("data/mysql.ibd", "data/undo_001", "data/#innodb_redo/#ib_redo12", "data/#ib_16384_0.dblwr"):
        assert found(tmp_path, canaries, name, STORED.encode()) == [], name
    for name in ("data/binlog.000001", "data/db-1.log", "data/app/mysql.ibd.txt", ".cnmysql-accounts"):
        assert found(tmp_path, canaries, name, STORED.encode()), name
    canaries.add("password", VALUE)
    assert found(tmp_path, canaries, "data/mysql.ibd", STORED.encode() + VALUE.encode()) == [
        "password (plain) in db-1: data/mysql.ibd"
    ]


def test_a_stored_form_of_anybody_is_found_in_a_text() -> None:
    canaries = Canaries()
    canaries.look("a log", f"ALTER USER x IDENTIFIED AS '{STORED}'".encode())
    assert canaries.seen == ["a stored form in a log"]
