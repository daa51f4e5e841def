"""How rules turn a rendered object into the action that brings it about, if one is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from manager.actions import Action, Apply, CreateOnce, Target
from manager.cluster.kinds import OWNED
from manager.cluster.render.meta import Json, differs, stamp
from manager.cluster.snapshot import Snapshot


def store(s: Snapshot, field: str) -> Mapping[str, Json]:
    """Our objects of one kind."""
    objects: Mapping[str, Json] = getattr(s.objects, field)
    return objects


def target(s: Snapshot, field: str, name: str) -> Target:
    return Target(OWNED[field], s.namespace, name)


def apply_all(s: Snapshot, field: str, bodies: Iterable[Json]) -> list[Action]:
    """Server-side apply of those that differ from what is there; an object on its way out is waited for."""
    actions: list[Action] = []
    for body in bodies:
        name = body["metadata"]["name"]
        live = store(s, field).get(name)
        if live is not None and "deletionTimestamp" in live["metadata"]:
            continue
        stamped = stamp(body)
        if differs(live, stamped):
            actions.append(Apply(target(s, field, name), stamped, absent=live is None))
    return actions


def create_missing(s: Snapshot, field: str, bodies: Iterable[Json], passwords: tuple[str, ...] = ()) -> list[Action]:
    """Create those that are not there; what is there is never written."""
    present = store(s, field)
    return [
        CreateOnce(target(s, field, body["metadata"]["name"]), body, passwords)
        for body in bodies
        if body["metadata"]["name"] not in present
    ]
