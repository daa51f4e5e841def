"""One Cluster as a test sees it: its objects, its servers, and the conditions worth waiting for."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pymysql

from cnmysql import names
from tests.support import processes, sql
from tests.support.kube import Json, Kube, TimedOut, eventually, ready

_CONTROL = (
    "MYSQL_PWD=$(cat /etc/cnmysql/credentials/control/password) "
    'exec mysql --no-defaults -u cnmysql_control -S /var/run/mysqld/mysqld.sock --batch --skip-column-names -e "$1"'
)


_BY_SOCKET = 'MYSQL_PWD="$2" exec mysql --no-defaults -u "$1" -S /var/run/mysqld/mysqld.sock -BNe "DO 1"'
_DENIED = "1045"


@dataclass
class Cluster:
    kube: Kube
    ns: str
    name: str
    _app: sql.Login | None = field(default=None, repr=False)

    # -- objects ---------------------------------------------------------------------------------------------

    def manifest(self, instances: int = 3, size: str = "1Gi", **spec: Any) -> Json:
        return {
            "apiVersion": names.API_VERSION,
            "kind": "Cluster",
            "metadata": {"name": self.name, "namespace": self.ns},
            "spec": {"instances": instances, "storage": {"size": size}, **spec},
        }

    def create(self, instances: int = 3, size: str = "1Gi", **spec: Any) -> Cluster:
        self.kube.create("Cluster", self.ns, self.manifest(instances, size, **spec))
        return self

    def delete(self) -> None:
        self.kube.delete("Cluster", self.ns, self.name, missing_ok=True)

    def get(self) -> Json:
        return self.kube.get("Cluster", self.ns, self.name)

    @property
    def status(self) -> Json:
        status: Json = self.get().get("status", {})
        return status

    def patch(self, body: Json) -> None:
        self.kube.patch("Cluster", self.ns, self.name, body)

    def scale(self, instances: int) -> None:
        done = self.kube.kubectl(
            "scale", "-n", self.ns, f"clusters.{names.GROUP}/{self.name}", f"--replicas={instances}"
        )
        assert done.code == 0, done.err

    def pods(self) -> dict[str, Json]:
        """Pods by instance, terminating ones included."""
        return {
            pod["metadata"]["name"]: pod for pod in self.kube.list("Pod", self.ns, f"{names.LABEL_CLUSTER}={self.name}")
        }

    def pod(self, i: str) -> Json:
        return self.kube.get("Pod", self.ns, i)

    def uid(self, i: str) -> str:
        return str(self.pod(i)["metadata"]["uid"])

    def address(self, i: str) -> str:
        return str(self.pod(i)["status"]["podIP"])

    @property
    def primary(self) -> str:
        return str(self.status["currentPrimary"])

    @property
    def replicas(self) -> list[str]:
        return [i for i in self.status["instanceNames"] if i != self.primary]

    def events(self) -> list[Json]:
        return [e for e in self.kube.list("Event", self.ns) if e.get("regarding", {}).get("name") == self.name]

    def renew(self, certificate: str) -> None:
        """What `cmctl renew` does; cert-manager writes the Secret a moment later."""
        live = self.kube.get("Certificate", self.ns, certificate)
        asked = {
            "type": "Issuing",
            "status": "True",
            "reason": "Test",
            "message": "",
            "observedGeneration": live["metadata"]["generation"],
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        status = {"conditions": [*live["status"]["conditions"], asked]}
        self.kube.patch("Certificate", self.ns, certificate, {"status": status}, sub="status")

    # -- conditions ------------------------------------------------------------------------------------------

    def wait(self, check: Callable[[Json], object], timeout: float = 60, what: str = "") -> Json:
        """Wait until `check(cluster)` is true; the failure message carries what the operator says about it."""
        seen: Json = {}

        def look() -> bool:
            nonlocal seen
            seen = self.kube.find("Cluster", self.ns, self.name) or {}
            return bool(seen and check(seen))

        try:
            eventually(look, timeout, what)
        except TimedOut:
            raise TimedOut(f"not within {timeout} s: {what}\n{self.describe()}") from None
        return seen

    def wait_ready(self, instances: int | None = None, timeout: float = 120) -> Cluster:
        """Wait for condition Ready of the current generation with exactly this many ready instances."""

        def check(cluster: Json) -> bool:
            wanted = instances if instances is not None else cluster["spec"].get("instances", 1)
            status = cluster.get("status", {})
            return ready(cluster) and status.get("readyInstances") == wanted and status.get("instances") == wanted

        self.wait(check, timeout, f"{self.name} Ready with {instances} instances")
        return self

    def wait_accounts(self, reason: str, timeout: float = 60) -> Json:
        """Wait until condition AccountsInOrder has this reason."""

        def told(found: Json) -> bool:
            conditions = found.get("status", {}).get("conditions", [])
            return any(c["type"] == names.CONDITION_ACCOUNTS and c["reason"] == reason for c in conditions)

        return self.wait(told, timeout, f"{names.CONDITION_ACCOUNTS} to be {reason}")

    def wait_phase(self, phase: str, reason_part: str = "", timeout: float = 60) -> Json:
        return self.wait(
            lambda c: (
                c.get("status", {}).get("phase") == phase and reason_part in c.get("status", {}).get("phaseReason", "")
            ),
            timeout,
            f"phase {phase} ({reason_part})",
        )

    def describe(self) -> str:
        status = self.kube.find("Cluster", self.ns, self.name)
        lines = [f"status: {status.get('status') if status else 'no such Cluster'}"]
        for i, pod in self.pods().items():
            states = [
                f"{c['name']}: ready={c['ready']} restarts={c['restartCount']} {c['state']}"
                for c in pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
            ]
            lines.append(
                f"pod {i} {pod['status'].get('phase')} {pod['metadata'].get('deletionTimestamp', '')} {states}"
            )
        lines += [f"event {e.get('reason')}: {e.get('note')}" for e in self.events()[-8:]]
        return "\n".join(lines)

    def routed(self, service: str) -> set[str]:
        """Instances behind `<name>-<service>` that are ready, by its EndpointSlices."""
        slices = self.kube.list("EndpointSlice", self.ns, f"kubernetes.io/service-name={self.name}-{service}")
        return {
            endpoint["targetRef"]["name"]
            for entry in slices
            for endpoint in entry.get("endpoints") or []
            if endpoint["conditions"].get("ready")
        }

    def rw_address(self) -> str | None:
        """Address a new connection through `-rw` would get now; None while there is none."""
        slices = self.kube.list("EndpointSlice", self.ns, f"kubernetes.io/service-name={self.name}-rw")
        for entry in slices:
            for endpoint in entry.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    return str(endpoint["addresses"][0])
        return None

    # -- servers ---------------------------------------------------------------------------------------------

    @property
    def app(self) -> sql.Login:
        """The application owner of the default Secret."""
        if self._app is None:
            secret = names.secret_app(self.name)
            self._app = sql.Login(
                self.kube.secret(self.ns, secret, "username"), self.kube.secret(self.ns, secret, "password"), "app"
            )
        return self._app

    def query(self, i: str, text: str, args: Sequence[Any] = (), login: sql.Login | None = None) -> list[sql.Row]:
        """As the application (or `login`) over the network, straight to one instance."""
        return sql.query(self.address(i), login or self.app, text, args)

    def control(self, i: str, text: str) -> str:
        """As the local control account inside the Pod; tab-separated rows. Fails the test on an SQL error."""
        done = self.kube.exec(self.ns, i, "sh", "-c", _CONTROL, "sh", text)
        assert done.code == 0, f"{i}: {text}: {done.err}"
        return done.out.strip()

    def by_socket(self, i: str, user: str, password: str) -> bool:
        """Whether this login works inside the Pod."""
        done = self.kube.exec(self.ns, i, "sh", "-c", _BY_SOCKET, "sh", user, password)
        assert done.code == 0 or _DENIED in done.err, done.err
        return done.code == 0

    def executed(self, i: str) -> str:
        return self.control(i, "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')")

    def wait_sql(self, i: str, text: str, expected: str, timeout: float = 30) -> None:
        """Wait until the control account reads exactly this on one instance."""
        eventually(lambda: self.control(i, text) == expected, timeout, f"{i}: {text} to be {expected}")

    def wait_caught_up(self, timeout: float = 60) -> None:
        """Wait until every replica has executed what the primary has executed now."""
        goal = self.executed(self.primary)
        for i in self.replicas:
            self.wait_sql(i, f"SELECT GTID_SUBSET('{goal}', @@GLOBAL.gtid_executed)", "1", timeout)

    def writer(self) -> sql.Writer:
        """A client writing through `-rw` for as long as it is entered."""
        return sql.Writer(self.rw_address, self.app)

    def ledger(self, i: str) -> set[int]:
        return {row[0] for row in self.query(i, "SELECT id FROM ledger")}

    def open_instances(self) -> list[str]:
        """Instances that take a client write right now, tried one by one."""
        found = []
        for i, pod in self.pods().items():
            if not pod["status"].get("podIP"):
                continue
            try:
                if sql.query(pod["status"]["podIP"], self.app, "SELECT @@GLOBAL.read_only")[0][0] == 0:
                    found.append(i)
            except (pymysql.err.MySQLError, OSError):
                continue
        return found

    def manager(self, i: str) -> processes.Process:
        return eventually(lambda: _found(processes.manager, self.uid(i)), 30, f"a manager in {i}")

    def mysqld(self, i: str) -> processes.Process:
        return eventually(lambda: _found(processes.mysqld, self.uid(i)), 30, f"a mysqld in {i}")


def _found(find: Callable[[str], processes.Process], uid: str) -> processes.Process | None:
    try:
        return find(uid)
    except LookupError:
        return None


_numbers = itertools.count(1)
_RUN = secrets.token_hex(2)


def fresh_namespace(prefix: str) -> str:
    """A namespace name not used before, not by a former run whose namespaces are still going away either."""
    return f"{prefix}-{_RUN}-{next(_numbers)}"
