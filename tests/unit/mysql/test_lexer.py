"""Splitting scripts into statements."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.mysql.lexer import split


def texts(script: str) -> list[str]:
    return [piece.text for piece in split(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" ;; \n ; ", []),
        ("-- only a comment", []),
        ("--", []),
        ("select 1", ["select 1"]),
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';', \"a;\", `b;`;select 2", ["select ';', \"a;\", `b;`", "select 2"]),
        ("select 'a'';b', 'c\\';d';x", ["select 'a'';b', 'c\\';d'", "x"]),
        ("select `a``;\\`; b", ["select `a``;\\`", "b"]),
        ("# c;'\nselect 1 # d;'\n, 2; x", ["select 1 # d;'\n, 2", "x"]),
        ("select 1--1; x", ["select 1--1", "x"]),
        ("select 1 -- ;'\n+ 1; x", ["select 1 -- ;'\n+ 1", "x"]),
        ("/* ; ' */ select /* ; ' */ 1; x", ["select /* ; ' */ 1", "x"]),
        ("/*!40101 SET a=';*/'; */; x", ["/*!40101 SET a=';*/'; */", "x"]),
        ("delimiter $$\nbegin; end$$\nDELIMITER ;\nselect 1;", ["begin; end", "select 1"]),
        ("delimiter //\na // b //", ["a", "b"]),
        ("delimiter x\nselect 1x select 2", ["select 1", "select 2"]),
        ("select delimiter from t; x", ["select delimiter from t", "x"]),
        ("delimiters; x", ["delimiters", "x"]),
        ("\ufeffselect 1", ["select 1"]),
        ("select 'ü;';\r\nx;\r\n", ["select 'ü;'", "x"]),
    ],
)
def test_split(script: str, expected: list[str]) -> None:
    assert texts(script) == expected


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("select 1;\nselect 'abc", "line 2: '"),
        ("select 'a\\'", "line 1: '"),
        ('"a""', 'line 1: "'),
        ("`a``", "line 1: `"),
        ("\n\n/* x", "line 3"),
        ("select 1 /*! x", "line 1"),
        ("/*! 'x*/", "line 1: '"),
        ("/*/", "line 1"),
        ("a;\ndelimiter\n", "line 2: DELIMITER"),
    ],
)
def test_unterminated(script: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        split(script)


def test_lines() -> None:
    script = "-- c\nselect 1;\n\nselect\n2; select 3"
    assert [(piece.line, piece.text) for piece in split(script)] == [(2, "select 1"), (4, "select\n2"), (5, "select 3")]


def test_pieces_do_not_print_their_text() -> None:
    assert "secret" not in repr(split("create user a identified by 'secret'"))


_parts = st.sampled_from(["'a;''b'", '"\\";"', "`;`", "/* ' ; */", "select 1", "# ;\n", "-- ;'\n", "/*! ; */", "é"])


@given(st.lists(st.lists(_parts, min_size=1, max_size=4).map(lambda p: "x " + " ".join(p)), max_size=6))
def test_joined_statements_come_apart_again(statements: list[str]) -> None:
    assert texts("\n;".join(statements)) == [statement.rstrip() for statement in statements]


@given(st.text(alphabet="'\"`;#-*/!\\ \nabdelimtr$", max_size=60))
def test_any_text_ends(script: str) -> None:
    try:
        pieces = split(script)
    except ValueError:
        return
    assert all(piece.text and piece.text in script for piece in pieces)


def test_large_scripts_take_linear_time() -> None:
    began = time.monotonic()
    assert len(split("insert into t values (1, 'a;b');\n" * 50_000)) == 50_000
    assert time.monotonic() - began < 10
