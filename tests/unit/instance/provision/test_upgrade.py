"""Which server may be started over which data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnmysql import names
from cnmysql.mysql.version import Version
from instance import upgrade


@pytest.mark.parametrize(
    ("evidence", "new", "allowed"),
    [
        ((), "9.7.4", True),
        ((), "5.7.44", False),
        (("9.7.4",), "9.7.4", True),
        (("9.7.4",), "9.7.3", True),
        (("8.4.3",), "8.4.6", True),
        # The server would take it, and could never go back.
        (("8.4.3",), "9.7.4", False),
        (("8.0.40",), "9.7.4", False),
        (("9.7.4",), "8.4.3", False),
        # Our record is older than what an interrupted upgrade has already written.
        (("8.4.3", "9.7.4"), "8.4.3", False),
    ],
)
def test_hops(evidence: tuple[str, ...], new: str, allowed: bool) -> None:
    change = upgrade.check(tuple(map(Version.parse, evidence)), Version.parse(new))
    assert change.allowed == allowed
    assert allowed or change.reason


def test_evidence_on_disk(tmp_path: Path) -> None:
    assert upgrade.evidence(tmp_path) == ()
    upgrade.record(tmp_path, Version(8, 4, 3))
    history = {"file_format": "1", "upgrade_history": [{"version": "8.4.3"}, {"version": "9.7.4-2"}]}
    (tmp_path / upgrade.HISTORY).write_text(json.dumps(history))
    assert upgrade.evidence(tmp_path) == (Version(8, 4, 3), Version(9, 7, 4))
    (tmp_path / upgrade.HISTORY).write_text("{}")
    (tmp_path / names.FILE_VERSION).write_text("nonsense")
    assert upgrade.evidence(tmp_path) == ()


def test_a_known_version_is_not_written_again(tmp_path: Path) -> None:
    upgrade.record(tmp_path, Version(9, 7, 4))
    before = (tmp_path / names.FILE_VERSION).stat().st_ino
    upgrade.record(tmp_path, Version(9, 7, 4))
    assert (tmp_path / names.FILE_VERSION).stat().st_ino == before
