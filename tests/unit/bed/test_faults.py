"""Which firewall rules end a cut."""

from __future__ import annotations

from tests.bed.faults import cut_rules

LISTING = """-P FORWARD ACCEPT
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -s 10.244.1.2/32 -m comment --comment "bed-cut:db/db-1" -j DROP
-A FORWARD -s 10.244.1.3/32 -m comment --comment "bed-cut:db/db-10" -j DROP
-A FORWARD -d 10.244.1.4/32 -m comment --comment bed-cut:other/db-1 -j DROP
-A OUTPUT -d 10.88.0.1/32 -p tcp -m comment --comment bed-cut:node-1 -j DROP
"""


def test_a_full_name_heals_one_pod() -> None:
    (rule,) = cut_rules(LISTING, "db/db-1")
    assert rule[:4] == ["-D", "FORWARD", "-s", "10.244.1.2/32"]


def test_a_bare_name_heals_the_pods_of_that_name() -> None:
    assert [rule[3] for rule in cut_rules(LISTING, "db-1")] == ["10.244.1.2/32", "10.244.1.4/32"]


def test_a_node_is_healed_by_its_name() -> None:
    assert [rule[1] for rule in cut_rules(LISTING, "node-1")] == ["OUTPUT"]


def test_foreign_rules_stay() -> None:
    assert cut_rules(LISTING, "forwarding") == []
