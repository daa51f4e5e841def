"""The executor writes only as the leader, however long it stood still since it planned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnmysql.errors import Transient
from cnmysql.kube import resources
from manager.actions import (
    Action,
    Apply,
    ClearHold,
    Commit,
    CopyPair,
    CreateOnce,
    Delete,
    PatchOwned,
    PatchStatus,
    Reissue,
)
from tests.unit.manager.test_apply import LEASE, POD, SERVICE, Bench, held, target
from tests.unit.manager.virtual import virtual

Json = dict[str, Any]

WRITES: dict[str, Callable[[Bench, Json, Json], Action]] = {
    "clear": lambda _, lease, __: ClearHold(LEASE, lease["metadata"]["resourceVersion"], "db-1/old", "proof", 3),
    "commit": lambda b, _, __: Commit({"epoch": 1}, b.cluster["metadata"]["resourceVersion"], "why"),
    "status": lambda b, _, __: PatchStatus({"phase": "Ready"}, b.cluster["metadata"]["resourceVersion"]),
    "delete": lambda _, __, pod: Delete(POD, pod["metadata"]["uid"], "why"),
    "labels": lambda _, __, pod: PatchOwned(POD, pod["metadata"]["uid"], {"metadata": {"labels": {"role": "primary"}}}),
    "apply": lambda b, _, __: Apply(SERVICE, b.ours("db-rw"), absent=True),
    "create": lambda b, _, __: CreateOnce(target(resources.PODS, "db-2"), b.ours("db-2")),
    "copy": lambda _, __, pod: CopyPair(POD, "db-1", pod["metadata"]["resourceVersion"]),
    "reissue": lambda _, __, pod: Reissue(POD, pod["metadata"]["resourceVersion"], {}, "why"),
}


@pytest.mark.parametrize("kind", WRITES)
@virtual
async def test_nothing_is_written_without_fresh_leadership(kind: str) -> None:
    fresh = True
    bench = await Bench(fresh=lambda: fresh).start()
    lease, pod = await held(bench), await bench.client.create(resources.PODS, "shop", bench.ours("db-1"))
    action = WRITES[kind](bench, lease, pod)
    before = list(bench.writes)
    fresh = False
    with pytest.raises(Transient, match="leadership"):
        await bench.do(action)
    assert bench.writes == before
    fresh = True
    await bench.do(action)
    assert len(bench.writes) == len(before) + 1


@pytest.mark.parametrize("kind", ["apply", "copy"])
@virtual
async def test_leadership_is_asked_for_after_what_is_read_first(kind: str) -> None:
    asked: list[str] = []

    def fresh() -> bool:
        asked.append(bench.transport.calls[-1][0])
        return True

    bench = Bench(fresh=fresh)
    lease, pod = await held(await bench.start()), await bench.client.create(resources.PODS, "shop", bench.ours("db-1"))
    await bench.do(WRITES[kind](bench, lease, pod))
    assert asked == ["GET"]
