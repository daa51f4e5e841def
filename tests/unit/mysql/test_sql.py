"""Quoting and the statement value; what the server makes of it is in tests/mysql/test_sql.py."""

from __future__ import annotations

import pytest

from cnmysql.log import Secret
from cnmysql.mysql.sql import (
    Statement,
    quote_account,
    quote_identifier,
    quote_schema_target,
    quote_secret,
    quote_set,
    quote_string,
)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("", "''"), ("a'b", "'a''b'"), ("a\\", "'a\\\\'"), ("\\'", "'\\\\'''"), ('"`\n%', "'\"`\n%'")],
)
def test_strings(value: str, quoted: str) -> None:
    assert quote_string(value) == quoted
    assert quote_secret(Secret(value)) == quoted


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800"])
def test_strings_refuse(value: str) -> None:
    with pytest.raises(ValueError, match=r"must not|not valid"):
        quote_string(value)


def test_identifiers() -> None:
    assert quote_identifier("a`b") == "`a``b`"
    assert quote_identifier("x" * 64) == f"`{'x' * 64}`"


@pytest.mark.parametrize("name", ["", "x" * 65, "a ", "a\0", "a\U0001f600"])
def test_identifiers_refuse(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        quote_identifier(name)


def test_accounts() -> None:
    assert quote_account("o'x", "%") == "'o''x'@'%'"
    assert quote_account("", "localhost") == "''@'localhost'"
    for user, host in (("u" * 33, "%"), ("u", ""), ("u", "h" * 256), ("u\0", "%")):
        with pytest.raises(ValueError, match=r"has|must not"):
            quote_account(user, host)


def test_schema_targets_escape_wildcards_except_where_they_are_literal() -> None:
    assert quote_schema_target("my_app%") == "`my\\_app\\%`.*"
    assert quote_schema_target("my_app", partial_revokes=True) == "`my_app`.*"
    with pytest.raises(ValueError, match="backslash"):
        quote_schema_target("a\\b")


def test_sets() -> None:
    assert quote_set(("a", "b'")) == "('a', 'b''')"
    with pytest.raises(ValueError, match="at least one"):
        quote_set(())


def test_a_statement_does_not_show_its_secrets() -> None:
    password = Secret("it's \\ hard")
    statement = Statement(f"CREATE USER x IDENTIFIED BY {quote_secret(password)} COMMENT 'it''s'", (password,))
    for text in (repr(statement), str(statement), f"{statement}", statement.redact("near 'it's \\ hard'")):
        assert "hard" not in text
    assert statement.secret
    assert "CREATE USER x" in repr(statement)
    assert not Statement("SELECT 1").secret


def test_a_longer_secret_is_hidden_whole() -> None:
    statement = Statement("x", (Secret("abc"), Secret("abcdef")))
    assert statement.redact("1 abcdef 2 abc 3") == "1 [redacted] 2 [redacted] 3"
