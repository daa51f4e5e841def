"""The sandbox image: one static C program, built here because no registry may be asked for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bed import shell
from tests.bed.binaries import digest
from tests.bed.config import PAUSE_IMAGE, cache_root
from tests.bed.images.archive import FORMAT, Config, write_image

_SOURCE = Path(__file__).with_name("pause.c")


def archive() -> Path:
    """The image as an OCI archive in the cache; it becomes visible only when complete."""
    inputs = {"pause.c": _SOURCE.read_bytes(), "name": PAUSE_IMAGE.encode(), "format": FORMAT.encode()}
    image = cache_root() / f"pause-{digest(inputs)}" / "pause.tar"
    if not image.exists():
        image.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=image.parent) as work:
            root = Path(work) / "root"
            root.mkdir()
            root.chmod(0o755)
            shell.run(["gcc", "-Os", "-static", "-o", root / "pause", _SOURCE])
            write_image(root, Path(work) / "pause.tar", (PAUSE_IMAGE,), Config(command=("/pause",)))
            (Path(work) / "pause.tar").rename(image)
    return image
