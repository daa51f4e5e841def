"""A quiet Cluster costs no writes: in two minutes nothing but Lease renewals by our ServiceAccounts."""

from __future__ import annotations

import json
import time
from collections import Counter

from cnmysql import names
from tests.support import bed
from tests.support.cluster import Cluster

WINDOW_SECONDS = 120
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def test_two_quiet_minutes_write_leases_only(trio: Cluster) -> None:
    trio.wait_ready(3)
    offset = bed.AUDIT_LOG.stat().st_size
    time.sleep(WINDOW_SECONDS)  # the window itself is what is measured
    written: Counter[str] = Counter()
    with bed.AUDIT_LOG.open("rb") as log:
        log.seek(offset)
        for line in log:
            if not line.endswith(b"\n"):
                break
            event = json.loads(line)
            user = event["user"]["username"]
            ours = user.startswith(
                (f"system:serviceaccount:{names.OPERATOR_NAMESPACE}:", f"system:serviceaccount:{trio.ns}:")
            )
            if not ours or event["stage"] != "ResponseComplete" or event["verb"] not in WRITES:
                continue
            ref = event.get("objectRef", {})
            # The same operator may be ending Clusters of earlier tests meanwhile, each in a namespace of its own.
            if ref.get("namespace") not in {trio.ns, names.OPERATOR_NAMESPACE}:
                continue
            written[f"{event['verb']} {ref.get('resource')}/{ref.get('name')} by {user}"] += 1
    renewals = {k: n for k, n in written.items() if " leases/" in k}
    assert {k: n for k, n in written.items() if k not in renewals} == {}
    assert any(names.primary_lease(trio.name) in k for k in renewals), "the audit log was read at the wrong place"
