"""The kubelets of the operator's world: they start and stop Pods, and what they saw end has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from cnmysql import names
from manager.cluster.snapshot import Departed
from tests.sim.operator_api import Api, Json
from tests.sim.operator_instances import Instances, Manager

BAD_IMAGE = "registry.invalid/mysql:9.7.9"
_WAITING = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}


@dataclass
class Kubelet:
    """`departed`: Pods that are gone, by uid, as they were last seen."""

    api: Api
    instances: Instances
    departed: dict[str, Departed] = field(default_factory=dict)
    broken_images: set[str] = field(default_factory=lambda: {BAD_IMAGE})

    def tend(self, name: str, now: float) -> None:
        """One second of a Pod."""
        pod = self.api.objects["pods"][name]
        uid = pod["metadata"]["uid"]
        manager = self.instances.managers.get(uid)
        if "deletionTimestamp" in pod["metadata"]:
            if manager is not None and not manager.stopping:
                manager.stopping = True
                self.instances.close(name, manager)
            else:
                self.remove(name, now)
            return
        if pod["spec"]["containers"][0]["image"] in self.broken_images:
            self._say(name, {"containerStatuses": [{"name": "mysql", "state": _WAITING, "restartCount": 0}]})
            return
        if manager is None:
            self._check_mounts(pod)
            self.instances.managers[uid] = Manager(uid)
            self.api.objects["pods"][name] = pod = {**pod, "spec": {**pod["spec"], "nodeName": "node-1"}}
            self._say(name, {"phase": "Running", "podIP": f"10.0.0.{names.ordinal(name)}"})
            return
        self.instances.work(name, pod, manager)
        ready = "True" if manager.ready else "False"
        self._say(name, {"conditions": [{"type": "Ready", "status": ready}]})
        if manager.provisioning and manager.problem is not None:
            said = {"terminated": {"exitCode": 1, "message": f"{manager.problem.reason}: {manager.problem.message}"}}
            bootstrap = {"name": names.CONTAINER_BOOTSTRAP, "state": {}, "lastState": said, "restartCount": 1}
            self._say(name, {"initContainerStatuses": [bootstrap]})

    def kill(self, name: str, now: float) -> None:
        """The container dies without a word and the Pod object follows: only the kubelet saw it."""
        pod = self.api.objects["pods"][name]
        pod["metadata"]["deletionTimestamp"] = "now"
        pod["status"]["containerStatuses"] = [
            {"name": "mysql", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
        ]
        self.remove(name, now)

    def remove(self, name: str, now: float) -> None:
        pod = self.api.objects["pods"].pop(name)
        self.instances.managers.pop(pod["metadata"]["uid"], None)
        self.departed[pod["metadata"]["uid"]] = Departed(pod, now)

    def _check_mounts(self, pod: Json) -> None:
        objects, brought = self.api.objects, self.api.user_secrets
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                assert self.api.chain(volume["secret"]["secretName"])
            if "configMap" in volume:
                assert volume["configMap"]["name"] in objects["config_maps"]
            for source in volume.get("projected", {}).get("sources", ()):
                secret = source.get("secret", {}).get("name")
                assert secret is None or secret in objects["secrets"] or secret in brought
        assert pod["spec"]["serviceAccountName"] in objects["service_accounts"]
        claim = objects["volumes"][pod["metadata"]["name"]]
        assert claim["metadata"]["annotations"][names.ANN_CLUSTER_UID] == self.api.cluster["metadata"]["uid"]

    def _say(self, name: str, status: Json) -> None:
        pod = self.api.objects["pods"][name]
        merged = {**pod.get("status", {}), **status}
        if merged != pod.get("status"):
            self.api.objects["pods"][name] = self.api.touched({**pod, "status": merged})
