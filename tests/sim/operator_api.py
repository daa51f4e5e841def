"""The API server of the operator's world: the objects of one Cluster, and what each action of a plan does to them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from cnmysql import names
from cnmysql.pki import inspect
from manager.actions import (
    Action,
    Apply,
    ClearHold,
    Commit,
    CopyPair,
    CreateOnce,
    Delete,
    Emit,
    OrderAccounts,
    PatchOwned,
    PatchStatus,
    Reissue,
)
from manager.cluster.kinds import OWNED
from manager.cluster.render.lease import cleared
from manager.cluster.snapshot import UserSecret
from tests.support.merge_patch import merge_patch

Json = dict[str, Any]
FIELD_OF = {resource.kind: name for name, resource in OWNED.items()}


class ConflictInWorld(Exception):
    """A precondition of a write did not hold."""


def without(target: Any, former: Any, wanted: Any) -> Any:
    """Target less what `former` had and `wanted` has no longer (what server-side apply removes)."""
    if not (isinstance(target, dict) and isinstance(former, dict) and isinstance(wanted, dict)):
        return target
    return {
        key: without(value, former.get(key), wanted.get(key))
        for key, value in target.items()
        if not (key in former and key not in wanted)
    }


@dataclass
class Api:
    """`spec` is what the user applied last, `user_secrets` what the user brought."""

    spec: Json
    name: str
    namespace: str
    serial: int = 0
    objects: dict[str, dict[str, Json]] = field(default_factory=lambda: {f: {} for f in OWNED})
    applied: dict[tuple[str, str], Json] = field(default_factory=dict)
    user_secrets: dict[str, UserSecret] = field(default_factory=dict)
    events: list[Emit] = field(default_factory=list)
    writes: int = 0
    cluster: Json = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = {
            "apiVersion": names.API_VERSION,
            "kind": "Cluster",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": f"cluster-{self.name}",
                "generation": 1,
                "resourceVersion": self.next(),
                "annotations": {},
            },
            "spec": self.spec,
            "status": {},
        }

    def next(self) -> str:
        """A number nothing had before."""
        self.serial += 1
        return str(self.serial)

    # -- what is there -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Json:
        return dict(self.cluster.get("status") or {})

    @property
    def trust(self) -> Json:
        """What the ConfigMap with the trust says."""
        data: Json = self.objects["config_maps"][names.trust_config_map(self.name)]["data"]
        return data

    @property
    def lease(self) -> Json | None:
        return self.objects["leases"].get(names.primary_lease(self.name))

    def uids(self, kind: str) -> dict[str, str]:
        """By the objects' names."""
        return {name: obj["metadata"]["uid"] for name, obj in self.objects[kind].items()}

    def chain(self, secret: str) -> tuple[str, ...]:
        """The certificates in a Secret of ours or of the user's, leaf first."""
        ours = self.objects["secrets"].get(secret)
        if ours is not None:
            return inspect.blocks(ours["data"]["tls.crt"])
        tls = self.user_secrets[secret].tls
        assert tls is not None
        return tls.certificate

    # -- what others write ---------------------------------------------------------------------------------------

    def edit(self, changes: Json) -> None:
        """Change the spec by a merge patch."""
        self.cluster = {**self.cluster, "spec": merge_patch(self.cluster["spec"], changes)}
        meta = self.cluster["metadata"]
        self.cluster["metadata"] = {**meta, "generation": meta["generation"] + 1, "resourceVersion": self.next()}

    def write_status(self, patch: Json) -> None:
        status = merge_patch(self.status, patch)
        meta = {**self.cluster["metadata"], "resourceVersion": self.next()}
        self.cluster = {**self.cluster, "status": status, "metadata": meta}

    def hold(self, holder: str) -> None:
        """Write the holder of the primary Lease."""
        lease = self.lease
        assert lease is not None
        patched = merge_patch(lease, {"spec": {"holderIdentity": holder}})
        self.objects["leases"][names.primary_lease(self.name)] = self.touched(patched)

    def touched(self, obj: Json) -> Json:
        """The object as a write leaves it."""
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": self.next()}}

    # -- what the operator does ----------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """Raises ConflictInWorld when the action was decided on something that has changed since."""
        if isinstance(action, Emit):
            self.events.append(action)
            return
        if isinstance(action, OrderAccounts):
            return  # the instances of this world report no accounts
        self.writes += 1
        if isinstance(action, Commit | PatchStatus):
            if action.resource_version != self.cluster["metadata"]["resourceVersion"]:
                raise ConflictInWorld
            self.write_status(dict(action.patch))
            return
        store = self.objects[FIELD_OF[action.target.resource.kind]]
        name = action.target.name
        match action:
            case Apply():
                self._apply(FIELD_OF[action.target.resource.kind], name, copy.deepcopy(dict(action.body)))
            case CreateOnce():
                if name not in store:
                    store[name] = self._born(copy.deepcopy(dict(action.body)), action.passwords)
            case Delete():
                if name in store and store[name]["metadata"]["uid"] == action.uid:
                    self._delete(store, name)
            case PatchOwned():
                if name in store:
                    assert store[name]["metadata"]["uid"] == action.uid
                    store[name] = self.touched(merge_patch(store[name], dict(action.patch)))
            case CopyPair():
                source = self.user_secrets[action.source]
                assert source.revision == action.revision
                assert source.tls is not None
                data = {"tls.crt": inspect.joined(source.tls.certificate), "tls.key": "copied", "ca.crt": None}
                patch = {"metadata": {"annotations": dict.fromkeys(action.forget)}, "data": data}
                store[name] = self.touched(merge_patch(store[name], patch))
            case Reissue():
                assert store[name]["metadata"]["resourceVersion"] == action.resource_version
                store[name] = self.touched(merge_patch(store[name], {"status": dict(action.status)}))
            case ClearHold():
                if store[name]["metadata"]["resourceVersion"] != action.resource_version:
                    raise ConflictInWorld
                patch = cleared(action.resource_version, action.proof)
                store[name] = self.touched(merge_patch(store[name], patch))

    def _born(self, body: Json, passwords: tuple[str, ...] = ()) -> Json:
        body["metadata"] = {**body["metadata"], "uid": f"uid-{self.next()}", "resourceVersion": self.next()}
        strings = body.pop("stringData", {})
        if strings or passwords:
            body["data"] = {**body.get("data", {}), **strings, **dict.fromkeys(passwords, "generated")}
        return body

    def _apply(self, kind: str, name: str, body: Json) -> None:
        store = self.objects[kind]
        live = store.get(name)
        if live is None:
            store[name] = self._born(copy.deepcopy(body))
        else:
            former = self.applied.get((kind, name), {})
            store[name] = self.touched(merge_patch(without(live, former, body), body))
        self.applied[kind, name] = body

    def _delete(self, store: dict[str, Json], name: str) -> None:
        if store is self.objects["pods"]:
            store[name]["metadata"].setdefault("deletionTimestamp", "now")
        else:
            del store[name]
