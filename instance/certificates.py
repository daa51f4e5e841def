"""Which certificates and bundles this instance works with now, so that the operator need not guess.

A name stands in the report only once what was in the files has been taken over: by the control server and mysqld after
a reload, by the receiver after it was started again, by questions to peers after their client was remade.
"""

from __future__ import annotations

from cnmysql.errors import Transient
from cnmysql.pki.contexts import TlsFiles
from cnmysql.pki.fingerprint import bundle_fingerprint, certificate_fingerprint
from cnmysql.protocol.report import TLSReport

Pair = tuple[str, str]
"""Fingerprints of a certificate and of the bundle beside it."""


def read(files: TlsFiles) -> Pair:
    """Raises OSError when one is missing, ValueError when one holds no certificate."""
    return certificate_fingerprint(files.certificate.read_bytes()), bundle_fingerprint(files.ca.read_bytes())


def same(before: Pair, files: TlsFiles) -> Pair:
    """What was read before, if it is still what the files hold. Raises Transient when they changed meanwhile."""
    if read(files) != before:
        raise Transient("the files changed while they were being loaded")
    return before


class Loaded:
    """What has been taken over, by use. Empty texts: nothing yet."""

    def __init__(self) -> None:
        self._server: Pair = ("", "")
        self._replication: Pair = ("", "")
        self._peer: Pair = ("", "")
        self._coming: Pair | None = None

    def served(self, pair: Pair) -> None:
        """The control server and mysqld show this certificate and check clients against this bundle."""
        self._server = pair

    def asked(self, pair: Pair) -> None:
        """Questions to peers use these from now on."""
        self._peer = pair

    def replicating(self, pair: Pair) -> None:
        """The receiver is to connect with these."""
        self._coming = pair

    def connected(self) -> None:
        """No receiver is left that was started with former files."""
        if self._coming is not None:
            self._replication, self._coming = self._coming, None

    @property
    def report(self) -> TLSReport:
        """A server CA counts when both who connect to servers have it."""
        server_ca = self._peer[1] if self._peer[1] == self._replication[1] else ""
        return TLSReport(
            server_ca=server_ca,
            client_ca=self._server[1],
            server=self._server[0],
            replication=self._replication[0],
            peer=self._peer[0],
        )
