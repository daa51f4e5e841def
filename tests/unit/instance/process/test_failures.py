"""When mysqld is started again after it ended by itself."""

from __future__ import annotations

from instance.process.failures import CONFIG_POLL_SECONDS, Failures


def test_backoff_is_kept_however_often_one_asks() -> None:
    failures = Failures()
    assert failures.delay(100.0, b"") == 0
    failures.note("crash", 100.0, b"")
    failures.note("crash", 101.0, b"")
    assert failures.delay(101.0, b"") == 1.0
    assert failures.delay(101.75, b"") == 0.25
    assert failures.delay(102.0, b"") == 0


def wrong_configuration() -> Failures:
    failures = Failures()
    for now in (0.0, 5.0, 10.0):
        failures.starting()
        failures.note("configuration", now, b"wrong")
    return failures


def test_a_wrong_configuration_waits_for_another_one() -> None:
    failures = wrong_configuration()
    assert failures.problem is not None
    assert failures.problem.reason == "ConfigurationInvalid"
    assert failures.delay(11.0, b"wrong") == CONFIG_POLL_SECONDS
    assert failures.delay(11.0, b"right") == 0
    assert failures.delay(70.0, b"wrong") == 0


def test_the_problem_is_shown_again_when_the_next_try_fails_too() -> None:
    failures = wrong_configuration()
    failures.starting()
    assert failures.problem is None
    failures.note("configuration", 72.0, b"wrong")
    assert failures.problem is not None


def test_an_order_wipes_the_record() -> None:
    failures = Failures()
    for now in (0.0, 1.0, 2.0):
        failures.note("clean", now, b"")
    assert failures.delay(1000.0, b"") is None
    failures.forget()
    assert failures.delay(2.0, b"") == 0
    assert failures.problem is None


def test_too_many_crashes_are_final() -> None:
    failures = Failures()
    for now in range(5):
        assert not failures.final
        failures.note("signal", float(now), b"")
    assert failures.final
    assert failures.delay(9999.0, b"") is None
