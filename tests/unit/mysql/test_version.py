"""Versions, series rules and spelling tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.mysql.version import (
    FLOOR,
    SERIES,
    SINCE,
    Feature,
    Version,
    clone_compatible,
    series_change,
    supported,
    words,
)


def v(text: str) -> Version:
    return Version.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.7.4-2", Version(9, 7, 4)),
        ("8.0.46-0ubuntu0.24.04.1", Version(8, 0, 46)),
        ("8.4.0 MySQL Community Server - GPL", Version(8, 4, 0)),
        ("9.7", Version(9, 7, 0)),
        ("v26.1.0", Version(26, 1, 0)),
    ],
)
def test_parse(text: str, expected: Version) -> None:
    assert Version.parse(text) == expected


@pytest.mark.parametrize("text", ["", "latest", "9", "a9.7", ".9.7", "1234.1.1"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="server version"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker.io/library/mysql:9.7", Version(9, 7, 0)),
        ("mysql:8.0", Version(8, 0, 46)),
        ("mysql:8.0.30", Version(8, 0, 30)),
        ("registry:5000/team/mysql:8.4.6-oraclelinux9", Version(8, 4, 6)),
        ("percona/percona-server:8.4.5-5.1", Version(8, 4, 5)),
        ("mysql:v9.7.1", Version(9, 7, 1)),
        ("mysql", None),
        ("registry:5000/mysql", None),
        ("mysql:latest", None),
        ("mysql:9", None),
        ("mysql:9.7x", None),
        ("mysql@sha256:" + "0" * 64, None),
        ("mysql:9.7@sha256:" + "0" * 64, None),
    ],
)
def test_of_image(image: str, expected: Version | None) -> None:
    assert Version.of_image(image) == expected


@given(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)))
def test_text_round_trip(numbers: tuple[int, int, int]) -> None:
    version = Version(*numbers)
    assert Version.parse(str(version)) == version
    assert str(version).startswith(version.series)


@pytest.mark.parametrize(
    ("old", "new", "allowed", "says"),
    [
        ("9.7.4", "9.7.5", True, ""),
        ("9.7.5", "9.7.4", True, ""),  # LTS: patch downgrade
        ("8.0.40", "8.0.39", False, "no downgrade"),
        ("8.0.39", "8.0.40", True, ""),
        ("9.3.1", "9.3.0", False, "no downgrade"),
        ("8.0.40", "8.4.0", True, ""),
        ("8.4.6", "9.7.0", True, ""),
        ("8.4.6", "9.2.0", True, ""),
        ("9.2.0", "9.5.0", True, ""),
        ("9.6.0", "9.7.0", True, ""),
        ("8.0.40", "9.7.0", False, "through 8.4"),
        ("8.0.40", "9.2.0", False, "through 8.4"),
        ("8.4.0", "8.0.40", False, "cannot go back"),
        ("9.7.0", "9.6.0", False, "cannot go back"),
        ("9.7.0", "26.1.0", False, "not supported"),
        ("8.0.21", "8.0.40", False, "older than 8.0.22"),
        ("5.7.44", "8.0.40", False, "older than"),
    ],
)
def test_series_change(old: str, new: str, allowed: bool, says: str) -> None:
    change = series_change(v(old), v(new))
    assert change.allowed is allowed
    assert says in change.reason
    assert bool(change.reason) is not allowed


def test_supported() -> None:
    assert supported(FLOOR).allowed
    assert not supported(Version(8, 0, 21)).allowed
    assert "26.1" in supported(Version(26, 1, 0)).reason
    assert all(supported(v(f"{series}.30")).allowed for series in SERIES)


@pytest.mark.parametrize(
    ("donor", "recipient", "fits"),
    [
        ("9.7.4", "9.7.5", True),
        ("9.7.4", "9.6.0", False),
        ("8.0.36", "8.0.36", True),
        ("8.0.36", "8.0.37", False),
        ("8.0.37", "8.0.46", True),
        ("8.0.16", "8.0.16", False),
    ],
)
def test_clone_compatible(donor: str, recipient: str, fits: bool) -> None:
    assert clone_compatible(v(donor), v(recipient)) is fits


def test_every_feature_has_a_first_version() -> None:
    assert set(SINCE) == set(Feature)


def test_has_switches_exactly_at_the_first_version() -> None:
    first = SINCE[Feature.REPLICA_OPTIONS]
    assert first.patch > 0
    assert first.has(Feature.REPLICA_OPTIONS)
    assert not Version(first.major, first.minor, first.patch - 1).has(Feature.REPLICA_OPTIONS)


@pytest.mark.parametrize(
    ("version", "change", "log_updates", "reset", "status"),
    [
        ("8.0.22", "CHANGE MASTER TO", "log_slave_updates", "RESET MASTER", "SHOW MASTER STATUS"),
        ("8.0.23", "CHANGE REPLICATION SOURCE TO", "log_slave_updates", "RESET MASTER", "SHOW MASTER STATUS"),
        ("8.0.26", "CHANGE REPLICATION SOURCE TO", "log_replica_updates", "RESET MASTER", "SHOW MASTER STATUS"),
        (
            "8.4.0",
            "CHANGE REPLICATION SOURCE TO",
            "log_replica_updates",
            "RESET BINARY LOGS AND GTIDS",
            "SHOW BINARY LOG STATUS",
        ),
    ],
)
def test_words(version: str, change: str, log_updates: str, reset: str, status: str) -> None:
    w = words(v(version))
    assert (w.change_source, w.log_updates, w.reset_binary_logs, w.binary_log_status) == (
        change,
        log_updates,
        reset,
        status,
    )
    assert w.get_public_key.removeprefix("GET_").startswith(w.source_prefix)
