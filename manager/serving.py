"""What the operator serves: probes on plain HTTP, metrics on HTTPS.

Cluster-wide, the API server says who may read metrics; without a mounted certificate the server makes a self-signed
one in memory at each start, so that installing needs no certificate authority. An operator of one namespace may ask
the API server nothing about others: there callers show a certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cnmysql import log, names
from cnmysql.clock import Clock
from cnmysql.crowd import Crowd
from cnmysql.errors import CnmysqlError, Forbidden
from cnmysql.kube.client import Client
from cnmysql.listener import Handler, Listener, problem
from cnmysql.metrics import CONTENT_TYPE_LATEST, CollectorRegistry, render
from cnmysql.pki.contexts import RotatingServerContext, TlsFiles

_MOST: Final = 64
_EACH: Final = 8
"""Connections in all and of one address."""
_MAX_TOKEN: Final = 16 * 1024
_AUTH_SECONDS: Final = 60.0
_MOST_TOKENS: Final = 1024
_CERT_CHECK_SECONDS: Final = 10.0
_SELF_SIGNED_DAYS: Final = 3650
_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path, not a password
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Authorizer:
    """Asks the API server who a bearer token is and whether it may get /metrics; answers are kept for a minute."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    async def may_read_metrics(self, token: str) -> bool:
        """Raises our errors when the API server cannot be asked."""
        key = hashlib.sha256(token.encode()).hexdigest()
        now = self._clock.monotonic()
        self._known = {k: v for k, v in self._known.items() if now - v[0] < _AUTH_SECONDS}
        if key in self._known:
            return self._known[key][1]
        allowed = await self._ask(token)
        if len(self._known) < _MOST_TOKENS:
            self._known[key] = (now, allowed)
        return allowed

    async def _ask(self, token: str) -> bool:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = (await self._client.transport.request("POST", _TOKEN_REVIEWS, body=review)).get("status") or {}
        if not status.get("authenticated"):
            return False
        user = status.get("user") or {}
        access = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.get("username", ""),
                "groups": user.get("groups") or [],
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        }
        answer = await self._client.transport.request("POST", _ACCESS_REVIEWS, body=access)
        return bool((answer.get("status") or {}).get("allowed"))


def probes(ready: Callable[[], bool]) -> Handler:
    """/healthz: the event loop turns. /readyz: every informer has listed once."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/healthz" or (request.path == "/readyz" and ready()):
            return web.Response(text="ok")
        if request.path == "/readyz":
            return web.Response(status=503, text="informers are not synced")
        return problem(404, "there is no such path")

    return answer


def metrics(registry: CollectorRegistry, authorizer: Authorizer) -> Handler:
    """GET /metrics with a bearer token that may `get` the non-resource URL /metrics."""

    async def allowed(request: web.BaseRequest) -> web.Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return problem(401, "a bearer token is needed")
        try:
            if await authorizer.may_read_metrics(token.strip()):
                return None
        except Forbidden:
            return problem(403, "this operator may not review tokens")
        except CnmysqlError as error:
            return problem(503, error.message)
        return problem(403, "get on /metrics is not allowed to this account")

    return _metrics(registry, allowed)


def metrics_by_certificate(registry: CollectorRegistry) -> Handler:
    """GET /metrics for the one identity that reads them; the handshake has verified the certificate."""

    async def allowed(request: web.BaseRequest) -> web.Response | None:
        shown = request.transport.get_extra_info("peercert") if request.transport is not None else None
        common_names = [v for rdn in (shown or {}).get("subject", ()) for k, v in rdn if k == "commonName"]
        if common_names != [names.METRICS_READER_CN]:
            return problem(403, f"metrics are for the common name {names.METRICS_READER_CN}")
        return None

    return _metrics(registry, allowed)


def _metrics(
    registry: CollectorRegistry, refusal: Callable[[web.BaseRequest], Awaitable[web.Response | None]]
) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/metrics":
            return problem(404, "there is no such path")
        if request.method != "GET":
            return problem(405, "this path has another method")
        refused = await refusal(request)
        if refused is not None:
            return refused
        return web.Response(body=render(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer


async def mounted(certs: Path, clock: Clock) -> RotatingServerContext:
    """Waits until certificate, key and the callers' authority are there and usable; says once what is missing."""
    files, told = TlsFiles.of(str(certs), str(certs / "ca.crt")), False
    while True:
        try:
            return RotatingServerContext(files)
        except (OSError, ssl.SSLError) as error:
            if not told:
                log.get("serving").warning("no metrics without tls.crt, tls.key and ca.crt", error=str(error))
            told = True
        await clock.sleep(_CERT_CHECK_SECONDS)


async def follow(context: RotatingServerContext, clock: Clock) -> None:
    """Take over renewed files for the next handshakes; broken ones leave the old in use."""
    while True:
        await clock.sleep(_CERT_CHECK_SECONDS)
        try:
            context.refresh()
        except (OSError, ssl.SSLError, ValueError) as error:
            log.get("serving").warning("the metrics certificate cannot be used", error=str(error))


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Certificate and key (PEM) for this process alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def metrics_context(certs: Path | None) -> ssl.SSLContext:
    """Server side of the metrics port. Raises OSError or ssl.SSLError for a mounted pair that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certs is not None:
        context.load_cert_chain(certs / "tls.crt", certs / "tls.key")
        return context
    certificate, key = self_signed(f"{names.OPERATOR_NAME}-metrics-service")
    fd = os.memfd_create("metrics", os.MFD_CLOEXEC)
    try:
        os.write(fd, key + certificate)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


async def reload_certificates(context: ssl.SSLContext, certs: Path, clock: Clock) -> None:
    """Take over a renewed certificate for the next handshakes; a broken pair leaves the old one in use."""
    logger = log.get("serving")
    while True:
        await clock.sleep(_CERT_CHECK_SECONDS)
        try:
            await asyncio.to_thread(context.load_cert_chain, certs / "tls.crt", certs / "tls.key")
        except (OSError, ssl.SSLError) as error:
            logger.warning("the metrics certificate cannot be used", error=str(error))


async def serve(handler: Handler, port: int, context: ssl.SSLContext | None = None) -> Listener:
    """Listen on every address, bounded for each caller; `close()` of what is returned stops it."""
    listener = Listener(handler, context, strangers=Crowd(_MOST, _EACH), max_header=_MAX_TOKEN)
    await listener.start("::", port)
    return listener
