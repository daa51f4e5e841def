"""The trust bundles are bounded: by what is read of them, and by what a ConfigMap holds."""

from __future__ import annotations

import pytest

from cnmysql.pki.inspect import MAX_BYTES, MAX_TRUSTED, blocks, joined
from manager.actions import Apply
from manager.cluster.render import configmaps
from manager.cluster.render.meta import Owner
from manager.cluster.rules import certificates
from manager.cluster.snapshot import Snapshot
from manager.cluster.validity import assess
from tests.sim.issuing import authority
from tests.unit.manager.snapshots import objects, ready


def pem(text: str) -> str:
    """What reads as one certificate."""
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def with_former(s: Snapshot, count: int, size: int = 9) -> Snapshot:
    """A change of CA that goes on: so many former ones are trusted."""
    before = s.objects.config_maps["db-trust"]["data"]
    text = before["server-ca.crt"] + "".join(pem(f"{n:0{size}}") for n in range(count))
    return objects(s, "config_maps", db_trust={"data": {**before, "server-ca.crt": text, "client-ca.crt": text}})


def with_new_ca(s: Snapshot) -> Snapshot:
    fresh = authority("db.ca.cnmysql", 7).pem.decode()
    return objects(s, "secrets", db_ca={"data": {"ca.crt": fresh, "tls.crt": fresh, "tls.key": "other"}})


def written(s: Snapshot) -> list[dict[str, str]]:
    """The bundles, if they are written in this pass."""
    actions = certificates.decide(s).actions
    return [a.body["data"] for a in actions if isinstance(a, Apply) and a.target.name == "db-trust"]


def test_former_cas_stay_and_a_new_one_joins_them_as_long_as_there_is_room() -> None:
    s = with_new_ca(with_former(ready(), MAX_TRUSTED - 2))
    (trust,) = written(s)
    assert len(blocks(trust["server-ca.crt"], 1000)) == MAX_TRUSTED


@pytest.mark.parametrize(("count", "size"), [(MAX_TRUSTED - 1, 9), (2, 65_000)], ids=["number", "size"])
def test_a_new_ca_without_room_beside_the_former_ones_waits_and_says_so(count: int, size: int) -> None:
    s = with_new_ca(with_former(ready(), count, size))
    before = s.objects.config_maps["db-trust"]["data"]
    assert all(trust == before for trust in written(s))
    now = assess(s)
    assert now is not None
    assert now.reason == "Rotating"
    assert now.message.startswith("waiting for room among the trusted server CAs: 32 certificates at most; name one")


def test_the_largest_bundles_fit_a_config_map() -> None:
    largest = tuple(pem(f"{n:04096}").strip() for n in range(MAX_TRUSTED))
    kept = blocks(joined(largest), MAX_TRUSTED)
    binding = {"subject": "s" * MAX_BYTES, "issuer": "i" * MAX_BYTES}
    body = configmaps.trust(Owner("db", "shop", "u"), kept, kept, binding)
    assert sum(len(k) + len(v) for k, v in body["data"].items()) < 512 * 1024
