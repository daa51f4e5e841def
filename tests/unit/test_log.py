from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import log

CANARY = "c4n4ry-S3cret"
RESERVED = {"event", "level", "exc_info", "stack_info", "stacklevel", "logger", "ts", "msg", "name", "self", "extra"}


@dataclass(frozen=True)
class Login:
    user: str
    password: log.Secret


def asdict_shallow(login: Login) -> dict[str, Any]:
    return {field: getattr(login, field) for field in ("user", "password")}


def capture() -> Callable[[], None]:
    """Remember how logging is set up; the result puts it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def restore() -> None:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()

    return restore


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included, each followed by a separator."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key + "\0"
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value + "\0"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    out, restore = io.StringIO(), capture()
    log.configure("debug", stream=out, cluster="db", namespace="prod")
    yield out
    restore()


def test_a_line_is_one_json_object_with_stable_names(lines: io.StringIO) -> None:
    log.get("role").info("opened", instance="db-1", epoch=3)
    record = json.loads(lines.getvalue())
    assert record["level"] == "info"
    assert record["msg"] == "opened"
    assert record["logger"] == "role"
    assert (record["cluster"], record["namespace"], record["instance"], record["epoch"]) == ("db", "prod", "db-1", 3)
    assert record["ts"].endswith("Z")


def test_library_records_take_the_same_form(lines: io.StringIO) -> None:
    logging.getLogger("somewhere").warning("it %s", "broke")
    record = json.loads(lines.getvalue())
    assert (record["msg"], record["logger"], record["level"]) == ("it broke", "somewhere", "warning")


def test_an_exception_becomes_fields(lines: io.StringIO) -> None:
    try:
        raise ValueError(f"PASSWORD='{CANARY}' refused")
    except ValueError:
        log.get("x").exception("failed")
    record = json.loads(lines.getvalue())
    assert record["error"].startswith("ValueError")
    assert "Traceback" in record["stack"]
    assert CANARY not in lines.getvalue()


SHAPES = [
    f"CREATE USER 'a'@'%' IDENTIFIED BY '{CANARY}'",
    f"ALTER USER x IDENTIFIED WITH caching_sha2_password BY '{CANARY}' REQUIRE SSL",
    f"CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='{CANARY}', SOURCE_PORT=1",
    f"START REPLICA USER='r' PASSWORD = \"{CANARY}\"",
    f"Authorization: Bearer {CANARY}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    f"ALTER USER x IDENTIFIED BY 'new' REPLACE '{CANARY}' RETAIN CURRENT PASSWORD",
    f"SET PASSWORD FOR 'u'@'h' = '{CANARY}'",
    f"IDENTIFIED WITH 'caching_sha2_password' AS '{CANARY}' cut here: IDENTIFIED BY '{CANARY}",
    f'{{"user": "root", "password": "{CANARY}"}}',
    f"Authorization: Basic {CANARY}==",
    f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.sig",
    "CREATE USER u IDENTIFIED WITH caching_sha2_password AS 0x" + CANARY.encode().hex(),
]


@pytest.mark.parametrize("text", SHAPES)
def test_known_shapes_of_secrets_are_taken_out(text: str) -> None:
    for shown in (CANARY, CANARY.encode().hex()):
        assert shown not in log.redact_text(text)
    assert CANARY not in json.dumps(log.redact({"deep": [{"er": text}]}))


@pytest.mark.parametrize("text", [*SHAPES, f"a password of ours: {CANARY}, which this process has held"])
def test_a_secret_that_a_cut_goes_through_does_not_show(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before it gets shorter by redaction, so that it moves in front of the place where the text ends."""
    known = log._Known()
    known.add("a password of ours: " + CANARY)
    monkeypatch.setattr(log, "_known", known)
    before, between = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY----- then "
    for cut in range(len(text)):
        filling = "A" * (100 + log._BEYOND - cut - len(before + between))
        shown = log.redact_head(before + filling + between + text, 100)
        assert shown.startswith(log.REDACTED)
        for part in (CANARY, CANARY.encode().hex()):
            assert part[:4] not in shown


def test_what_stands_before_a_cut_stays() -> None:
    assert log.redact_head("x" * 5000, 2048) == "x" * 2048
    assert log.redact_head("short", 2048) == "short"
    assert (
        log.redact_head(f"error: PASSWORD='{CANARY}' " + "x" * 5000, 2048)
        == (f"error: PASSWORD={log.REDACTED} " + "x" * 5000)[: 2048 - (len(CANARY) + 2 - len(log.REDACTED))]
    )
    assert log.redact_head("failed: -----BEGIN PRIVATE KEY-----" + "A" * 9000, 2048) == f"failed: {log.REDACTED}"


@pytest.mark.parametrize(
    "length", range(len("ALTER USER u IDENTIFIED BY 'ab"), len(r"ALTER USER u IDENTIFIED BY 'ab\\\'cd'") + 1)
)
def test_a_quoted_password_may_be_cut_anywhere(length: int) -> None:
    text = r"ALTER USER u IDENTIFIED BY 'ab\\\'cd'"[:length]
    assert log.redact_text(text) == f"ALTER USER u IDENTIFIED BY {log.REDACTED}"


