"""The agent: `python -m tests.bed.netpolicy`, started and recorded by `up`.

Level-triggered: any change of a policy, and while there are policies of a Pod or a namespace, wakes one pass over all
of them; so does half a minute without. While there is no policy nothing is watched but policies, and the nodes carry
no rule of ours.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Never

import httpx

from tests.bed import facts, network, shell
from tests.bed.config import BedError, Node, Paths
from tests.bed.kubeapi import KubeApi, collection
from tests.bed.netpolicy.chains import CHAINS, JUMPS, script
from tests.bed.netpolicy.plan import Guard, plan

_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
_PODS = "/api/v1/pods"
_NAMESPACES = collection("Namespace")
_RESYNC_SECONDS = 30
_RETRY_SECONDS = 1
_WATCH_SECONDS = 300


class Agent:
    """`busy` is set while there are policies."""

    def __init__(self, api: KubeApi, paths: Paths) -> None:
        self._api = api
        self._paths = paths
        self._done: dict[str, tuple[int, tuple[Guard, ...]]] = {}
        self.wake = threading.Event()
        self.busy = threading.Event()

    def watch(self, path: str, *, always: bool) -> Never:
        """Wakes the agent at every change; unless `always`, only while there are policies."""
        while True:
            if not always:
                self.busy.wait()
            try:
                for _ in self._api.changes(path, seconds=_WATCH_SECONDS):
                    if not (always or self.busy.is_set()):
                        break
                    self.wake.set()
            except httpx.HTTPError:
                # The API server is down or frozen, which is an ordinary thing here: ask again soon.
                time.sleep(_RETRY_SECONDS)

    def look(self) -> bool:
        """One pass; says whether everything is as it should be now."""
        try:
            policies = self._api.items(_POLICIES)
            if policies:
                self.busy.set()
                wanted = plan(policies, self._api.items(_PODS), self._api.items(_NAMESPACES))
            else:
                self.busy.clear()
                wanted = {}
            for node in facts.nodes_of(self._paths):
                self._bring(node, wanted.get(node.name, ()))
        except BedError as failure:
            shell.say(str(failure))
            return False
        return True

    def _bring(self, node: Node, guards: tuple[Guard, ...]) -> None:
        """The node's rules, unless it has them already; a node that was stopped comes back without any."""
        if not node.netns_path.exists():
            return
        state = (os.stat(node.netns_path).st_ino, guards)
        if self._done.get(node.name) == state:
            return
        if guards:
            shell.run(network.inside(node, ["iptables-restore", "-w", "--noflush"]), stdin=script(guards))
            for chain, ours in JUMPS:
                if not shell.succeeds(network.inside(node, ["iptables", "-w", "-C", chain, "-j", ours])):
                    shell.run(network.inside(node, ["iptables", "-w", "-I", chain, "-j", ours]))
        else:
            _remove(node)
        self._done[node.name] = state
        shell.say(f"{node.name}: {len(guards)} guards")


def _remove(node: Node) -> None:
    listing = shell.run(network.inside(node, ["iptables", "-w", "-S"])).splitlines()
    for chain, ours in JUMPS:
        if f"-A {chain} -j {ours}" in listing:
            shell.run(network.inside(node, ["iptables", "-w", "-D", chain, "-j", ours]))
    for ours in CHAINS.values():
        if f"-N {ours}" in listing:
            shell.run(network.inside(node, ["iptables", "-w", "-F", ours]))
            shell.run(network.inside(node, ["iptables", "-w", "-X", ours]))


def main() -> Never:
    paths = Paths.of_checkout()
    with KubeApi(paths) as api:
        agent = Agent(api, paths)
        for path, always in ((_POLICIES, True), (_PODS, False), (_NAMESPACES, False)):
            threading.Thread(target=agent.watch, args=(path,), kwargs={"always": always}, daemon=True).start()
        while True:
            agent.wake.clear()
            complete = agent.look()
            agent.wake.wait(_RESYNC_SECONDS if complete else _RETRY_SECONDS)


if __name__ == "__main__":
    main()
