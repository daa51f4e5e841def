"""What `up` was asked for, kept beside the bed, so that later verbs and a repeated `up` speak of the same bed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tests.bed import shell
from tests.bed.config import BedError, Node, Paths


@dataclass(frozen=True)
class Facts:
    """The Kubernetes series and the number of nodes of the present bed, and the boot of the machine it began in."""

    kubernetes: str
    nodes: int
    boot: str


def read(paths: Paths) -> Facts | None:
    """None when there is no bed."""
    try:
        return Facts(**json.loads(paths.facts.read_text()))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError) as broken:
        raise BedError(f"{paths.facts} cannot be read; `python -m tests.bed down` clears it") from broken


def write(paths: Paths, facts: Facts) -> None:
    shell.write(paths.facts, json.dumps(asdict(facts)))


def make_nodes(paths: Paths, count: int) -> list[Node]:
    return [Node(number, paths) for number in range(1, count + 1)]


def nodes_of(paths: Paths) -> list[Node]:
    """The nodes of the present bed. Raises BedError when there is none."""
    facts = read(paths)
    if facts is None:
        raise BedError("there is no bed here; `python -m tests.bed up` makes one")
    return make_nodes(paths, facts.nodes)
