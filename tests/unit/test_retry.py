"""Pauses grow to their end and stay there."""

from __future__ import annotations

from cnmysql.retry import pause


def test_it_doubles_up_to_the_last() -> None:
    assert [pause(waited, first=0.5, last=30.0) for waited in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_years_of_failures_are_no_number_too_large() -> None:
    assert pause(10**9, first=0.005, last=300.0) == 300.0
