"""Small pieces of the bed: facts, mounts, certificates, written files, object paths, the command line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509

from tests.bed import addons, cli, faults, kubeapi, mounts, pki, s3, shell
from tests.bed.config import BedError, Paths, kubernetes_series
from tests.bed.facts import Facts, nodes_of, read, write


def test_facts_come_back(tmp_path: Path) -> None:
    paths = Paths(tmp_path / ".bed")
    assert read(paths) is None
    with pytest.raises(BedError, match="no bed"):
        nodes_of(paths)
    write(paths, Facts("1.37", 2, "boot"))
    assert read(paths) == Facts("1.37", 2, "boot")
    assert [node.name for node in nodes_of(paths)] == ["node-1", "node-2"]
    paths.facts.write_text("{")
    with pytest.raises(BedError, match="down"):
        read(paths)


def test_the_series_is_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BED_KUBERNETES", "1.34")
    assert kubernetes_series() == "1.34"
    monkeypatch.setenv("BED_KUBERNETES", "1.20")
    with pytest.raises(BedError, match=r"1\.37, 1\.34"):
        kubernetes_series()


def test_mounts_below_a_folder_only() -> None:
    listing = "\n".join(
        f"1 2 8:1 / {point} rw - ext4 /dev/a rw" for point in ("/bed", "/bed/a", "/bed/a/b\\040c", "/bedroom", "/")
    )
    assert mounts.parse(listing, Path("/bed")) == [Path("/bed"), Path("/bed/a"), Path("/bed/a/b c")]


def test_a_file_is_rewritten_only_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    shell.write(file, "one", mode=0o600)
    first = file.stat()
    assert stat.S_IMODE(first.st_mode) == 0o600
    shell.write(file, "one")
    assert file.stat().st_ino == first.st_ino
    shell.write(file, "two", mode=0o600)
    assert file.read_text() == "two"
    assert [each.name for each in file.parent.iterdir()] == ["file"]


def test_leaves_are_signed_and_named(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path, "ca")
    authority.issue(pki.Leaf("node", "system:node:node-1", "system:nodes", ("node-1", "10.88.0.11")))
    leaf = x509.load_pem_x509_certificate((tmp_path / "node.crt").read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.88.0.11"]
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600


def test_certificates_are_made_once(tmp_path: Path) -> None:
    def make() -> dict[str, bytes]:
        pki.Authority(tmp_path, "ca").issue(pki.Leaf("admin", "admin"))
        pki.service_account_keys(tmp_path)
        return {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    first = make()
    assert {"ca.crt", "admin.crt", "admin.key", "sa.key", "sa.pub"} <= first.keys()
    assert make() == first


def test_kubeconfig_carries_its_certificates(tmp_path: Path) -> None:
    pki.Authority(tmp_path, "ca").issue(pki.Leaf("admin", "admin"))
    document = json.loads(pki.kubeconfig(tmp_path, "admin", "https://10.88.0.1:6443"))
    assert set(document["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert document["clusters"][0]["cluster"]["server"] == "https://10.88.0.1:6443"


def test_every_addon_object_has_a_place() -> None:
    places = [kubeapi.path_of(document) for document in addons.objects()]
    assert "/api/v1/namespaces/kube-system/services/kube-dns" in places
    assert len(set(places)) == len(places)


def test_dns_forwards_nothing() -> None:
    configuration = addons.corefile(Path("/k"))
    assert "forward" not in configuration
    assert configuration.count("{") == configuration.count("}")


def test_conditions_are_true_or_not() -> None:
    document = {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Bad", "status": "False"}]}}
    assert kubeapi.condition(document, "Ready")
    assert not kubeapi.condition(document, "Bad")
    assert not kubeapi.condition({}, "Ready")


def test_s3_contract() -> None:
    lines = dict(line.split("=", 1) for line in s3.environment_file("key", "secret").splitlines())
    assert lines["S3_ACCESS_KEY_ID"] == "key"
    assert lines["S3_SECRET_ACCESS_KEY"] == "secret"
    assert s3.identities("key", "secret")["identities"][0]["credentials"][0]["accessKey"] == "key"


def test_every_wait_has_a_bound() -> None:
    with pytest.raises(BedError, match=r"the impossible: not within 0 s"):
        shell.wait_for("the impossible", lambda: False, timeout=0.01, every=0.001)


def test_a_failed_command_says_why() -> None:
    with pytest.raises(BedError, match="exit 3: because"):
        shell.run(["sh", "-c", "echo because >&2; exit 3"])
    with pytest.raises(BedError, match="not installed"):
        shell.run(["no-such-program-anywhere"])


@pytest.mark.parametrize(
    "line",
    [
        "up",
        "up --nodes 1",
        "down",
        "status",
        "load image.tar",
        "node stop 1",
        "node cut 2 --apiserver-only",
        "pod cut ns/name",
        "pod heal name",
        *(f"{part} {what}" for part, what in faults.VERBS),
    ],
)
def test_every_verb_is_understood(line: str) -> None:
    assert cli.parser().parse_args(line.split()).verb == line.split(maxsplit=1)[0]
