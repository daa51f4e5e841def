"""The cache key of built programs: everything that decides what they are, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bed import binaries
from tests.bed.config import GO_SOURCES, KUBERNETES_RELEASES

_PARTS = st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=4)


@given(_PARTS, _PARTS)
def test_different_inputs_have_different_digests(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (binaries.digest(one) == binaries.digest(other)) == (one == other)


def test_order_of_inputs_does_not_matter() -> None:
    assert binaries.digest({"a": b"1", "b": b"2"}) == binaries.digest({"b": b"2", "a": b"1"})


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "etcd").mkdir()
    for name in ("go.mod", "go.sum"):
        (tmp_path / "etcd" / name).write_text(name)
    return tmp_path


def test_every_input_counts(sources: Path) -> None:
    def key(go_set: binaries.GoSet = binaries.ETCD, version: str = "go1.26") -> str:
        return binaries.digest(binaries.go_inputs(go_set, version, sources))

    before = key()
    other_flags = binaries.GoSet("etcd", binaries.ETCD.programs, "-w")
    assert key() == before
    assert len({before, key(version="go1.27"), key(other_flags)}) == 3
    (sources / "etcd" / "go.sum").write_text("changed")
    assert key() != before


@pytest.mark.parametrize("series", KUBERNETES_RELEASES)
def test_kubernetes_is_pinned_to_the_release_it_reports(series: str) -> None:
    go_set = binaries.kubernetes(series)
    module = (GO_SOURCES / go_set.folder / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES_RELEASES[series]}" in module
    assert f"gitVersion=v{KUBERNETES_RELEASES[series]}" in go_set.ldflags
    assert all(package in module for package in go_set.programs.values())


@pytest.mark.parametrize("go_set", [binaries.ETCD, binaries.COREDNS, binaries.CERT_MANAGER, binaries.CONTAINERD])
def test_every_set_has_its_sums(go_set: binaries.GoSet) -> None:
    assert (GO_SOURCES / go_set.folder / "go.sum").stat().st_size > 0
