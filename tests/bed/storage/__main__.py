"""The provisioner: `python -m tests.bed.storage`, started and recorded by `up`.

Level-triggered: any change of a claim or a volume wakes one pass over all of them; so does half a minute without.
"""

from __future__ import annotations

import threading
import time
from typing import Never

import httpx

from tests.bed import shell
from tests.bed.config import BedError, Paths
from tests.bed.kubeapi import KubeApi, collection
from tests.bed.storage.disks import Disks
from tests.bed.storage.plan import Action, Grow, Provision, Remove, parse_quantity, plan, volume_object

_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = collection("PersistentVolume")
_RESYNC_SECONDS = 30
_RETRY_SECONDS = 1
_WATCH_SECONDS = 300


def _watch(api: KubeApi, path: str, wake: threading.Event) -> Never:
    while True:
        try:
            for _ in api.changes(path, seconds=_WATCH_SECONDS):
                wake.set()
        except httpx.HTTPError:
            # The API server is down or frozen, which is an ordinary thing here: ask again soon.
            time.sleep(_RETRY_SECONDS)


def _carry_out(api: KubeApi, disks: Disks, action: Action) -> None:
    match action:
        case Provision(volume, size):
            disks.create(volume, parse_quantity(size))
            api.create_once(_VOLUMES, volume_object(action, disks.mount_point(volume)))
        case Grow(volume, size, claim):
            disks.grow(volume, parse_quantity(size))
            capacity = {"capacity": {"storage": size}}
            api.merge(f"{_VOLUMES}/{volume}", {"spec": capacity})
            metadata = claim["metadata"]
            where = f"{collection('PersistentVolumeClaim', metadata['namespace'])}/{metadata['name']}/status"
            api.merge(where, {"status": capacity | {"conditions": []}})
        case Remove(volume):
            disks.remove(volume)
            api.delete(f"{_VOLUMES}/{volume}")


def _one_pass(api: KubeApi, disks: Disks) -> bool:
    """Does everything that is due; says whether all of it worked."""
    complete = True
    try:
        actions = list(plan(api.items(_CLAIMS), api.items(_VOLUMES)))
    except BedError as unreachable:
        shell.say(str(unreachable))
        return False
    for action in actions:
        try:
            _carry_out(api, disks, action)
            shell.say(f"{type(action).__name__} {action.volume}: done")
        except BedError as failure:
            shell.say(f"{type(action).__name__} {action.volume}: {failure}")
            complete = False
    return complete


def main() -> Never:
    paths = Paths.of_checkout()
    disks, wake = Disks(paths.volumes), threading.Event()
    with KubeApi(paths) as api:
        for path in (_CLAIMS, _VOLUMES):
            threading.Thread(target=_watch, args=(api, path, wake), daemon=True).start()
        while True:
            wake.clear()
            complete = _one_pass(api, disks)
            wake.wait(_RESYNC_SECONDS if complete else _RETRY_SECONDS)


if __name__ == "__main__":
    main()
