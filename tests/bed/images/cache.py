"""Build products kept outside the checkout, one directory per hash of their inputs.

A product appears under its final name only when it is complete: builders work in a sibling directory that
is renamed at the end, so a build that was killed leaves nothing that looks finished. Two processes that
want the same product wait for each other on a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Older products of the same name that are kept: a running server may still use the one before the last.
KEEP = 3


def cache_root() -> Path:
    """The cache directory: $CNMYSQL_BED_CACHE, else ~/.cache/cnmysql-bed. Created when missing."""
    configured = os.environ.get("CNMYSQL_BED_CACHE")
    root = Path(configured) if configured else Path.home() / ".cache" / "cnmysql-bed"
    root.mkdir(parents=True, exist_ok=True)
    return root


def digest_of(parts: list[str | bytes]) -> str:
    """16 hex digits that change when any part, or the boundary between two parts, changes."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return sha.hexdigest()[:16]


def digest_of_files(root: Path, files: list[Path]) -> str:
    """`digest_of` over the relative names, the executable bits and the contents of files under root."""
    parts: list[str | bytes] = []
    for path in sorted(files):
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        parts += [str(path.relative_to(root)), executable, path.read_bytes()]
    return digest_of(parts)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache lock `name` for the duration of the block; the kernel frees it if we die."""
    with (cache_root() / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def product(name: str, key: str) -> Path:
    """Where the product `name` built from inputs `key` lives, whether or not it exists."""
    return cache_root() / f"{name}-{key}"


def build_once(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The product's directory, built by `build(directory)` unless it exists already."""
    final = product(name, key)
    with locked(name):
        if not final.exists():
            _clear_leftovers(name)
            work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache_root()))
            work.chmod(0o755)
            build(work)
            work.rename(final)
        os.utime(final)
        _prune(name, final)
    return final


def _clear_leftovers(name: str) -> None:
    """Remove work directories of builds that died; the caller holds the lock, so none is alive."""
    for path in cache_root().glob(f".{name}.*"):
        if path.is_dir():
            shutil.rmtree(path)


def _prune(name: str, newest: Path) -> None:
    """Keep the KEEP most recently used products of this name."""
    length = len(f"{name}-") + 16
    found = [path for path in cache_root().glob(f"{name}-*") if len(path.name) == length and path != newest]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEEP - 1 :]:
        shutil.rmtree(path)
