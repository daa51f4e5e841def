"""`make bench`: figures of the product on the bed, each beside what it is compared with. Medians, no verdicts."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cnmysql import names
from tests.bed import bed, deploy
from tests.bench import control, memory, mysqld_tls, redaction
from tests.support import processes
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Json, Kube, eventually

RUNS = 3
KILLS = 5
IDLE_SECONDS = 30


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def row(name: str, values: list[float], unit: str, goal: str = "") -> None:
    shown = f"{statistics.median(values):8.2f} {unit}"
    spread = f"(min {min(values):.2f}, max {max(values):.2f}, n={len(values)})" if len(values) > 1 else ""
    say(f"  {name:<58} {shown:<14} {spread:<34} {goal}")


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def stages(cluster: Cluster, created: float, finished: float) -> dict[str, float]:
    """Seconds of each part of bringing a three-instance Cluster up; second resolution of Kubernetes times."""
    first = cluster.pod("db-1")
    states = {
        status["name"]: status["state"]
        for status in first["status"]["initContainerStatuses"] + first["status"]["containerStatuses"]
    }
    conditions = {c["type"]: moment(c["lastTransitionTime"]) for c in first["status"]["conditions"]}
    pod_created = moment(first["metadata"]["creationTimestamp"])
    tree = states[names.CONTAINER_TREE]["terminated"]
    initdb = states[names.CONTAINER_BOOTSTRAP]["terminated"]
    ready: dict[str, float] = {}
    joins: list[float] = []
    for i, pod in cluster.pods().items():
        ready[i] = next(moment(c["lastTransitionTime"]) for c in pod["status"]["conditions"] if c["type"] == "Ready")
        if i != "db-1":
            state = next(
                s["state"] for s in pod["status"]["initContainerStatuses"] if s["name"] == names.CONTAINER_BOOTSTRAP
            )
            joins.append(moment(state["terminated"]["finishedAt"]) - moment(state["terminated"]["startedAt"]))
    return {
        "certificates, secrets, services (to the first Pod)": pod_created - created,
        "volume and scheduling": conditions["PodScheduled"] - pod_created,
        "image and Pod start": moment(tree["startedAt"]) - conditions["PodScheduled"],
        "copying the runtime tree": moment(tree["finishedAt"]) - moment(tree["startedAt"]),
        "initdb": moment(initdb["finishedAt"]) - moment(initdb["startedAt"]),
        "start, bootstrap order, open, Ready": ready["db-1"] - moment(initdb["finishedAt"]),
        "second instance, from the first being Ready": ready["db-2"] - ready["db-1"],
        "third instance, from the second being Ready": ready["db-3"] - ready["db-2"],
        "of which joining, each": sum(joins) / len(joins),
        "total": finished - created,
    }


def bring_up(kube: Kube) -> None:
    say(f"apply -> 3 Ready on an empty Cluster, {RUNS} runs (goal 30 s)")
    collected: dict[str, list[float]] = {}
    for _ in range(RUNS):
        with kube.namespace(fresh_namespace("bench-up")) as ns:
            created = time.time()
            cluster = Cluster(kube, ns, "db").create(3).wait_ready(3, 300)
            for name, seconds in stages(cluster, created, time.time()).items():
                collected.setdefault(name, []).append(seconds)
    for name, values in collected.items():
        row(name, values, "s", "goal <= 30" if name == "total" else "")


def log_moment(text: str, message: str) -> float | None:
    """Time of the first log line with this message."""
    for line in text.splitlines():
        try:
            record: Json = json.loads(line)
        except json.JSONDecodeError:
            continue
        if message in record.get("msg", ""):
            return moment(record["ts"])
    return None


def rss(pid: int) -> float:
    """Resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:")) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def operator_process(kube: Kube) -> processes.Process:
    holder = kube.get("Lease", names.OPERATOR_NAMESPACE, names.OPERATOR_LEASE)["spec"]["holderIdentity"]
    for pod in kube.list("Pod", names.OPERATOR_NAMESPACE, "control-plane=controller-manager"):
        if pod["metadata"]["name"] in holder:
            return max(processes.of_pod(pod["metadata"]["uid"]), key=lambda p: rss(p.pid))
    raise LookupError("no leading operator")


