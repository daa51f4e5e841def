"""Copies the runtime tree into a volume: `/manager bootstrap /controller`, the init container of database Pods.

The copy may be killed at any moment, and the node may lose power. So nothing in the volume is believed: each
run hashes every file against the manifest of the image. A tree that matches is left alone; anything else is
removed and copied again, and what was copied is read back and compared before DIGEST, written last, says that
the tree is complete. That check is why the files themselves need no fsync: a node that restarts runs the init
containers again before anything starts from the volume.

The volume belongs to another user (an emptyDir is root's, opened by fsGroup): its own permissions are never
touched, and everyone in the Pod may read and execute what is in it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cnmysql.errors import Terminal, Transient
from manager.tree import TREE, manifest

# ext4 makes this one at the root of every volume.
_NOT_OURS = frozenset({"lost+found"})


def install(target: Path, tree: Path = TREE) -> bool:
    """Make `target` the tree the image carries; False when it already was.

    Raises Terminal when the image's own tree is damaged or `target` holds files that no install put there, and
    Transient when what was written does not read back, or the volume cannot be written: run it again.
    """
    text = (tree / manifest.MANIFEST).read_text()
    expected = manifest.parse(text)
    digest = manifest.digest_of(text)
    if digest != (tree / manifest.DIGEST).read_text().strip():
        raise Terminal(f"the manifest of {tree} does not have the digest it was built with: the image is damaged")
    if _is_complete(target, expected, digest):
        return False
    try:
        _clear(target)
        _copy(tree, target, expected)
    except OSError as error:
        raise Transient(f"{target} cannot be written: {error}") from error
    difference = manifest.compare(expected, manifest.scan(target))
    if difference:
        raise _damage(tree, target, expected, difference)
    _write_durably(target / manifest.MANIFEST, text)
    _write_durably(target / manifest.DIGEST, digest + "\n")
    (target / manifest.INSTALLING).unlink()
    return True


def main(arguments: Sequence[str]) -> int:
    """`bootstrap DIRECTORY`: 0 when the tree is there, 1 with the reason in the log."""
    if len(arguments) != 1:
        _say("error", "usage: /manager bootstrap DIRECTORY")
        return 2
    target = Path(arguments[0])
    try:
        copied = install(target)
    except (Terminal, Transient) as error:
        _say("error", "the runtime tree is not installed", error=str(error))
        return 1
    done = "the runtime tree is installed" if copied else "the runtime tree was there already"
    _say("info", done, directory=str(target))
    return 0


def _say(level: str, message: str, **fields: str) -> None:
    """A line as `cnmysql.log` writes it, without the libraries that takes: every database Pod starts with this."""
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line = {"ts": moment, "level": level, "msg": message, "logger": "tree", "process": "bootstrap", **fields}
    sys.stderr.write(json.dumps(line) + "\n")


def _is_complete(target: Path, expected: Sequence[manifest.Entry], digest: str) -> bool:
    try:
        if (target / manifest.DIGEST).read_text().strip() != digest:
            return False
    except FileNotFoundError:
        return False
    return not manifest.compare(expected, manifest.scan(target)) and not (target / manifest.INSTALLING).exists()


def _clear(target: Path) -> None:
    """Empty the volume, but only when an install filled it: a mistyped directory must survive."""
    target.mkdir(parents=True, exist_ok=True)
    present = {path.name for path in target.iterdir()} - _NOT_OURS
    if present and not present & manifest.DESCRIPTIONS:
        raise Terminal(f"{target} holds files that are not ours ({', '.join(sorted(present)[:3])}): left untouched")
    _write_durably(target / manifest.INSTALLING, "")
    for name in sorted(present - {manifest.INSTALLING}):
        path = target / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _copy(tree: Path, target: Path, entries: Sequence[manifest.Entry]) -> None:
    made: set[Path] = {target}
    for entry in entries:
        path = target / entry.path
        if path.parent not in made:
            _make_directories(path.parent, made)
        shutil.copyfile(tree / entry.path, path)
        path.chmod(entry.mode)


def _make_directories(directory: Path, made: set[Path]) -> None:
    """Make a directory and its parents up to the volume, all of them open for reading whatever the umask."""
    if directory in made:
        return
    _make_directories(directory.parent, made)
    directory.mkdir()
    directory.chmod(0o755)
    made.add(directory)


def _damage(
    tree: Path, target: Path, expected: Sequence[manifest.Entry], difference: manifest.Difference
) -> Terminal | Transient:
    """Which of the two is wrong: the image (nothing helps) or the copy (try again)."""
    source = manifest.compare(expected, manifest.scan(tree))
    if source:
        return Terminal(f"{tree} differs from its manifest, the image is damaged: {source}")
    return Transient(f"{target} differs from what was written to it: {difference}")


def _write_durably(path: Path, text: str) -> None:
    with path.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    path.chmod(0o644)