@given(st.text(alphabet="eyJa-._ ", max_size=60))
def test_tokens_are_found_where_they_begin(text: str) -> None:
    """As one reads it: three letters at the start of a word, then two parts at least."""
    found = re.sub(r"\beyJ[\w-]{8,}(?:\.[\w-]+\.?[\w-]*|\.?\Z)", log.REDACTED, text)
    assert log._TOKEN.sub(lambda m: m[1] + log.REDACTED, text) == found


@given(st.text(alphabet=st.characters(exclude_characters="'\\"), min_size=3))
def test_a_quoted_sql_password_never_survives(password: str) -> None:
    marked = f"<{password}>"
    assert marked not in log.redact_text(f"ALTER USER 'u'@'h' IDENTIFIED BY '{marked}'")


@pytest.mark.parametrize(
    "text",
    ["Secret mine has no key 'password', add it", "a bearer token is needed", "replace the volume", "basic settings"],
)
def test_texts_about_secrets_stay_readable(text: str) -> None:
    assert log.redact_text(text) == text


@given(st.text(min_size=1))
def test_a_secret_does_not_print(value: str) -> None:
    hidden = "<" + value + ">"
    secret = log.Secret(hidden)
    in_dataclass = Login("root", secret)
    error = ValueError("refused", secret)
    error.add_note(f"tried {secret!r}")
    for shown in (
        str(secret), repr(secret), f"{secret}", f"{secret:>20}", f"{secret!r:s}", f"{[secret]}",
        f"{ {secret: secret} }",
        "%s %r" % (secret, secret), "{0} {0!r}".format(secret), ascii(secret),  # noqa: UP031, UP032
        repr(in_dataclass), str(asdict_shallow(in_dataclass)), str(error), repr(error),
        "".join(traceback.format_exception(error)), json.dumps([secret], default=str),
        orjson.dumps({"s": secret}, default=str).decode(),
    ):  # fmt: skip
        assert hidden not in shown
        assert log.REDACTED in shown
    assert secret.reveal() == hidden


def test_locals_of_a_traceback_show_the_mark() -> None:
    def fail(password: log.Secret) -> None:
        raise ValueError(str(bool(password)))

    try:
        fail(log.Secret(CANARY))
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert CANARY not in shown


@pytest.mark.parametrize(
    "copier", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps, vars, list, bytes]
)
def test_a_secret_is_not_serialised(copier: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        copier(log.Secret(CANARY))


@given(
    value=st.text(min_size=8, max_size=40).filter(lambda v: v not in log.REDACTED),
    before=st.text(),
    after=st.text(),
    data=st.data(),
)
def test_a_value_once_held_is_found_wherever_it_stands(
    value: str, before: str, after: str, data: st.DataObject
) -> None:
    log.Secret(value)
    out, restore = io.StringIO(), capture()
    text = before + value + after
    nested: Any = data.draw(st.sampled_from([text, [text], {"a": {text: [1, text]}}, {text}, ValueError(text)]))
    try:
        log.configure("trace", stream=out)
        log.get("x").info(text, field=nested)
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.get("x").exception("failed")
        logging.getLogger("library").error("%s", text)
    finally:
        restore()
    for line in out.getvalue().split("\n")[:-1]:
        assert value not in "".join(strings(json.loads(line)))


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda k: k.isidentifier() and k not in RESERVED),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
            max_leaves=8,
        ),
    ),
    st.text(alphabet=st.characters()),
)
def test_whatever_is_logged_is_one_line_with_the_stable_fields(fields: dict[str, Any], message: str) -> None:
    out, restore = io.StringIO(), capture()
    try:
        log.configure("debug", stream=out)
        log.get("x").info(message, **fields)
    finally:
        restore()
    line, end = out.getvalue().split("\n")
    assert not end
    record = json.loads(line)
    assert list(record)[:4] == ["ts", "level", "msg", "logger"]
    assert {log.redact_text(key) for key in fields} <= set(record)


def test_what_cannot_be_written_at_all_leaves_a_line_that_says_so(lines: io.StringIO) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    loop: list[Any] = []
    loop.append(loop)
    log.get("x").info("odd", value=Odd())
    log.get("x").info("endless", value=loop)
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [r["msg"] for r in records] == ["a log line could not be written"] * 2
    assert CANARY not in lines.getvalue()


def test_libraries_are_heard_from_warning_on(lines: io.StringIO) -> None:
    log.configure("trace", stream=lines)
    logging.getLogger("kubernetes_asyncio.client.rest").debug("response body: %s", CANARY)
    logging.getLogger("httpx").info("HTTP Request")
    assert lines.getvalue() == ""


def test_values_under_secret_keys_are_taken_out(lines: io.StringIO) -> None:
    log.get("x").info("made", password=CANARY, body={"api_token": CANARY, "size": 3}, secret=log.Secret(CANARY))
    assert CANARY not in lines.getvalue()
    assert json.loads(lines.getvalue())["body"]["size"] == 3
