"""A world for the operator's plans: an API server, cert-manager, kubelets and instance managers, all in memory.

Time moves by `tick`. The operator acts by `operate`, which may be cut off after any action, as by a crash. What no
world may ever show (two open instances, a Pod on a foreign volume) is asserted at every tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cnmysql import names
from manager.cluster.kinds import OWNED
from manager.cluster.observe import of_former, read_spec
from manager.cluster.plan import plan
from manager.cluster.snapshot import CertManager, Objects, Report, Snapshot, record
from tests.sim.issuing import START, Issuing
from tests.sim.operator_api import Api, ConflictInWorld, Json
from tests.sim.operator_instances import Instances
from tests.sim.operator_kubelet import Kubelet

_VOLATILE = frozenset({"uid", "resourceVersion", "status", "holderIdentity", names.ANN_MOUNTED_REVISION})


class Crash(Exception):
    """The operator process ended here."""


@dataclass
class World:
    """`spec` is what the user applied first."""

    spec: Json
    name: str = "db"
    namespace: str = "shop"
    cert_manager: bool = True
    clock: float = 1000.0
    silent: set[str] = field(default_factory=set)
    """Instances the operator cannot hear."""
    issuing: Issuing = field(default_factory=Issuing)
    api: Api = field(init=False)
    instances: Instances = field(init=False)
    kubelet: Kubelet = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.spec, self.name, self.namespace)
        self.instances = Instances(self.api)
        self.kubelet = Kubelet(self.api, self.instances)

    # -- the user ------------------------------------------------------------------------------------------------

    def edit(self, **changes: Any) -> None:
        """Change the spec by a merge patch."""
        self.api.edit(changes)

    def delete_pod(self, name: str) -> None:
        pod = self.api.objects["pods"][name]
        pod["metadata"].setdefault("deletionTimestamp", "now")

    def kill_pod(self, name: str) -> None:
        """The container dies without a word and the Pod object follows: only the kubelet saw it."""
        self.kubelet.kill(name, self.clock)

    # -- the operator --------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        api = self.api
        uid = api.cluster["metadata"]["uid"]
        ours = {f: {n: o for n, o in objs.items() if not of_former(o, uid)} for f, objs in api.objects.items()}
        left = tuple((OWNED[f].kind, o) for f, objs in api.objects.items() for o in objs.values() if of_former(o, uid))
        heard = [instance for instance in ours["pods"] if self._audible(instance)]
        return Snapshot(
            now=START + timedelta(seconds=self.clock),
            clock=self.clock,
            leader_fresh=True,
            operator_image="operator:1",
            operator_namespace="cnmysql-system",
            tree_digest="f" * 64,
            cluster=api.cluster,
            spec=read_spec(api.cluster),
            record=record(self.status),
            objects=Objects(**ours),
            observations={i: Report(self.instances.report(i), self.clock) for i in heard},
            user_secrets=dict(api.user_secrets),
            cert_manager=CertManager.PRESENT if self.cert_manager else CertManager.ABSENT,
            departed=dict(self.kubelet.departed),
            leftovers=left,
        )

    def _audible(self, instance: str) -> bool:
        pod = self.api.objects["pods"][instance]
        trusted = names.trust_config_map(self.name) in self.api.objects["config_maps"]
        return pod["metadata"]["uid"] in self.instances.managers and trusted and instance not in self.silent

    def operate(self, budget: Iterator[int] | None = None) -> int:
        """One pass. Raises Crash when the budget of actions ends in the middle."""
        decided = plan(self.snapshot())
        done = 0
        for action in decided.actions:
            if budget is not None and next(budget, None) is None:
                raise Crash
            try:
                self.api.do(action)
            except ConflictInWorld:
                return done + 1
            done += 1
        return done

    # -- everybody else ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One second passes: certificates are issued, Pods start and stop, instances follow their roles."""
        self.clock += 1.0
        if self.cert_manager:
            self._issue()
        for name in list(self.api.objects["pods"]):
            self.kubelet.tend(name, self.clock)
        opened = [m for m in self.instances.managers.values() if m.open]
        assert len(opened) <= 1, "two instances are open"

    def _issue(self) -> None:
        for name, secret in self.issuing.filled(self.name, self.api.objects).items():
            self.api.objects["secrets"][name] = self.api.touched(secret)

    # -- looking at it -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Json:
        return self.api.status

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "")

    def settle(self, limit: int = 120, budget: Iterator[int] | None = None) -> None:
        """Run until nobody has anything to do. Fails when that does not happen within `limit` seconds."""
        for _ in range(limit):
            try:
                acted = self.operate(budget)
            except Crash:
                budget, acted = None, 1
            before = self._moving()
            self.tick()
            if not acted and before == self._moving():
                return
        raise AssertionError(f"not settled: {self.phase}: {self.status.get('phaseReason')}")

    def _moving(self) -> object:
        managers = {uid: (m.open, m.ready, m.provisioning, m.stopping) for uid, m in self.instances.managers.items()}
        present = {kind: set(objects) for kind, objects in self.api.objects.items()}
        return (self.api.serial, present, managers, set(self.instances.data))

    def open_instance(self) -> str:
        """The open instance, or an empty text."""
        uids = {uid for uid, m in self.instances.managers.items() if m.open}
        return next((n for n, p in self.api.objects["pods"].items() if p["metadata"]["uid"] in uids), "")

    def role_of(self, instance: str) -> str:
        return str(self.api.objects["pods"][instance]["metadata"]["labels"][names.LABEL_ROLE])

    def shape(self) -> Json:
        """All objects without what differs from run to run: uids, versions, times, generated values."""
        objects = self.api.objects
        return {kind: {name: _canonical(obj) for name, obj in sorted(objs.items())} for kind, objs in objects.items()}


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _canonical(v) for k, v in value.items() if k not in _VOLATILE}
    return [_canonical(v) for v in value] if isinstance(value, list) else value
