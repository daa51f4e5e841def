"""Images into the nodes: from OCI archives, into every node at once, and only what a node does not have yet.

For tools:  load_images([Path("mysql.tar"), Path("operator.tar")])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bed import binaries, shell
from tests.bed.config import BedError, Node, Paths
from tests.bed.facts import nodes_of
from tests.bed.images.archive import read_built


def _known(node: Node) -> dict[str, str]:
    """What was imported into the node: reference -> manifest digest. Empty when nothing was, or it is unreadable."""
    try:
        known: dict[str, str] = json.loads((node.root / "images.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known


def import_archives(node: Node, archives: Sequence[Path], ctr: Path) -> list[str]:
    """Imports into one node the archives it does not have; returns their references. containerd has to be running."""
    known = _known(node)
    imported: list[str] = []
    for archive in archives:
        built = read_built(archive)
        references = dict.fromkeys(built.names, built.digest)
        if references.items() <= known.items():
            continue
        shell.run([*_images(node, ctr), "import", "--local", archive], timeout=600)
        known |= references
        _drop_unnamed(node, ctr, set(known.values()))
        shell.write(node.root / "images.json", json.dumps(known))
        imported += built.names
    return imported


def _drop_unnamed(node: Node, ctr: Path, wanted: set[str]) -> None:
    """Forgets images that lost their name to a newer one; Pods that run them keep what they use.

    containerd's Kubernetes side keeps a second record per image, named by digest, which would hold it forever.
    """
    listing = shell.run([*_images(node, ctr), "list"])
    for reference, _, digest, *_ in (line.split() for line in listing.splitlines()[1:]):
        if reference.startswith("sha256:") and digest not in wanted:
            shell.run([*_images(node, ctr), "remove", reference])


def _images(node: Node, ctr: Path) -> list[str | Path]:
    return [ctr, "--address", node.socket, "--namespace", "k8s.io", "images"]


def load_images(archives: Sequence[Path]) -> None:
    """Imports OCI archives into every running node, the nodes in parallel; says what was new.

    Raises BedError for a missing file, or when an import fails.
    """
    for archive in archives:
        if not archive.is_file():
            raise BedError(f"{archive}: no such image archive")
    ctr = binaries.ensure(binaries.CONTAINERD) / "ctr"
    nodes = [node for node in nodes_of(Paths.of_checkout()) if node.socket.exists()]
    if not nodes:
        raise BedError("no node is running; `python -m tests.bed up` starts them")
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda node: import_archives(node, archives, ctr), nodes))
    for node, imported in zip(nodes, results, strict=True):
        shell.say(f"{node.name}: " + (f"loaded {', '.join(imported)}" if imported else "has these images already"))
