"""TLS contexts that follow their files: a rotated certificate, key or CA is used by the next handshake.

Servers speak TLS 1.3 only and demand a client certificate; clients verify the server's name.
"""

from __future__ import annotations

import functools
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

_MTIME = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class TlsFiles:
    """Paths of a certificate chain, its key and the CA bundle the other side is checked against."""

    certificate: Path
    key: Path
    ca: Path

    @classmethod
    def of(cls, directory: str, ca: str) -> TlsFiles:
        """tls.crt and tls.key of a mounted kubernetes.io/tls Secret, and a CA file."""
        return cls(Path(directory, "tls.crt"), Path(directory, "tls.key"), Path(ca))

    def stamp(self) -> _MTIME:
        """Changes whenever one of the files was replaced. Raises OSError when one is missing."""
        result = []
        for path in (self.certificate, self.key, self.ca):
            status = path.stat()
            result.append((str(path), status.st_mtime_ns, status.st_ino))
        return tuple(result)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A server side that requires a client certificate of `files.ca`. Raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    # A resumed session would skip the check against a CA bundle that has changed since.
    context.num_tickets = 0
    return context


@functools.cache
def loopback_context() -> ssl.SSLContext:
    """A client side that verifies nothing: for 127.0.0.1, where nobody else can answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """A client side that shows its certificate and verifies chain and host name of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    return context


def client_context_from_pem(certificate: bytes, key: bytes, ca: bytes) -> ssl.SSLContext:
    """As `client_context`, from memory. The pair passes through an anonymous file, never a disk.

    The ssl module reads a chain only from a path; a memfd has one under /proc/self/fd.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca.decode("ascii"))
    fd = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(fd, key.rstrip() + b"\n" + certificate)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


class RotatingServerContext:
    """A front context whose handshakes run in the newest good context made from the files.

    `refresh()` is called when the files may have changed; a broken set of files leaves the last good one in
    use. A client that sends no server name gets the front context, which is replaced by `refresh` too, but
    only for its certificate: such clients are refused by `require_sni`.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = files.stamp()
        self._current = server_context(files)
        self.front = server_context(files)
        self.front.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        if name is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = self._current
        return None

    def refresh(self) -> bool:
        """Load the files again when they changed. True when a new context is in use.

        Raises OSError, ssl.SSLError or ValueError when the new files are unusable; the old context stays.
        """
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return False
        self._current = server_context(self._files)
        self._stamp = stamp
        return True
