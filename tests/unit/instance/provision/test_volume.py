"""Whose data a volume holds: never trust half of it, never wipe what is not proved ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import names
from instance.provision.survey import is_ours, observe
from instance.provision.volume import (
    Adopt,
    Build,
    Complete,
    Foreign,
    Mark,
    Missing,
    Unreadable,
    Volume,
    decide,
    decide_run,
    parse_mark,
)
from instance.provision.workdir import WorkDir, take_over, wipe

OWN = Mark("uid-1", "db-1", "initdb")
JOINING = Mark("uid-1", "db-1", "join")
FORMER = Mark("uid-2", "db-1", "initdb")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Volume("absent"), Build(redo=False)),
        (Volume("empty"), Build(redo=False)),
        (Volume("absent", OWN), Build(redo=True)),
        (Volume("absent", JOINING), Build(redo=True)),
        (Volume("complete", made_for=OWN), Complete()),
        (Volume("complete", OWN, made_for=JOINING), Complete()),
        (Volume("complete", Unreadable(), ("x",), OWN), Complete()),
        (Volume("absent", OWN, ("somebody",)), Build(redo=True)),
    ],
)
def test_ours(seen: Volume, expected: Build | Complete) -> None:
    assert decide(seen, OWN) == expected


@pytest.mark.parametrize(
    "seen",
    [
        Volume("filled"),
        Volume("filled", OWN),
        Volume("absent", None, ("ibdata1",)),
        Volume("empty", None, ("mysql",)),
        Volume("absent", Unreadable()),
        Volume("absent", Mark("uid-2", "db-1", "initdb")),
        Volume("absent", Mark("uid-1", "db-2", "initdb")),
    ],
)
def test_not_provably_ours(seen: Volume) -> None:
    decision = decide(seen, OWN)
    assert isinstance(decision, Foreign)
    assert "if the data is not needed" in decision.message


@pytest.mark.parametrize(
    ("made_for", "allowed", "expected"),
    [
        (FORMER, (), Foreign),
        (FORMER, ("uid-3",), Foreign),
        (FORMER, ("uid-3", "uid-2"), Adopt),
        (FORMER, (names.ANY_CLUSTER,), Adopt),
        (OWN, ("uid-2",), Complete),
        (OWN, (names.ANY_CLUSTER,), Complete),
        (Unreadable(), (names.ANY_CLUSTER,), Foreign),
        (None, (names.ANY_CLUSTER,), Foreign),
    ],
)
def test_data_of_another_cluster_needs_the_word_of_the_operator(
    made_for: Mark | Unreadable | None, allowed: tuple[str, ...], expected: type
) -> None:
    seen = Volume("complete", made_for=made_for)
    decision = decide(seen, OWN, allowed)
    assert isinstance(decision, expected)
    if isinstance(decision, Adopt):
        assert decision.former == FORMER
    assert isinstance(decide_run(seen, OWN.cluster_uid), Complete if made_for == OWN else Foreign), "run never adopts"


@pytest.mark.parametrize("data", ["absent", "empty", "filled"])
def test_what_a_former_cluster_left_half_built_is_not_adopted(data: Literal["absent", "empty", "filled"]) -> None:
    assert isinstance(decide(Volume(data, FORMER), OWN, ("uid-2", names.ANY_CLUSTER)), Foreign)


volumes = st.builds(
    Volume,
    st.sampled_from(["absent", "empty", "filled", "complete"]),
    st.sampled_from([None, Unreadable(), OWN, JOINING, Mark("uid-2", "db-1", "join")]),
    st.sampled_from([(), ("ibdata1",)]),
    st.sampled_from([None, Unreadable(), OWN, JOINING, FORMER]),
)
permissions = st.sampled_from([(), ("uid-2",), ("uid-3",), (names.ANY_CLUSTER,)])


@given(volumes, permissions)
def test_a_wipe_needs_our_mark_and_no_complete_or_unmarked_data(seen: Volume, allowed: tuple[str, ...]) -> None:
    decision = decide(seen, OWN, allowed)
    if isinstance(decision, Build) and decision.redo:
        assert isinstance(seen.mark, Mark)
        assert seen.mark.cluster_uid == OWN.cluster_uid
        assert seen.data in ("absent", "empty")


@given(volumes)
def test_mysqld_is_started_on_complete_data_of_ours_only(seen: Volume) -> None:
    ours = seen.data == "complete" and seen.made_for in (OWN, JOINING)
    assert (decide_run(seen, OWN.cluster_uid) == Complete()) == ours


def test_run_without_data_says_what_is_missing() -> None:
    assert isinstance(decide_run(Volume("absent"), "uid-1"), Missing)
    assert isinstance(decide_run(Volume("filled"), "uid-1"), Foreign)


@given(st.text())
def test_no_text_makes_a_mark_by_accident(text: str) -> None:
    assert parse_mark(text) == Unreadable()


@pytest.mark.parametrize(
    "text", ['{"clusterUID": "u"}', '{"clusterUID": 1, "instance": "a", "mode": "join"}', "[]", ""]
)
def test_damaged_marks_say_nothing(text: str) -> None:
    assert parse_mark(text) == Unreadable()
    assert parse_mark(OWN.to_json()) == OWN


def test_what_lies_on_a_volume(tmp_path: Path) -> None:
    assert observe(tmp_path) == Volume("absent")
    for name in ("lost+found", names.FILE_LOCK, ".snapshot"):
        (tmp_path / name).mkdir()
    assert observe(tmp_path) == Volume("absent")
    (tmp_path / "data").mkdir()
    assert observe(tmp_path) == Volume("empty")
    (tmp_path / "data" / "ibdata1").touch()
    (tmp_path / "other").touch()
    assert observe(tmp_path) == Volume("filled", None, ("other",))
    (tmp_path / "data" / names.FILE_BOOTSTRAPPED).touch()
    (tmp_path / names.FILE_PROVISIONING).write_bytes(b"\xff\xfe")
    assert observe(tmp_path) == Volume("complete", Unreadable(), ("other",), Unreadable())
    (tmp_path / "data" / names.FILE_BOOTSTRAPPED).write_text(OWN.to_json())
    assert observe(tmp_path) == Volume("complete", Unreadable(), ("other",), OWN)


def test_a_volume_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        observe(tmp_path / "gone")


class Killed(Exception):
    """Stands for SIGKILL between two system calls."""


def killed_after(survive: int, call: str, work: Callable[[], None]) -> bool:
    """Do the work, but die at this call into the kernel once so many of its kind have succeeded. False: it ended."""
    original, left = getattr(os, call), survive

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, counted)
        try:
            work()
        except Killed:
            return True
    return False


def fill(work: WorkDir) -> None:
    work.begin()
    work.data.mkdir()
    (work.data / "ibdata1").write_text("pages")
    work.finish("9.7.4", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("call", ["rename", "fsync", "mkdir", "unlink", "rmdir", "open"])
def test_killed_between_any_two_calls_the_next_start_completes(tmp_path: Path, call: str) -> None:
    """Each prefix of the sequence, for each kind of call: then a fresh start must reach the same end."""
    for survive in range(60):
        volume = tmp_path / f"{call}-{survive}"
        volume.mkdir()
        killed = killed_after(survive, call, partial(fill, WorkDir(volume, OWN)))
        seen = observe(volume)
        assert seen.data in ("absent", "complete"), "never half a directory at its place"
        if seen.data == "complete":
            assert (volume / "data" / "ibdata1").read_text() == "pages"
        decision = decide(seen, JOINING)
        assert not isinstance(decision, Foreign)
        if isinstance(decision, Build):
            fill(WorkDir(volume, JOINING))
        assert observe(volume).data == "complete"
        if not killed:
            return
    pytest.fail("the sequence is longer than this test expects")


@pytest.mark.parametrize("call", ["rename", "fsync", "unlink", "open"])
def test_killed_while_it_takes_over_it_is_the_formers_or_ours(tmp_path: Path, call: str) -> None:
    for survive in range(30):
        volume = tmp_path / f"{call}-{survive}"
        volume.mkdir()
        fill(WorkDir(volume, FORMER))
        killed = killed_after(survive, call, partial(take_over, volume, OWN, FORMER.cluster_uid, "now"))
        decision = decide(observe(volume), OWN, (FORMER.cluster_uid,))
        assert isinstance(decision, Adopt | Complete)
        assert is_ours(volume / "data" / names.FILE_BOOTSTRAPPED, OWN.cluster_uid) == (decision == Complete())
        assert (volume / "data" / "ibdata1").read_text() == "pages"
        if not killed:
            assert decision == Complete()
            return
    pytest.fail("the sequence is longer than this test expects")


def test_wiping_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "kept")
    wipe(link)
    assert not link.is_symlink()
    assert (tmp_path / "kept" / "file").exists()
