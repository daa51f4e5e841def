"""What the README promises first: `make demo` does it all and says so."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.demo import NAMESPACE
from tests.support import bed
from tests.support.kube import Kube, eventually

SAMPLE = "sample"


@pytest.fixture
def nothing_left(kube: Kube) -> Iterator[None]:
    """The Cluster and its volumes go again, unless somebody had made them before."""
    kept = kube.find("Cluster", NAMESPACE, SAMPLE)
    yield
    if kept is None:
        kube.delete("Cluster", NAMESPACE, SAMPLE, missing_ok=True)
        eventually(lambda: not kube.list("Pod", NAMESPACE), 120, "its Pods to be gone")
        for claim in kube.list("PersistentVolumeClaim", NAMESPACE):
            kube.delete("PersistentVolumeClaim", NAMESPACE, claim["metadata"]["name"])


@pytest.mark.usefixtures("nothing_left")
def test_the_demo_writes_reads_from_every_instance_and_survives_a_crash() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], cwd=bed.CHECKOUT, capture_output=True, text=True, timeout=600, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "wrote a row through sample-rw" in told
    read = re.findall(r"read it from (sample-\d) \((primary|replica)\): 1 row", told)
    assert sorted(instance for instance, _ in read) == ["sample-1", "sample-2", "sample-3"]
    assert sorted(role for _, role in read) == ["primary", "replica", "replica"]
    assert told.count("replicates from") == told.count("over TLS: YES") == 2
    assert "it takes writes again after" in told