def steady(kube: Kube, cluster: Cluster) -> None:
    operator = operator_process(kube)
    managers = [cluster.manager(i) for i in cluster.status["instanceNames"]]
    say(f"steady state, one Cluster, idle for {IDLE_SECONDS} s")
    before = {p.pid: cpu_seconds(p.pid) for p in (operator, *managers)}
    time.sleep(IDLE_SECONDS)  # what is measured
    row("operator RSS", [rss(operator.pid)], "MB", "goal <= 130")
    row("operator CPU", [(cpu_seconds(operator.pid) - before[operator.pid]) / IDLE_SECONDS * 100], "%", "goal < 2")
    row("instance manager RSS", [rss(m.pid) for m in managers], "MB", "goal <= 80")
    row("instance manager CPU", [(cpu_seconds(m.pid) - before[m.pid]) / IDLE_SECONDS * 100 for m in managers], "%")


def kill_to_known(kube: Kube, cluster: Cluster) -> None:
    """From SIGKILL of mysqld to the operator's log line of it, and to the next write."""
    known: list[float] = []
    for _ in range(KILLS):
        cluster.wait_ready(3)
        i = cluster.replicas[0]
        process = cluster.mysqld(i)  # found in the machine's process table, which takes a while itself
        killed = time.time()
        process.kill()

        def heard(since: float = killed, instance: str = i) -> float | None:
            text = deploy.operator_log(kube, 2000)
            for line in text.splitlines():
                if (
                    '"msg":"instance changed"' in line
                    and f'"instance":"{instance}"' in line
                    and '"mysqld":"exited"' in line
                ):
                    at = log_moment(line, "instance changed")
                    if at is not None and at >= since:
                        return at
            return None

        known.append((eventually(heard, 20, "the operator to log the death") - killed) * 1000)
    row("mysqld SIGKILL -> the operator knows", known, "ms", "goal <= 100")


def starts(cluster: Cluster) -> None:
    """Container start by the kubelet's word (whole seconds) is too coarse: the manager's own process start counts."""
    took: list[float] = []
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for i in cluster.status["instanceNames"]:
        process = cluster.manager(i)
        ticks = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        served = log_moment(cluster.kube.logs(cluster.ns, i), "serving")
        if served is not None:
            took.append(served - (boot + ticks / 100))
    if took:
        row("instance manager: process start -> serving", took, "s", "goal <= 1.5")


def security() -> None:
    """What the control server and the logs cost for being bounded and free of secrets. Needs no bed."""
    say("control server, a TLS 1.3 handshake and GET /status each, beside a bare aiohttp server")
    served = control.measure()
    for name, rounds in served.items():
        row(f"{name}: handshakes", [r.per_second for r in rounds], "/s")
        row(f"{name}: CPU of the server, each", [r.cpu_ms for r in rounds], "ms")
    ours, bare = (statistics.median(r.per_second for r in served[n]) for n in (control.OURS, control.BARE))
    row("ours / bare, handshakes", [ours / bare], "", "goal >= 0.8")
    ours, bare = (statistics.median(r.cpu_ms for r in served[n]) for n in (control.OURS, control.BARE))
    row("bare / ours, CPU", [bare / ours], "", "goal >= 0.8")
    row("new certificate on disk -> in use by the next handshake", control.reloads(), "ms")
    say("mysqld: another certificate, beside a statement that does nothing")
    took = mysqld_tls.measure()
    row("ALTER INSTANCE RELOAD TLS", took.reload, "ms")
    row("DO 0", took.nothing, "ms")
    row("the next login, which is shown the new certificate", took.handshake, "ms")
    say("a log line of the role loop, five secrets known, beside structlog without redaction")
    with_it, without = redaction.measure()
    row("with redaction", with_it, "us")
    row("without", without, "us")
    row("cost", [(statistics.median(with_it) / statistics.median(without) - 1) * 100], "%", "goal <= 20")


def main() -> int:
    if sys.argv[1:] == ["security"]:
        security()
        return 0
    if reason := bed.why_not():
        raise SystemExit(reason)
    kube = Kube(deploy.ensure(), deploy.kubectl())
    parts: list[Callable[[Kube, Cluster], None]] = [lambda _, c: starts(c), steady, kill_to_known]
    bring_up(kube)
    with kube.namespace(fresh_namespace("bench")) as ns:
        cluster = Cluster(kube, ns, "db").create(3).wait_ready(3, 300)
        for part in parts:
            part(kube, cluster)
    say("informer store, 1,000 Pods")
    for name, megabytes in memory.measure().items():
        row(name, [megabytes], "MB")
    security()
    kube.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
