"""What an answer of the API server means: pure mapping from status code, headers and body to our errors.

The meaning of codes and of `Status.reason` is that of k8s.io/apimachinery/pkg/api/errors. An error message never
carries more than the server's own short message: the body of a refused request may hold a Secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cnmysql.errors import (
    AlreadyExists,
    CnmysqlError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Transient,
)
from cnmysql.kube.wire import Json, decode

_MESSAGE_LIMIT: Final = 1000
_BY_CODE: Final[Mapping[int, type[CnmysqlError]]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    406: Invalid,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


def parse(what: str, raw: bytes) -> Json:
    """The JSON object of a successful answer. Transient when it is not JSON: something else than the server spoke."""
    if not raw:
        return {}
    try:
        return decode(raw)
    except ValueError as error:
        raise Transient(f"{what}: the answer is not a JSON object") from error


def failure(what: str, code: int, headers: Mapping[str, str], raw: bytes) -> CnmysqlError:
    """The error for an answer whose status is not 2xx. `what` names the request (verb and path, no body)."""
    try:
        status = decode(raw)
    except ValueError:
        status = {"message": raw[:200].decode(errors="replace").strip()}
    return status_error(what, {**status, "code": code}, retry_after=_seconds(headers.get("Retry-After")))


def status_error(what: str, status: Json, *, retry_after: float | None = None) -> CnmysqlError:
    """The error for a Status object, which also is what an ERROR event of a watch carries."""
    code = status.get("code")
    code = code if isinstance(code, int) else 500
    reason = str(status.get("reason") or "")
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    if retry_after is None:
        retry_after = _seconds(details.get("retryAfterSeconds"))
    message = f"{what}: {code} {reason}: {_explain(what, status, details)}"
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists(message)
    if reason == "Expired":
        return Gone(message)
    if code == 422 and "metadata.uid" in _fields(details):
        # How the server says of a patch that the object by this name is another one (a delete or a PUT gets a 409).
        return Conflict(message)
    return _BY_CODE.get(code, Transient)(message, retry_after=retry_after or None)


def _explain(what: str, status: Json, details: Json) -> str:
    """The server's message. For Secrets only the fields at fault: a validation message may quote their values."""
    if "/secrets" in what:
        fields = _fields(details)
        return f"refused fields: {', '.join(fields)}" if fields else "message withheld, it may quote the Secret"
    message = " ".join(str(status.get("message") or "no message").split())
    return message if len(message) <= _MESSAGE_LIMIT else message[:_MESSAGE_LIMIT] + "..."


def _fields(details: Json) -> list[str]:
    """The fields a validation error names."""
    causes = details.get("causes")
    return [str(c.get("field")) for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []


def _seconds(value: Any) -> float | None:
    """Retry-After in seconds. The HTTP date form is not used by the API server and is ignored."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 3600 else None
