"""The instances of the operator's world: managers that follow their roles, load certificates and report, and data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cnmysql import names
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.mycnf import file_hash
from cnmysql.pki import inspect
from cnmysql.pki.fingerprint import bundle_fingerprint
from cnmysql.pki.identity import one_line
from cnmysql.protocol.report import (
    ConfigReport,
    InstanceStatus,
    MysqldReport,
    Problem,
    ProvisioningReport,
    ReplicationReport,
    TLSReport,
)
from tests.sim.operator_api import Api, Json


@dataclass
class Data:
    """What is on a volume."""

    server_uuid: str
    executed: str = ""
    epoch: int = 0


@dataclass
class Loaded:
    """Certificates one instance works with: chains, leaf first, and what it checks others against."""

    server_ca: tuple[str, ...] = ()
    client_ca: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    replication: tuple[str, ...] = ()
    peer: tuple[str, ...] = ()
    require: str = ""

    def report(self) -> TLSReport:
        return TLSReport(
            server_ca=_bundle(self.server_ca),
            client_ca=_bundle(self.client_ca),
            server=inspect.fingerprint(self.server[0]),
            replication=inspect.fingerprint(self.replication[0]),
            peer=inspect.fingerprint(self.peer[0]),
        )


@dataclass
class Manager:
    """An instance manager in one Pod."""

    pod_uid: str
    open: bool = False
    ready: bool = False
    provisioning: str = ""
    problem: Problem | None = None
    stopping: bool = False
    tls: Loaded | None = None
    running: bool = False
    """mysqld has been started, and with it the file was good."""


@dataclass
class Instances:
    """`managers` by Pod uid, `data` by volume uid."""

    api: Api
    data: dict[str, Data] = field(default_factory=dict)
    managers: dict[str, Manager] = field(default_factory=dict)
    loads: Callable[[str, str], bool] = lambda instance, what: True
    """Whether an instance takes over changed files of this kind in this tick."""
    refuses: set[str] = field(default_factory=set)
    """Lines of a configuration that mysqld neither takes nor starts with, and flags that initdb fails by."""
    other_series: set[str] = field(default_factory=set)
    """Images that turn out to be of another series than the data."""

    def work(self, name: str, pod: Json, manager: Manager) -> None:
        """One second of an instance."""
        self._load(name, manager)
        data = self.volume(name)
        if data is None:
            self._provision(name, pod, manager)
            return
        manager.provisioning = ""
        if pod["spec"]["containers"][0]["image"] in self.other_series:
            manager.problem = Problem(reason="UpgradeRefused", message="the data is of another series")
            return
        if not manager.running:
            self._start(name, manager)
        if manager.problem is not None:
            return
        status = self.api.status
        change = status.get("roleChange")
        identity = names.holder_identity(name, manager.pod_uid)
        if change is not None and change["epoch"] >= data.epoch:
            data.epoch = change["epoch"]
        if manager.open:
            assert change is None or change["to"] == name, "an order to somebody else while open"
            data.executed = _grown(data)
            return
        ordered = change is not None and change["to"] == name and change["epoch"] >= data.epoch
        lease = self.api.lease
        holder = lease["spec"]["holderIdentity"] if lease is not None else None
        if ordered and change is not None and holder in ("", identity):
            assert GtidSet.parse(data.executed).contains(GtidSet.parse(change["requiredGTIDs"])), "opened without tail"
            self.api.hold(identity)
            self.api.write_status({"currentPrimary": name, "currentPrimaryTimestamp": "now"})
            manager.open = manager.ready = True
        elif change is None and status.get("currentPrimary") == name and holder == identity:
            manager.open = manager.ready = True
        elif status.get("currentPrimary") not in ("", None, name):
            self._replicate(data, manager)

    def close(self, name: str, manager: Manager) -> None:
        """In order: the own hold is cleared too."""
        manager.open = manager.ready = False
        lease = self.api.lease
        if lease is not None and lease["spec"]["holderIdentity"] == names.holder_identity(name, manager.pod_uid):
            self.api.hold("")

    def volume(self, name: str) -> Data | None:
        return self.data.get(self.api.objects["volumes"][name]["metadata"]["uid"])

    def _load(self, name: str, manager: Manager) -> None:
        """Take over changed files, each group when its time has come."""
        first = manager.tls is None
        tls = manager.tls = manager.tls or Loaded()
        trust = self.api.trust
        if first or self.loads(name, "trust"):
            tls.server_ca = inspect.blocks(trust[names.TRUST_SERVER_CA_KEY])
            tls.client_ca = inspect.blocks(trust[names.TRUST_CLIENT_CA_KEY])
        if first or self.loads(name, "account"):
            bound = json.loads(trust[names.TRUST_REPLICATION_KEY])
            tls.require = bound.get("require") or f"{bound['subject']}|{bound['issuer']}"
        for kind, secret in (
            ("server", names.secret_server_tls(name)),
            ("replication", names.secret_replication_tls(self.api.name)),
            ("peer", names.secret_peer_tls(name)),
        ):
            if first or self.loads(name, kind):
                setattr(tls, kind, self.api.chain(secret))

    def file(self, name: str, key: str) -> str:
        """One of an instance's two configuration files."""
        return str(self.api.objects["config_maps"][names.config_map(name)]["data"][key])

    def _start(self, name: str, manager: Manager) -> None:
        manager.running = not self._bad(self.file(name, names.CONFIG_KEY))
        problem = Problem(reason="ConfigurationInvalid", message="mysqld refused to start")
        manager.problem = None if manager.running else problem

    def _bad(self, text: str) -> list[str]:
        return [line for line in text.splitlines() if line in self.refuses]

    def _config(self, name: str) -> ConfigReport:
        live = self.file(name, names.LIVE_CONFIG_KEY)
        rejected = {line.partition(" = ")[0]: "it is refused" for line in self._bad(live)}
        return ConfigReport(file_hash=file_hash(live.encode()), applied=not rejected, rejected=rejected)

    def _primary_data(self) -> Data | None:
        primary = str(self.api.status.get("currentPrimary") or "")
        pod = self.api.objects["pods"].get(primary)
        manager = self.managers.get(pod["metadata"]["uid"]) if pod is not None else None
        return self.volume(primary) if manager is not None and manager.open else None

    def _provision(self, name: str, pod: Json, manager: Manager) -> None:
        bootstrap = pod["spec"]["initContainers"][1]["command"][2]
        claim = self.api.objects["volumes"][name]["metadata"]["uid"]
        donor = self._primary_data()
        if bootstrap == "initdb":
            assert not self.api.status.get("primaryUUIDs"), "initialised although data is known to exist"
            manager.provisioning = "initialize"
            if self.refuses & set(pod["spec"]["initContainers"][1]["command"]):
                manager.problem = Problem(reason="BootstrapFailed", message="initdb failed")
                return
            self.data[claim] = Data(f"{self._uuid()}")
        elif donor is not None and manager.provisioning == "copy":
            self.data[claim] = Data(self._uuid(), donor.executed)
        else:
            manager.provisioning = "copy" if donor is not None else "waiting"

    def _uuid(self) -> str:
        return f"00000000-0000-0000-0000-{int(self.api.next()):012d}"

    def _replicate(self, data: Data, manager: Manager) -> None:
        source = self._primary_data()
        if source is None:
            manager.ready = False
            return
        mine, theirs = GtidSet.parse(data.executed), GtidSet.parse(source.executed)
        if not theirs.contains(mine):
            manager.problem = Problem(reason="Diverged", message="has transactions of its own")
            manager.ready = False
            return
        data.executed = source.executed
        manager.ready = True

    # -- looking at them -----------------------------------------------------------------------------------------

    def report(self, instance: str) -> InstanceStatus:
        pod = self.api.objects["pods"][instance]
        manager = self.managers[pod["metadata"]["uid"]]
        data = self.volume(instance)
        provisioned = data is not None and not manager.provisioning
        return InstanceStatus(
            instance_name=instance,
            pod_uid=manager.pod_uid,
            mysqld=MysqldReport(state="running" if provisioned else "provisioning", since="now"),
            role="primary" if manager.open else "replica",
            version="9.7.4" if provisioned else None,
            is_ready=manager.ready,
            epoch=data.epoch if data is not None else 0,
            open=manager.open,
            closed=provisioned and not manager.open,
            server_uuid=data.server_uuid if provisioned and data is not None else None,
            gtid_executed=data.executed if provisioned and data is not None else None,
            received=data.executed if provisioned and data is not None else None,
            problem=manager.problem,
            replication=ReplicationReport(source_host="x", io_running=True, sql_running=True)
            if manager.ready
            else None,
            config=self._config(instance) if manager.running else None,
            provisioning=ProvisioningReport(mode="join", stage="copy") if manager.provisioning else None,
            tls=manager.tls.report() if provisioned and manager.tls is not None else None,
            replication_require=manager.tls.require if provisioned and manager.tls is not None else None,
        )

    def check_connections(self) -> None:
        """The operator and everybody can connect to everybody, with what each has loaded now."""
        server_ca = inspect.blocks(self.api.trust[names.TRUST_SERVER_CA_KEY])
        operator = self.api.chain(names.secret_client_tls(self.api.name))
        running = [m.tls for m in self.managers.values() if m.tls is not None]
        for one in running:
            assert inspect.trusted(one.server, server_ca), "operator to server"
            assert inspect.trusted(operator, one.client_ca), "operator is refused"
            for other in running:
                assert inspect.trusted(one.server, other.server_ca), "a server is not trusted"
                assert inspect.trusted(other.peer, one.client_ca), "a peer is refused"
                assert inspect.trusted(other.replication, one.client_ca), "replication is refused"
                assert one.require in ("x509", _names(other.replication[0])), "replication has another name"


@cache
def _bundle(found: tuple[str, ...]) -> str:
    return bundle_fingerprint(inspect.joined(found).encode())


def _names(block: str) -> str:
    certificate = inspect.parsed(block)
    assert certificate is not None
    return f"{one_line(certificate.subject)}|{one_line(certificate.issuer)}"


def _grown(data: Data) -> str:
    own = GtidSet.parse(data.executed).only([data.server_uuid])
    return str(GtidSet.parse(data.executed) | GtidSet.parse(f"{data.server_uuid}:1-{own.count + 1}"))
