"""Plain questions about a snapshot, answered in one place so that every rule means the same by them."""

from __future__ import annotations

from typing import Any

from cnmysql import names
from cnmysql.clock import parse_rfc3339
from cnmysql.protocol.report import InstanceStatus
from manager.cluster.snapshot import FRESH_SECONDS, Json, Observation, Report, Snapshot

_STUCK_WAITING = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "CrashLoopBackOff",
        "RunContainerError",
    }
)
_STUCK_PROBLEMS = frozenset({"ConfigurationInvalid", "CrashLoop", "UpgradeRefused"})
_HOPELESS_PROBLEMS = frozenset({"ForeignData", "DataMissing", "BootstrapFailed", "UpgradeRefused"})
_RECOVERED_SECONDS = 600.0
"""A container that has run for so long the kubelet takes for recovered: its back-off begins anew. A death before that
says nothing about the present, and after a life as long it was no failure to start."""

CLOSING_SECONDS = 30.0
"""How long a Pod that was deleted by force gets to close before people are asked for help."""


def wanted(s: Snapshot, count: int) -> tuple[str, ...]:
    """Names of the instances the Cluster should have, ascending.

    The lowest ordinals, but the primary always: when it lies above the new count it takes the place of the
    highest one that would otherwise stay.
    """
    ordinals = list(range(1, count + 1))
    primary = s.record.current_primary
    if names.is_instance_of(primary, s.name) and names.ordinal(primary) > count:
        ordinals[-1] = names.ordinal(primary)
    return tuple(names.instance(s.name, o) for o in ordinals)


def pods_of(s: Snapshot) -> list[str]:
    """Names of the instances that have a Pod, ascending by ordinal."""
    return sorted((n for n in s.objects.pods if names.is_instance_of(n, s.name)), key=names.ordinal)


def runs(s: Snapshot) -> bool:
    """There is something that what cannot be had or is refused now must not take down or keep down."""
    return s.record.has_history or bool(pods_of(s))


def uid(obj: Json) -> str:
    return str(obj["metadata"]["uid"])


def owned(obj: Json, uid: str) -> bool:
    """Made for the Cluster with this uid. The label alone proves nothing: a copy of an object carries it too."""
    return any(o.get("uid") == uid for o in obj["metadata"].get("ownerReferences") or ())


def terminating(obj: Json) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def label(obj: Json, key: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(key, ""))


def annotation(obj: Json, key: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(key, ""))


def pod_ready(pod: Json) -> bool:
    """The kubelet's verdict: the Pod takes part in Services."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod_ended(pod: Json) -> bool:
    """Failed or Succeeded: the kubelet will not start this Pod again."""
    return (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def container_status(pod: Json, container: str) -> Json:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((c for c in statuses if c["name"] == container), {})


def fresh_report(s: Snapshot, instance: str) -> InstanceStatus | None:
    """The instance's word, if it is heard now and comes from the Pod that exists now."""
    pod = s.objects.pods.get(instance)
    return word(s, s.observations.get(instance), uid(pod)) if pod is not None else None


def word(s: Snapshot, observation: Observation | None, pod_uid: str) -> InstanceStatus | None:
    """What was observed, if it is heard now and comes from this very Pod."""
    if not isinstance(observation, Report) or s.clock - observation.seen > FRESH_SECONDS:
        return None
    return observation.status if observation.status.pod_uid == pod_uid else None


def stored_condition(s: Snapshot, kind: str) -> Json:
    """A condition as the status has it now; empty when it has none of this type."""
    return next((c for c in s.status.get("conditions") or () if c["type"] == kind), {})


def healthy(s: Snapshot, instance: str) -> bool:
    """The Pod runs, is Ready for the kubelet, says so itself, and is not on its way out."""
    return answers(s, instance) and pod_ready(s.objects.pods[instance])


def answers(s: Snapshot, instance: str) -> bool:
    """As `healthy` by the instance's own word: the kubelet's follows a probe later."""
    pod = s.objects.pods.get(instance)
    report = fresh_report(s, instance)
    return pod is not None and not terminating(pod) and report is not None and report.is_ready and not report.errant


def donor(s: Snapshot) -> bool:
    """The primary is open and well, so a new instance can be copied from it and can follow it."""
    primary = s.record.current_primary
    report = fresh_report(s, primary) if primary else None
    return report is not None and report.open and answers(s, primary)


def _last_death(s: Snapshot, container: Json) -> Json:
    """How the container ended last, if it has not recovered from that since; empty when it has."""
    state = container.get("state") or {}
    terminated: Json = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    ended = terminated.get("finishedAt")
    running = "running" in state
    if running and ended and (s.now - parse_rfc3339(str(ended))).total_seconds() > _RECOVERED_SECONDS:
        return {}
    return terminated


def _last_words(death: Json) -> str:
    """What our manager wrote as termination message before it ended last; it names the remedy."""
    return str(death.get("message") or "").strip() if death.get("exitCode") else ""


def _keeps_restarting(pod: Json, container: Json, death: Json) -> bool:
    """Not one that lived long before, as those that went down with their node did."""
    if container.get("restartCount", 0) < 2 or not death:
        return False
    begin, end = death.get("startedAt"), death.get("finishedAt")
    if not begin or not end:
        return True
    lived = (parse_rfc3339(str(end)) - parse_rfc3339(str(begin))).total_seconds()
    return lived <= max(_RECOVERED_SECONDS, _start_budget(pod, str(container["name"])))


def _start_budget(pod: Json, name: str) -> float:
    """Seconds after which a container that did not start has been killed by its startup probe, grace included."""
    probes = (c.get("startupProbe") for c in pod["spec"]["containers"] if c["name"] == name)
    allowed = sum(p["periodSeconds"] * p["failureThreshold"] for p in probes if p)
    return float(allowed and allowed + pod["spec"].get("terminationGracePeriodSeconds", 0))


def _containers(pod: Json) -> tuple[Json, ...]:
    status = pod.get("status") or {}
    return (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))


def hopeless(s: Snapshot, instance: str) -> str:
    """Why this instance will not serve before somebody does something about it, by its own present or last word; an
    empty text when there is no such reason.
    """
    report, pod = fresh_report(s, instance), s.objects.pods.get(instance)
    if pod is None or terminating(pod):
        return ""
    if report is not None and report.problem is not None and report.problem.reason in _HOPELESS_PROBLEMS:
        return f"{report.problem.reason}: {report.problem.message}"
    for container in _containers(pod):
        said = "" if container.get("ready") else _last_words(_last_death(s, container))
        if said.partition(":")[0] in _HOPELESS_PROBLEMS:
            return said
    return ""


def stuck(s: Snapshot, instance: str) -> str:
    """Why this Pod will not become Ready as it is, or an empty text when it still may."""
    pod = s.objects.pods[instance]
    status: dict[str, Any] = pod.get("status") or {}
    if pod_ended(pod):
        return str(status.get("reason") or status.get("phase"))
    for container in _containers(pod):
        death = {} if container.get("ready") else _last_death(s, container)
        if said := _last_words(death):
            return f"{container['name']}: {said}"
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _STUCK_WAITING:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
        if _keeps_restarting(pod, container, death):
            oom = " (OOMKilled: it needs more than its memory limit allows; raise spec.resources.limits.memory)"
            return f"container {container['name']} keeps restarting{oom if death.get('reason') == 'OOMKilled' else ''}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}".rstrip(": ")
    report = fresh_report(s, instance)
    if report is not None and report.problem is not None and report.problem.reason in _STUCK_PROBLEMS:
        return f"{report.problem.reason}: {report.problem.message}"
    return ""
