"""Transport of the instance manager: bare aiohttp with the Pod's token and CA files, no generated client in memory."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from cnmysql import names
from cnmysql.errors import Refused, Unreachable
from cnmysql.kube.httpbase import Ask, HttpTransport, Link
from cnmysql.kube.wire import encode
from cnmysql.log import Secret

TOKEN_MAX_AGE: Final = 60.0
"""Seconds after which the token file is read again. The kubelet replaces it when 80 % of its life has passed."""
CA_CHECK_INTERVAL: Final = 10.0


class LeanTransport(HttpTransport):
    """One API server by URL, identified by a token file that is read again as it is rotated.

    Proxy variables of the environment are ignored: the API server is always reached directly from a Pod.
    """

    def __init__(self, host: str, token_file: Path, ca_file: Path) -> None:
        super().__init__()
        self.host = host.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
        self._ca = b""
        self._ca_checked = 0.0

    @classmethod
    def in_cluster(cls, environ: Mapping[str, str] = os.environ, token_dir: str = names.TOKEN_DIR) -> LeanTransport:
        """The API server of the Pod we run in. Raises Refused when the environment does not name one."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise Refused("not in a Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
        host = f"[{host}]" if ":" in host else host
        directory = Path(token_dir)
        return cls(f"https://{host}:{port}", directory / "token", directory / "ca.crt")

    def _stale(self) -> bool:
        if time.monotonic() - self._ca_checked < CA_CHECK_INTERVAL:
            return False
        self._ca_checked = time.monotonic()
        try:
            current = self._ca_file.read_bytes()
        except OSError:
            return False  # being replaced; what we have still works or fails on its own
        return current != self._ca

    async def _open(self) -> Link:
        context: ssl.SSLContext | None = None
        if self.host.startswith("https:"):
            try:
                self._ca = self._ca_file.read_bytes()
                context = ssl.create_default_context(cadata=self._ca.decode())
            except (OSError, ValueError) as error:
                raise Unreachable(f"CA file {self._ca_file} is not usable: {type(error).__name__}") from error
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._ca_checked = time.monotonic()
        return _LeanLink(self.host, self._token_file, context)


class _LeanLink(Link):
    def __init__(self, host: str, token_file: Path, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._host = host
        self._token_file = token_file
        self._token = Secret("")
        self._token_read = -TOKEN_MAX_AGE
        # limit=0: watches hold their connections for minutes and must not starve requests
        connector = aiohttp.TCPConnector(limit=0, ssl=context if context is not None else True)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)

    async def send(self, ask: Ask) -> aiohttp.ClientResponse:
        return await self._session.request(
            ask.method,
            self._host + ask.path,
            params=list(ask.query),
            data=None if ask.body is None else encode(ask.body),
            headers={**ask.headers, "Authorization": f"Bearer {self._bearer().reveal()}"},
            timeout=ask.limits,
            allow_redirects=False,
        )

    def _bearer(self) -> Secret:
        now = time.monotonic()
        if now - self._token_read >= TOKEN_MAX_AGE:
            try:
                token = self._token_file.read_text().strip()
            except OSError as error:
                raise Unreachable(f"token file {self._token_file} cannot be read: {type(error).__name__}") from error
            self._token, self._token_read = Secret(token), now
        return self._token

    async def close(self) -> None:
        await self._session.close()
