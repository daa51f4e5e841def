"""The operator image: the project's own Containerfile, built by buildah on a base made from Debian packages.

The base stands for the public `python:3.13-slim`, which a machine without a container registry cannot get; it
is another layout of Python (Debian's), so the Containerfile is exercised with more than one. buildah keeps its
layers in the bed's cache, so that a change of our code repeats only the last, fast steps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from cnmysql import names
from tests.bed.images import archive, cache, debian

SUITE = "trixie"
BASE_PACKAGES = (
    "base-files",
    "base-passwd",
    "bash",
    "binutils",
    "ca-certificates",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "libc-bin",
    "python3",
    "python3-pip",
    "sed",
)
SKIPPED = ("perl", "libperl", "debconf", "libdebconfclient")
# Bump when the steps below make another base of the same packages.
BASE_RECIPE = "2"
BASE_NAME = "localhost/cnmysql-bed/python"
NAME = names.DEFAULT_OPERATOR_IMAGE
# Every change of ours leaves a few layers behind; past this many all that no image uses are dropped, and the
# next build is a slow one.
MOST_LAYERS = 200
# Where a re-signing proxy's CA is mounted during the build.
BUILD_CA = "/run/host-ca.crt"
# Everything the Containerfile copies; the image is rebuilt when one of them changes.
SOURCES = ("Containerfile", ".containerignore", "requirements.lock", "cnmysql", "instance", "manager")
REPOSITORY = Path(__file__).resolve().parents[3]


def image(repository: Path = REPOSITORY) -> archive.BuiltImage:
    """The operator image for the sources as they are now, built when there is none for them."""
    _need_buildah()
    found = debian.resolve(SUITE, BASE_PACKAGES)
    base_key = cache.digest_of([found.key(), BASE_RECIPE, *SKIPPED])
    key = cache.digest_of([source_key(repository), base_key, archive.FORMAT])

    def build(work: Path) -> None:
        with cache.locked("buildah"):
            base = _base(found, base_key)
            _build(repository, base, work)

    directory = cache.build_once("operator-image", key, build)
    return archive.read_built(directory / archive.FILE)


def source_key(repository: Path) -> str:
    """A hash over everything that goes into the image from the checkout."""
    files: list[Path] = []
    for name in SOURCES:
        path = repository / name
        files += [path] if path.is_file() else [found for found in path.rglob("*") if _is_source(found)]
    return cache.digest_of_files(repository, files)


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def _base(found: debian.Resolution, key: str) -> str:
    """The base image in buildah's storage; its tag is the hash of its packages."""
    name = f"{BASE_NAME}:{key}"
    if subprocess.run([*_buildah(), "inspect", "--type", "image", name], capture_output=True, check=False).returncode:
        work = cache.cache_root() / ".operator-base"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o755)
        debian.unpack(found, work, skip=SKIPPED)
        debian.finish(work, {})
        _trust_public_authorities(work)
        container = _run("from", "scratch").strip()
        _run("add", "--quiet", container, str(work), "/")
        _run("commit", "--quiet", "--rm", container, name)
        shutil.rmtree(work)
    return name


def _trust_public_authorities(root: Path) -> None:
    """What update-ca-certificates would write: Debian's pip reads it even when told of another bundle."""
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_bytes(b"".join(path.read_bytes() for path in authorities))


def _build(repository: Path, base: str, work: Path) -> None:
    # Containers of a build that was killed keep their layers busy.
    _run("rm", "--all")
    _run(
        "bud", "--isolation", "chroot", "--pull-never", "--layers", "--quiet",
        "--build-arg", f"BASE={base}", *_proxy_options(),
        "--file", str(repository / "Containerfile"), "--tag", NAME, str(repository),
    )  # fmt: skip
    saved = work / "saved.tar"
    _run("push", "--quiet", NAME, f"docker-archive:{saved}:{NAME}")
    archive.convert_docker_archive(saved, work / archive.FILE, (NAME,))
    saved.unlink()
    if len(_run("images", "--all", "--quiet").splitlines()) > MOST_LAYERS:
        _run("rmi", "--prune")


def _proxy_options() -> list[str]:
    """Mount the host's CA bundle for pip where TLS is re-signed, and pass on the proxy's own variables."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if not bundle:
        return []
    return ["--volume", f"{bundle}:{BUILD_CA}:ro", "--build-arg", f"PIP_CERT={BUILD_CA}"]


def _buildah() -> list[str]:
    root = cache.cache_root() / "buildah"
    # Its storage lock and mounts must be on the machine, not in a directory that outlives a reboot.
    return ["buildah", "--root", str(root), "--runroot", "/run/cnmysql-bed/buildah", "--storage-driver", "overlay"]


def _run(*arguments: str) -> str:
    run = subprocess.run([*_buildah(), *arguments], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise debian.ImageBuildError(f"buildah {arguments[0]} failed:\n{(run.stdout + run.stderr)[-4000:]}")
    return run.stdout


def _need_buildah() -> None:
    """Install buildah with apt when it is missing."""
    if shutil.which("buildah"):
        return
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "buildah"], check=False)
    if shutil.which("buildah") is None:
        raise debian.ImageBuildError("buildah is missing: apt-get install buildah")
