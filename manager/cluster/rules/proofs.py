"""When may we say that the holder of the primary Lease is closed? Two proofs; nothing else counts.

Not a missing Pod (a force-delete leaves containers running), not the state of a node, not a broken connection.
"""

from __future__ import annotations

from cnmysql.protocol.report import InstanceStatus
from manager.cluster import facts
from manager.cluster.snapshot import Json, Snapshot

_DEAD = frozenset({"exited", "stopped"})
_ALIVE = frozenset({"starting", "running", "stopping"})


def closed(s: Snapshot, holder: str) -> str:
    """The proof that this holder is closed for good, in words, or an empty text."""
    instance, _, pod_uid = holder.partition("/")
    return _own_word(s, instance, pod_uid) or _kubelets_word(s, instance, pod_uid)


def ended(s: Snapshot, holder: str) -> bool:
    """Whether the kubelet says that this holder's container ended and will not be started again."""
    instance, _, pod_uid = holder.partition("/")
    return bool(_kubelets_word(s, instance, pod_uid))


def _own_word(s: Snapshot, instance: str, pod_uid: str) -> str:
    """The holder itself says so, under this epoch, and cannot open again because its Pod is going or gone."""
    left = pod_uid in s.departed
    pod = s.objects.pods.get(instance)
    report = _heard(s, instance, pod_uid)
    going = left or (pod is not None and facts.uid(pod) == pod_uid and facts.terminating(pod))
    if report is None or not going or report.epoch < s.record.epoch:
        return ""
    if report.closed or report.mysqld.state in _DEAD:
        return f"own word of {instance}: closed under epoch {report.epoch}"
    return ""


def _kubelets_word(s: Snapshot, instance: str, pod_uid: str) -> str:
    """The kubelet saw that container end and cannot start it again.

    It may be behind: what it tells may be of a container that it has started again since. Then the container has
    another id, and an instance that is heard now knows better.
    """
    pod = _pod(s, instance, pod_uid)
    if pod is None or not (facts.terminating(pod) or facts.pod_ended(pod)):
        return ""
    container = facts.container_status(pod, "mysql")
    terminated = (container.get("state") or {}).get("terminated")
    if not terminated or terminated.get("reason") == "ContainerStatusUnknown" or _of_another(terminated, container):
        return ""
    report = _heard(s, instance, pod_uid)
    if report is not None and (report.open or report.mysqld.state in _ALIVE):
        return ""
    return f"the kubelet's word: container of {instance} terminated, exit code {terminated.get('exitCode')}"


def _of_another(terminated: Json, container: Json) -> bool:
    """The end of a container that is not the one the status is of, as far as both are named."""
    ended, present = terminated.get("containerID"), container.get("containerID")
    return bool(ended and present) and ended != present


def _heard(s: Snapshot, instance: str, pod_uid: str) -> InstanceStatus | None:
    """What the instance manager of exactly this Pod says now."""
    return facts.word(s, s.observations.get(pod_uid, s.observations.get(instance)), pod_uid)


def _pod(s: Snapshot, instance: str, pod_uid: str) -> Json | None:
    pod = s.objects.pods.get(instance)
    if pod is not None and facts.uid(pod) == pod_uid:
        return pod
    departed = s.departed.get(pod_uid)
    return departed.pod if departed is not None else None
