"""Carries out a plan, in order; the first failure stops the rest. The only code of the operator that writes.

Neighbours that make objects of one kind do not depend on each other and are made at the same time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, assert_never

from cnmysql import log, names
from cnmysql.errors import AlreadyExists, Conflict, NotFound, Refused, Transient
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS
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
    Plan,
    Reissue,
    Target,
)
from manager.cluster.render.lease import cleared

Json = dict[str, Any]

_ALPHABET: Final = string.ascii_letters + string.digits
_AT_ONCE: Final = 8
_PASSWORD_LENGTH: Final = 32
"""Fits SOURCE_PASSWORD, which takes at most 32 characters."""


class Recorder(Protocol):
    """Where Events go."""

    def emit(self, obj_ref: Json, reason: str, type: str, message: str, *, action: str = "") -> None: ...


def generate_password() -> str:
    """A password of letters and digits only, so that it needs no quoting anywhere."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))


@dataclass(frozen=True)
class _Work:
    """The Cluster a plan is for, and the logger that names it."""

    cluster: Json
    log: log.Logger


class Executor:
    """`leader_fresh` is asked again right before every write: this process may have stood still since it planned, and
    another one lead by now. `wrote` gets our status writes, `order` what is to be handed to instances."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        leader_fresh: Callable[[], bool],
        wrote: Callable[[Json], None],
        order: Callable[[OrderAccounts, Json], None],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._leader_fresh = leader_fresh
        self._wrote = wrote
        self._order = order
        self._log = log.get("apply")

    async def run(self, plan: Plan, cluster: Json) -> None:
        """Every action of the plan. Raises the error of the first one that fails."""
        meta, epoch = cluster["metadata"], (cluster.get("status") or {}).get("epoch", 0)
        logger = self._log.bind(cluster=meta["name"], namespace=meta["namespace"], epoch=epoch)
        for _, batch in itertools.groupby(plan.actions, _batch):
            await self._together(list(batch), _Work(cluster, logger))

    async def bury(self, namespace: str, name: str, plan: Plan) -> None:
        """What is left to do for a Cluster that is gone, if it is: a store may be behind, and one of this name that
        lives has passes of its own. Raises the error of the first action that fails.
        """
        try:
            await self._client.get_metadata(CLUSTERS, namespace, name)
        except NotFound:
            await self.run(plan, {"metadata": {"namespace": namespace, "name": name}})

    async def _together(self, actions: list[Action], work: _Work) -> None:
        """All of one batch, a few at a time; when some fail, the others are still seen through."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def bounded(action: Action) -> None:
            async with limit:
                await self._one(action, work)

        results = await asyncio.gather(*(bounded(action) for action in actions), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _one(self, action: Action, work: _Work) -> None:
        match action:
            case Apply():
                await self._apply(action, work)
            case CreateOnce():
                await self._create(action, work)
            case Delete():
                await self._delete(action, work)
            case PatchOwned():
                await self._patch(action, work)
            case CopyPair():
                await self._copy(action, work)
            case Reissue():
                await self._reissue(action, work)
            case ClearHold():
                await self._clear(action, work)
            case Commit():
                await self._commit(action, work)
            case PatchStatus():
                await self._status(action.patch, action.resource_version, work)
            case OrderAccounts():
                self._order(action, work.cluster)
            case Emit():
                kind = "Warning" if action.warning else "Normal"
                self._recorder.emit(work.cluster, action.reason, kind, action.message)
            case _:
                assert_never(action)

    async def _apply(self, action: Apply, work: _Work) -> None:
        target = action.target
        if action.absent:
            await self._refuse_stranger(target, work)
        await self._writer.apply(target.resource, target.namespace, target.name, dict(action.body))
        work.log.info("applied", object=str(target))

    async def _refuse_stranger(self, target: Target, work: _Work) -> None:
        """Our store does not show the object. If there is one, it must be ours and the store behind."""
        try:
            found = await self._client.get_metadata(target.resource, target.namespace, target.name)
        except NotFound:
            return
        if not _belongs(found, work.cluster):
            raise Refused(
                f"NameTaken: {target} exists and does not belong to this Cluster; delete it or rename the Cluster"
            )

    async def _create(self, action: CreateOnce, work: _Work) -> None:
        target = action.target
        body = dict(action.body)
        if action.passwords:
            fields = {key: generate_password() for key in action.passwords}
            body["stringData"] = {**body.get("stringData", {}), **fields}
        try:
            await self._writer.create(target.resource, target.namespace, body)
        except AlreadyExists:
            await self._refuse_stranger(target, work)
            return
        work.log.info("created", object=str(target))

    async def _delete(self, action: Delete, work: _Work) -> None:
        target = action.target
        try:
            if action.made_by:
                await self._refuse_others(action)
            await self._writer.delete(target.resource, target.namespace, target.name, uid=action.uid)
        except NotFound:
            return
        work.log.info("deleted", object=str(target), why=action.why)

    async def _refuse_others(self, action: Delete) -> None:
        target = action.target
        writers = await self._client.writers(target.resource, target.namespace, target.name, uid=action.uid)
        others = ", ".join(sorted(w for w in writers if not w.startswith(action.made_by)))
        if others:
            raise Refused(
                f"NameTaken: {target} was made for a former Cluster of this name and written by {others} too. "
                f"Delete it; or, to keep it, take off its label {names.LABEL_CLUSTER}"
            )

    async def _patch(self, action: PatchOwned, work: _Work) -> None:
        target = action.target
        try:
            await self._writer.merge_patch(
                target.resource, target.namespace, target.name, dict(action.patch), uid=action.uid
            )
        except NotFound:
            return  # it went meanwhile; the next pass decides about its successor
        work.log.info("patched", object=str(target), keys=_keys(action.patch))

    async def _copy(self, action: CopyPair, work: _Work) -> None:
        target = action.target
        found = await self._client.get(target.resource, target.namespace, action.source)
        if found["metadata"]["resourceVersion"] != action.revision:
            raise Conflict(f"Secret {action.source} changed since it was judged")
        data = found.get("data") or {}
        patch = {
            "metadata": {"annotations": dict.fromkeys(action.forget)},
            "data": {"tls.crt": data.get("tls.crt"), "tls.key": data.get("tls.key"), "ca.crt": None},
        }
        await self._writer.merge_patch(target.resource, target.namespace, target.name, patch)
        work.log.info("copied", object=str(target), source=action.source)

    async def _reissue(self, action: Reissue, work: _Work) -> None:
        target = action.target
        await self._writer.merge_patch(
            target.resource,
            target.namespace,
            target.name,
            {"status": dict(action.status)},
            resource_version=action.resource_version,
            subresource="status",
        )
        work.log.info("reissue asked for", object=str(target), why=action.why)

    async def _clear(self, action: ClearHold, work: _Work) -> None:
        note = json.dumps({"holder": action.holder, "proof": action.proof, "epoch": action.epoch})
        target = action.target
        await self._writer.merge_patch(
            target.resource, target.namespace, target.name, cleared(action.resource_version, note)
        )
        work.log.warning("lease cleared", object=str(target), holder=action.holder, proof=action.proof)

    async def _commit(self, action: Commit, work: _Work) -> None:
        await self._status(action.patch, action.resource_version, work)
        work.log.info("committed", why=action.why)

    @property
    def _writer(self) -> Client:
        """The client, for one write. Raises Transient without fresh leadership."""
        if not self._leader_fresh():
            raise Transient("leadership was not confirmed in the last 10 s; writing waits")
        return self._client

    async def _status(self, patch: Mapping[str, Any], resource_version: str, work: _Work) -> None:
        meta = work.cluster["metadata"]
        written = await self._writer.merge_patch(
            CLUSTERS,
            meta["namespace"],
            meta["name"],
            {"status": dict(patch)},
            resource_version=resource_version,
            uid=meta["uid"],
            subresource="status",
        )
        self._wrote(written)


def _batch(action: Action) -> object:
    """Actions with equal marks may be carried out together."""
    if isinstance(action, Apply | CreateOnce):
        return type(action), action.target.resource
    return object()


def _belongs(found: Json, cluster: Json) -> bool:
    """Owned by this very Cluster, or a volume made for it (volumes may have no owner)."""
    meta, uid = found["metadata"], cluster["metadata"]["uid"]
    owned = any(o.get("uid") == uid for o in meta.get("ownerReferences") or ())
    return owned or (meta.get("annotations") or {}).get(names.ANN_CLUSTER_UID) == uid


def _keys(patch: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in patch.items():
        found += _keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else [f"{prefix}{key}"]
    return found
