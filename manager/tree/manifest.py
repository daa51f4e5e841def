"""What a runtime tree contains, as text: one line per file with its hash, permission class, size and path.

The digest of a tree is the SHA-256 of that text. Pure except for `scan`, which reads a tree.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Names at the root of an installed tree that describe it and are not part of it.
MANIFEST = "MANIFEST"
DIGEST = "DIGEST"
INSTALLING = ".installing"
DESCRIPTIONS = frozenset({MANIFEST, DIGEST, INSTALLING})


@dataclass(frozen=True, order=True)
class Entry:
    """One regular file of the tree. A tree has no links and no empty directories."""

    path: str
    executable: bool
    size: int
    sha256: str

    @property
    def mode(self) -> int:
        """The permission bits of the file: every user of the Pod may read it, none may write it but its owner."""
        return 0o755 if self.executable else 0o644


@dataclass(frozen=True)
class Difference:
    """How a directory differs from a manifest: paths that are absent, changed, or not in the manifest."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    foreign: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.foreign)

    def __str__(self) -> str:
        parts = []
        for name, paths in (("missing", self.missing), ("changed", self.changed), ("foreign", self.foreign)):
            if paths:
                more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
                parts.append(f"{name}: {', '.join(paths[:3])}{more}")
        return "; ".join(parts) or "no difference"


def render(entries: Iterable[Entry]) -> str:
    """The manifest text: `SHA256 x|- SIZE PATH` per file, sorted by path."""
    return "".join(
        f"{entry.sha256} {'x' if entry.executable else '-'} {entry.size} {entry.path}\n" for entry in sorted(entries)
    )


def parse(text: str) -> tuple[Entry, ...]:
    """The entries of a manifest text. Raises ValueError when a line is not one of `render`'s."""
    entries = []
    for line in text.splitlines():
        sha256, kind, size, path = line.split(" ", 3)
        if kind not in ("x", "-") or len(sha256) != 64 or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"not a line of a tree manifest: {line!r}")
        entries.append(Entry(path, kind == "x", int(size), sha256))
    return tuple(entries)


def digest_of(text: str) -> str:
    """The digest of the tree a manifest text describes."""
    return hashlib.sha256(text.encode()).hexdigest()


def compare(expected: Iterable[Entry], found: Iterable[Entry]) -> Difference:
    """What must change in `found` to be `expected`."""
    wanted = {entry.path: entry for entry in expected}
    present = {entry.path: entry for entry in found}
    return Difference(
        missing=tuple(sorted(wanted.keys() - present.keys())),
        changed=tuple(sorted(path for path in wanted.keys() & present.keys() if wanted[path] != present[path])),
        foreign=tuple(sorted(present.keys() - wanted.keys())),
    )


def scan(tree: Path) -> Iterator[Entry]:
    """Every file below a tree, hashed, except the descriptions at its root.

    A link or special file is reported with an impossible hash, so that it differs from any manifest.
    """
    for directory, _, files in os.walk(tree):
        for name in files:
            path = Path(directory, name)
            relative = path.relative_to(tree).as_posix()
            if relative not in DESCRIPTIONS:
                yield _entry(path, relative)


def _entry(path: Path, relative: str) -> Entry:
    status = path.lstat()
    if path.is_symlink() or not path.is_file():
        return Entry(relative, False, status.st_size, "not-a-regular-file")
    with path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    return Entry(relative, bool(status.st_mode & 0o100), status.st_size, sha256)
