"""Files and names on the data volume that are there after a crash, completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NEW_SUFFIX: Final = ".new"


def write_synced(path: Path, text: str) -> None:
    """Write a small file so that after a crash it is there completely or not at all."""
    new = path.with_name(path.name + NEW_SUFFIX)
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (fsync(2) of the directory)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(top: Path) -> None:
    """Make every file and name below `top` durable; files the server has synced itself cost nothing."""
    for directory, _, files in os.walk(top):
        for name in files:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                fd = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        sync_directory(Path(directory))
