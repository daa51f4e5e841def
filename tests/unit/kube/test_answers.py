"""Codes and reasons to errors, and what their messages may say."""

from __future__ import annotations

import pytest

from cnmysql.errors import AlreadyExists, CnmysqlError, Conflict, Forbidden, Gone, Invalid, NotFound, Transient
from cnmysql.kube.answers import failure, parse
from cnmysql.kube.wire import encode


def status(code: int, reason: str = "", message: str = "no", **details: object) -> bytes:
    return encode({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Transient),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", Invalid),
        (406, "NotAcceptable", Invalid),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (410, "Gone", Gone),
        (413, "RequestEntityTooLarge", Invalid),
        (415, "UnsupportedMediaType", Invalid),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", Transient),
        (500, "InternalError", Transient),
        (503, "ServiceUnavailable", Transient),
        (504, "Timeout", Transient),
        (302, "", Transient),
    ],
)
def test_each_refusal_is_its_error(code: int, reason: str, kind: type[CnmysqlError]) -> None:
    error = failure("GET /x", code, {}, status(code, reason))
    assert type(error) is kind
    assert f"{code} {reason}" in error.message


def test_the_http_status_wins_over_what_the_body_claims() -> None:
    assert type(failure("GET /x", 503, {}, status(404, "NotFound"))) is Transient


def test_a_patch_of_a_namesake_is_a_conflict() -> None:
    """As a real server (1.37) answers a merge patch that carries another uid."""
    causes = [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}]
    assert type(failure("PATCH /x", 422, {}, status(422, "Invalid", "metadata.uid", causes=causes))) is Conflict
    causes = [{"reason": "FieldValueInvalid", "field": "spec.uid"}]
    assert type(failure("PATCH /x", 422, {}, status(422, "Invalid", "metadata.uid", causes=causes))) is Invalid


def test_text_instead_of_a_status_is_shown_shortly() -> None:
    error = failure("GET /x", 503, {}, b"<html>\n bad \xff gateway" + b"x" * 5000)
    assert type(error) is Transient
    assert len(error.message) < 300
    assert "\n" not in error.message


def test_retry_after_from_header_or_details() -> None:
    assert failure("GET /x", 429, {"Retry-After": "7"}, b"").retry_after == 7
    assert failure("GET /x", 429, {}, status(429, "TooManyRequests", retryAfterSeconds=3)).retry_after == 3
    assert failure("GET /x", 429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"").retry_after is None
    assert failure("GET /x", 429, {"Retry-After": "-1"}, b"").retry_after is None


def test_a_message_is_cut() -> None:
    assert len(failure("GET /x", 422, {}, status(422, "Invalid", "long " * 10_000)).message) < 1100


def test_what_was_sent_for_a_secret_is_never_quoted() -> None:
    body = status(
        422, "Invalid", 'invalid value "hunter2"', causes=[{"field": "data[password]", "message": "value hunter2"}]
    )
    message = failure("PUT /api/v1/namespaces/ns/secrets/s", 422, {}, body).message
    assert "hunter2" not in message
    assert "data[password]" in message
    text = failure("PUT /api/v1/namespaces/ns/secrets/s", 400, {}, b"cannot decode hunter2").message
    assert "hunter2" not in text


def test_a_good_answer_is_a_json_object_or_empty() -> None:
    assert parse("GET /x", b'{"a":1}') == {"a": 1}
    assert parse("DELETE /x", b"") == {}
    for raw in (b"<html>", b"[1]", b'{"a":'):
        with pytest.raises(Transient, match="not a JSON object"):
            parse("GET /x", raw)
