"""The stored form of passwords, against what MySQL 9.7.4 stored."""

from __future__ import annotations

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import digest

SALT = "AbCdEfGhIjKlMnOpQrSt"
STORED = "$A$00A$34RRz\x1d\x1b\x19uG=%0g4\x08&E\x0cSE0oG9Ji4nZUEf4oYujy6PKy1HKOTpQGAbOBMmWUzb7C"
"""By the server, for the password n1."""


def test_what_the_server_stored_matches_its_password_and_no_other() -> None:
    assert digest.matches(Secret("n1"), STORED)
    assert not digest.matches(Secret("n2"), STORED)
    assert not digest.matches(Secret(""), STORED)


@pytest.mark.parametrize("password", ["a", "x" * 256, "pä€😀'\\\"", "0" * 32])
@pytest.mark.parametrize("rounds", [5000, 10000])
def test_what_we_make_matches(password: str, rounds: int) -> None:
    stored = digest.make(Secret(password), SALT, rounds)
    assert stored.startswith(f"$A${rounds // 1000:03X}${SALT}")
    assert password not in stored or len(password) == 1
    assert digest.matches(Secret(password), stored)
    assert not digest.matches(Secret(password + "x"), stored)


NATIVE = "*2470C0C06DEE42FD1618BBB99005ADCA2EC9D1E1"


@pytest.mark.parametrize("stored", [NATIVE, "$A$005$short", "nonsense", STORED + "x"])
def test_another_form_matches_nothing(stored: str) -> None:
    assert not digest.matches(Secret("n1"), stored)


def test_no_password_is_stored_as_nothing() -> None:
    assert digest.matches(Secret(""), "")
    assert not digest.matches(Secret("x"), "")


def test_a_salt_has_the_form_the_server_takes() -> None:
    for salt in ("short", "$" * 20, "é" * 20):
        with pytest.raises(ValueError, match="20 characters"):
            digest.make(Secret("x"), salt)
