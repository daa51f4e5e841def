"""The epoch on disk only grows and is never guessed; the recorded Pod rides in the lock file."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.errors import Refused
from instance.role.epoch import EpochDamaged, EpochFile, record_pod, recorded_pod

UID = "11111111-2222"


def stored(path: Path, uid: str = UID) -> int:
    """What a manager that starts now reads."""
    epochs = EpochFile(path, uid)
    epochs.load()
    return epochs.epoch


def test_absent_is_zero_and_stored_survives(tmp_path: Path) -> None:
    file = tmp_path / "epoch"
    assert stored(file) == 0
    EpochFile(file, UID).store(7)
    assert stored(file) == 7


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    EpochFile(tmp_path / "epoch", UID).store(7)
    assert EpochFile(tmp_path / "epoch", UID).epoch == 0


def test_a_lower_epoch_is_refused_by_one_that_has_read_nothing_yet(tmp_path: Path) -> None:
    EpochFile(tmp_path / "epoch", UID).store(7)
    with pytest.raises(Refused, match="older than 7"):
        EpochFile(tmp_path / "epoch", UID).store(6)
    assert stored(tmp_path / "epoch") == 7


def test_a_lower_epoch_is_refused(tmp_path: Path) -> None:
    epochs = EpochFile(tmp_path / "epoch", UID)
    epochs.store(7)
    epochs.store(7)
    with pytest.raises(Refused, match="older than 7"):
        epochs.store(6)
    assert stored(tmp_path / "epoch") == 7


def test_the_epoch_of_another_cluster_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    EpochFile(tmp_path / "epoch", "former").store(7)
    ours = EpochFile(tmp_path / "epoch", UID)
    ours.load()
    assert ours.epoch == 0
    ours.store(1)
    assert stored(tmp_path / "epoch") == 1
    assert stored(tmp_path / "epoch", "former") == 0


DAMAGED = ["", "seven", "7", "[]", "null", b"\xff", '{"epoch": 7}', '{"clusterUID": "", "epoch": 7}']
OF_ANOTHER = ['{"clusterUID": "former"}', '{"clusterUID": "former", "epoch": "7"}', '{"clusterUID": 1, "epoch": 7}']
NO_NUMBER = [f'{{"clusterUID": "{UID}", "epoch": {wrong}}}' for wrong in ("true", "-1", "1.5", "null")]


@pytest.mark.parametrize("content", [*DAMAGED, *OF_ANOTHER, *NO_NUMBER])
def test_a_damaged_file_is_an_error_not_epoch_zero(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "epoch").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EpochDamaged, match="not known which orders are old"):
        stored(tmp_path / "epoch")
    with pytest.raises(EpochDamaged):
        EpochFile(tmp_path / "epoch", UID).store(9)
    assert (tmp_path / "epoch").read_bytes() == (content if isinstance(content, bytes) else content.encode())


def test_a_crash_before_the_rename_leaves_the_old_epoch(tmp_path: Path) -> None:
    EpochFile(tmp_path / "epoch", UID).store(3)
    (tmp_path / "epoch.new").write_text("")
    assert stored(tmp_path / "epoch") == 3


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    epochs = EpochFile(tmp_path / "gone" / "epoch", UID)
    with pytest.raises(OSError, match="gone"):
        epochs.store(3)
    assert epochs.epoch == 0


def test_load_sees_what_the_former_manager_stored(tmp_path: Path) -> None:
    newcomer = EpochFile(tmp_path / "epoch", UID)
    EpochFile(tmp_path / "epoch", UID).store(9)
    newcomer.load()
    assert newcomer.epoch == 9


@given(st.lists(st.integers(min_value=1, max_value=50), max_size=20))
def test_what_is_on_disk_is_the_highest_ever_accepted(epochs: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "epoch")
        for epoch in epochs:
            file = EpochFile(path, UID)
            before = stored(path)
            if epoch < before:
                with pytest.raises(Refused):
                    file.store(epoch)
            else:
                file.store(epoch)
        assert stored(path) == max(epochs, default=0)


def test_recording_a_pod_leaves_the_lock_alone(tmp_path: Path) -> None:
    record_pod(tmp_path, "old")
    with (tmp_path / ".cnmysql-lock").open("r+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        record_pod(tmp_path, "new")
        assert recorded_pod(tmp_path) == "new"
        with (tmp_path / ".cnmysql-lock").open("r+") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
