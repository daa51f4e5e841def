"""mysqld's output as log records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from instance.process.lines import LAST_ERRORS, MAX_LINE, MAX_WORD, Line, last_errors, parse

JSON = (
    '{ "prio" : 1, "err_code" : 67, "subsystem" : "Server", "msg" : "unknown variable \'x=1\'.", '
    '"time" : "2026-11-23T16:28:30.872527Z", "err_symbol" : "ER_UNKNOWN_VARIABLE", "label" : "Error" }'
)


def test_json_lines() -> None:
    assert parse(JSON) == Line("error", "unknown variable 'x=1'.", "MY-000067", "Server")
    assert parse(JSON.replace('"prio" : 1', '"prio" : 0')).level == "info"
    assert parse(JSON.replace('"prio" : 1', '"prio" : 2')).level == "warning"


def test_classic_lines() -> None:
    text = "2026-11-23T16:28:33.714389Z 0 [System] [MY-015018] [Server] MySQL Server Initialization - end."
    assert parse(text) == Line("info", "MySQL Server Initialization - end.", "MY-015018", "Server")
    assert parse(text.replace("System", "ERROR")).level == "error"


def test_anything_else_is_kept_as_it_is() -> None:
    assert parse("Thread pointer: 0x0\n") == Line("info", "Thread pointer: 0x0")
    assert parse("mysqld got signal 11 ;").level == "error"
    assert parse('{"prio": "x"}').message == '{"prio": "x"}'
    assert parse('{"prio":' + "[" * 100_000).level == "info"


def test_secrets_are_taken_out_and_long_lines_cut() -> None:
    assert "hunter2" not in parse("near 'IDENTIFIED BY 'hunter2''").message
    assert "hunter2" not in parse('{"prio": 1, "msg": "ALTER USER x IDENTIFIED BY \'hunter2\'"}').message
    assert len(parse("x" * 100_000).message) == MAX_LINE
    named = parse(
        '{"prio": 1, "msg": "x", "err_code": ' + "1" * 999 + ', "subsystem": "' + "PASSWORD='hunter2' " * 99 + '"}'
    )
    assert len(named.code) == len(named.subsystem) == MAX_WORD
    assert "hunter2" not in named.subsystem


@given(st.text())
def test_nothing_makes_it_fail(text: str) -> None:
    parse(text)
    parse("{" + text)


def test_the_last_errors_of_an_output() -> None:
    texts = [JSON.replace("x=1", f"x={i}") for i in range(30)] + ["nothing", ""]
    errors = last_errors(texts)
    assert len(errors) == LAST_ERRORS
    assert errors[-1] == "MY-000067 unknown variable 'x=29'."
