"""Image archives: reproducible, two references for one manifest, and what load tools read from them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from tests.bed.images import archive, mysql

CONFIG = archive.Config(command=("/run",), environment=("A=1",), ports=("1/tcp",), volumes=("/data",))
NAMES = ("example.test/a:1", "example.test/a:1.2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "etc").mkdir(parents=True)
    (path / "etc" / "file").write_text("text")
    return path


def _blob(tar: Path, digest: str) -> bytes:
    with tarfile.open(tar) as file:
        handle = file.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
        assert handle is not None
        return handle.read()


def test_the_same_tree_makes_the_same_image(root: Path, tmp_path: Path) -> None:
    archive.write_image(root, tmp_path / "one.tar", NAMES, CONFIG)
    (root / "etc" / "file").touch()
    archive.write_image(root, tmp_path / "two.tar", NAMES, CONFIG)
    assert archive.read_built(tmp_path / "one.tar").digest == archive.read_built(tmp_path / "two.tar").digest


def test_both_references_name_one_manifest(root: Path, tmp_path: Path) -> None:
    tar = tmp_path / "image.tar"
    archive.write_image(root, tar, NAMES, CONFIG)
    built = archive.read_built(tar)
    assert built.names == NAMES
    manifest_blob = _blob(tar, built.digest)
    assert f"sha256:{hashlib.sha256(manifest_blob).hexdigest()}" == built.digest
    manifest: dict[str, Any] = json.loads(manifest_blob)
    config: dict[str, Any] = json.loads(_blob(tar, manifest["config"]["digest"]))
    layer = _blob(tar, manifest["layers"][0]["digest"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Cmd"] == ["/run"]
    assert config["config"]["Volumes"] == {"/data": {}}


def test_an_archive_can_be_unpacked_again(root: Path, tmp_path: Path) -> None:
    archive.write_image(root, tmp_path / "image.tar", NAMES, CONFIG)
    archive.unpack(tmp_path / "image.tar", tmp_path / "again")
    assert (tmp_path / "again" / "etc" / "file").read_text() == "text"


def test_a_docker_archive_is_taken_over_layer_by_layer(tmp_path: Path) -> None:
    def member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

    layers = []
    for number in range(2):
        with tarfile.open(tmp_path / "layer.tar", "w") as layer:
            member(layer, f"file-{number}", b"text")
        layers.append((tmp_path / "layer.tar").read_bytes())
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    with tarfile.open(tmp_path / "saved.tar", "w") as saved:
        for number, content in enumerate(layers):
            member(saved, f"{number}.tar", content)
        member(saved, "config.json", json.dumps({"rootfs": {"diff_ids": diff_ids}}).encode())
        document = [{"Config": "config.json", "Layers": ["0.tar", "1.tar"], "RepoTags": ["x:1"]}]
        member(saved, "manifest.json", json.dumps(document).encode())
    archive.convert_docker_archive(tmp_path / "saved.tar", tmp_path / "image.tar", NAMES)
    assert archive.read_built(tmp_path / "image.tar").names == NAMES
    archive.unpack(tmp_path / "image.tar", tmp_path / "root")
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"file-0", "file-1"}


def test_the_bed_carries_the_default_image() -> None:
    assert f"{mysql.REPOSITORY}:{mysql.SERIES}" == names.DEFAULT_MYSQL_IMAGE
