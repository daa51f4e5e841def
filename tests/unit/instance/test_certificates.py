"""What an instance says it has loaded: only what was taken over, and nothing that changed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmysql.errors import Transient
from cnmysql.pki.contexts import TlsFiles
from cnmysql.pki.fingerprint import bundle_fingerprint, certificate_fingerprint
from cnmysql.protocol.report import TLSReport
from instance import certificates
from instance.certificates import Loaded
from tests.support.certs import Authority


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


def files(directory: Path, ca: Authority) -> TlsFiles:
    (directory / "ca.crt").write_bytes(ca.pem)
    ca.issue("x").write(directory)
    return TlsFiles.of(str(directory), str(directory / "ca.crt"))


def test_both_names_come_from_the_files(tmp_path: Path, ca: Authority) -> None:
    found = files(tmp_path, ca)
    leaf = certificate_fingerprint(found.certificate.read_bytes())
    assert certificates.read(found) == (leaf, bundle_fingerprint(ca.pem))


def test_files_that_change_while_they_are_loaded_are_not_claimed(tmp_path: Path, ca: Authority) -> None:
    found = files(tmp_path, ca)
    before = certificates.read(found)
    assert certificates.same(before, found) == before
    ca.issue("x").write(tmp_path)
    with pytest.raises(Transient):
        certificates.same(before, found)


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_file_without_a_certificate_is_an_error(tmp_path: Path, ca: Authority, content: bytes) -> None:
    found = files(tmp_path, ca)
    found.ca.write_bytes(content)
    with pytest.raises(ValueError):
        certificates.read(found)


def test_a_certificate_of_replication_counts_once_the_receiver_has_it() -> None:
    loaded = Loaded()
    loaded.replicating(("one", "ca"))
    assert loaded.report == TLSReport()
    loaded.connected()
    loaded.replicating(("two", "ca"))
    assert loaded.report.replication == "one"
    loaded.connected()
    assert loaded.report.replication == "two"


def test_a_server_ca_counts_when_replication_and_peers_have_it() -> None:
    loaded = Loaded()
    loaded.asked(("peer", "new"))
    loaded.replicating(("repl", "old"))
    loaded.connected()
    assert loaded.report.server_ca == ""
    loaded.replicating(("repl", "new"))
    loaded.connected()
    loaded.served(("server", "clients"))
    assert loaded.report == TLSReport(
        server_ca="new", client_ca="clients", server="server", replication="repl", peer="peer"
    )
