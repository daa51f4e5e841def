"""`python -m tests.bed.images build [mysql] [operator]`: build what is missing, write `.bed/images.json`.

The file maps every reference to the archive that holds it and to its manifest digest:
{"docker.io/library/mysql:9.7": {"tar": "/path/image.tar", "digest": "sha256:..."}, ...}. References that share
an archive name the same image. `python -m tests.bed.images rootfs` prints where the MySQL file system is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bed.images import mysql, operator
from tests.bed.images.archive import BuiltImage
from tests.bed.images.debian import ImageBuildError

BUILDERS: dict[str, Callable[[], BuiltImage]] = {"mysql": mysql.image, "operator": operator.image}


def build(which: Sequence[str], state: Path) -> dict[str, BuiltImage]:
    """Build the named images and record them, beside those recorded earlier, in state/images.json."""
    built: dict[str, BuiltImage] = {}
    for name in which:
        started = time.monotonic()
        image = BUILDERS[name]()
        size = image.tar.stat().st_size / 1e6
        _say(f"{name}: {', '.join(image.names)} ({size:.0f} MB, {time.monotonic() - started:.1f} s)")
        built |= dict.fromkeys(image.names, image)
    record(built, state / "images.json")
    return built


def record(built: dict[str, BuiltImage], file: Path) -> None:
    """Merge the images into the record; entries whose archive is gone are dropped."""
    known = json.loads(file.read_text()) if file.exists() else {}
    known |= {name: {"tar": str(image.tar), "digest": image.digest} for name, image in built.items()}
    known = {name: entry for name, entry in known.items() if Path(entry["tar"]).exists()}
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".json.partial")
    partial.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    partial.replace(file)


def main(arguments: Sequence[str]) -> int:
    """The command line; 1 with the reason when something cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m tests.bed.images", description=__doc__)
    parser.add_argument("verb", choices=("build", "rootfs"))
    parser.add_argument("which", nargs="*", metavar="IMAGE", help="mysql, operator; all when none is named")
    options = parser.parse_args(arguments)
    if unknown := set(options.which) - set(BUILDERS):
        parser.error(f"unknown image: {', '.join(sorted(unknown))}")
    try:
        if options.verb == "rootfs":
            sys.stdout.write(f"{mysql.rootfs()}\n")
        else:
            build(options.which or list(BUILDERS), operator.REPOSITORY / ".bed")
    except ImageBuildError as error:
        _say(str(error))
        return 1
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
