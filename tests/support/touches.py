"""What the event loop's thread does to files itself, where a volume that hangs would hang the loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_EVENTS: Final = frozenset(
    {"open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "shutil.rmtree"}
)
_watches: list[tuple[int, str, list[str]]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watches or event not in _EVENTS:
        return
    path = str(args[0])
    for thread, top, found in _watches:
        if threading.get_ident() == thread and path.startswith(top):
            found.append(f"{event} {path}")


@contextmanager
def touches(top: Path) -> Iterator[list[str]]:
    """What this thread opens, lists, renames or removes below `top`, as far as Python tells (PEP 578)."""
    if not _installed:
        sys.addaudithook(_hook)  # for good: there is no way to take one away
        _installed.append(True)
    found: list[str] = []
    watch = (threading.get_ident(), str(top), found)
    _watches.append(watch)
    try:
        yield found
    finally:
        _watches.remove(watch)


_installed: list[bool] = []
