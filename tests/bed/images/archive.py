"""OCI image archives written by hand: uncompressed layers, any number of references, no daemon.

`ctr images import` reads them: every reference is one entry of index.json that points at the same manifest,
so a second tag costs nothing. The format is the OCI image layout 1.0 (image-spec, image-layout.md); the
reference is in the annotation containerd looks for.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FILE = "image.tar"
# Part of the cache key of every archive: bump when the bytes written for the same input change.
FORMAT = "oci-2"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Config:
    """What a container runtime reads from an image besides its files."""

    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuiltImage:
    """An archive on disk, the references in it and the digest of the manifest they all name."""

    tar: Path
    names: tuple[str, ...]
    digest: str


def write_image(root: Path, target: Path, names: tuple[str, ...], config: Config) -> None:
    """Write the tree `root` as an image archive. The same tree gives the same bytes."""
    layer = target.with_suffix(".layer")
    subprocess.run(
        ["tar", "-c", "--sort=name", "--mtime=@0", "--numeric-owner", "--format=gnu", "-f", layer, "-C", root, "."],
        check=True,
    )
    digest = _digest_of_file(layer)
    with layer.open("rb") as content:
        _write(target, names, _json(_config_document(config, digest)), [(digest, layer.stat().st_size, content)])
    layer.unlink()


def convert_docker_archive(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Write an archive of one image made by `docker save` or buildah's `docker-archive:` in our format.

    The layers are taken over uncompressed: packing and unpacking them on every node costs more than reading.
    """
    with tarfile.open(source) as archive:
        [image] = json.loads(_member(archive, "manifest.json"))
        config = _member(archive, image["Config"])
        digests = json.loads(config)["rootfs"]["diff_ids"]
        layers = [
            (digest, archive.getmember(name).size, _open(archive, name))
            for digest, name in zip(digests, image["Layers"], strict=True)
        ]
        _write(target, names, config, layers)


def _write(target: Path, names: tuple[str, ...], config: bytes, layers: list[tuple[str, int, IO[bytes]]]) -> None:
    """Write the archive: layout, index, configuration, manifest and layers given as (digest, size, content)."""
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}
                for digest, size, _ in layers
            ],
        }
    )
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**entry, "annotations": _annotations(name)} for name in names],
    }
    with tarfile.open(target, "w") as tar:
        _add(tar, "oci-layout", io.BytesIO(_json({"imageLayoutVersion": "1.0.0"})))
        _add(tar, "index.json", io.BytesIO(_json(index)))
        for blob in (config, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", io.BytesIO(blob))
        for digest, size, content in layers:
            _add(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}", content, size)


def read_built(tar: Path) -> BuiltImage:
    """The references and the manifest digest of an OCI archive. Raises KeyError when it is none."""
    with tarfile.open(tar) as archive:
        manifests = json.loads(_member(archive, "index.json"))["manifests"]
    names = tuple(entry["annotations"]["io.containerd.image.name"] for entry in manifests)
    return BuiltImage(tar, names, manifests[0]["digest"])


def unpack(tar: Path, root: Path) -> None:
    """Unpack the layers of an OCI archive into the directory `root`, the way a container would see them.

    Deletions in upper layers are not applied: our images have none.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar) as archive:
        manifest = json.loads(_blob(archive, json.loads(_member(archive, "index.json"))["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(_blob(archive, layer["digest"]))) as content:
                content.extractall(root, filter="fully_trusted")


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    handle = archive.extractfile(name)
    if handle is None:
        raise KeyError(f"{name} is not a file of the archive")
    return handle


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    return _open(archive, name).read()


def _blob(archive: tarfile.TarFile, digest: str) -> bytes:
    return _member(archive, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _config_document(config: Config, layer_digest: str) -> dict[str, object]:
    return {
        "architecture": ARCHITECTURES[subprocess.check_output(["uname", "-m"], text=True).strip()],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": list(config.command),
            "Env": list(config.environment),
            "ExposedPorts": {port: {} for port in config.ports},
            "Volumes": {volume: {} for volume in config.volumes},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }


def _annotations(name: str) -> dict[str, str]:
    return {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int | None = None) -> None:
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, io.SEEK_END) if size is None else size
    content.seek(0)
    tar.addfile(info, content)


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
