"""Every end of mysqld and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.protocol.report import ExitKind
from instance.process.exits import (
    BACKOFF,
    LOOP_LIMIT,
    LOOP_WINDOW,
    Again,
    Death,
    GiveUp,
    Hold,
    Past,
    after_exit,
    classify,
    oom_kills,
    remember,
    signal_name,
)


@pytest.mark.parametrize(
    ("death", "kind"),
    [
        (Death(0), "clean"),
        (Death(0, requested=True), "clean"),
        (Death(16), "restart"),
        (Death(1), "configuration"),
        (Death(2), "crash"),
        (Death(-6), "crash"),
        (Death(-11), "crash"),
        (Death(-7), "crash"),
        (Death(137), "crash"),
        (Death(-9), "signal"),
        (Death(-9, oom_kills=1), "oomKilled"),
        # The kernel killed something else while we killed this one.
        (Death(-9, requested=True, oom_kills=1), "signal"),
        (Death(-15), "signal"),
        (Death(-2), "signal"),
    ],
)
def test_the_kind_of_an_exit(death: Death, kind: ExitKind) -> None:
    assert classify(death) == kind


def past(*kinds: ExitKind, every: float = 1.0) -> tuple[Past, ...]:
    return tuple(Past(i * every, kind) for i, kind in enumerate(kinds))


def step(*kinds: ExitKind, every: float = 1.0) -> Again | Hold | GiveUp:
    entries = past(*kinds, every=every)
    return after_exit(entries, entries[-1].at)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("restart",), Again(0.0)),
        (("restart",) * 9, Again(0.0)),
        (("crash",), Again(0.2)),
        (("crash", "signal"), Again(1.0)),
        (("crash", "signal", "oomKilled"), Again(3.0)),
        (("crash",) * 4, Again(10.0)),
        # Requested restarts in between neither count nor reset.
        (("crash", "restart", "crash"), Again(1.0)),
        (("clean",), Again(0.0)),
        (("clean", "clean"), Again(0.0)),
        (("configuration",), Again(5.0)),
        (("configuration", "configuration"), Again(5.0)),
        (("configuration", "crash", "configuration"), Again(5.0)),
    ],
)
def test_what_follows(kinds: tuple[ExitKind, ...], expected: Again) -> None:
    assert step(*kinds) == expected


def test_a_configuration_error_is_not_looped() -> None:
    held = step("configuration", "configuration", "configuration")
    assert isinstance(held, Hold)
    assert held.reason == "ConfigurationInvalid"
    assert held.after == 60.0


def test_shut_down_by_somebody_else_again_and_again() -> None:
    held = step("clean", "clean", "clean")
    assert isinstance(held, Hold)
    assert (held.reason, held.after) == ("CrashLoop", None)
    assert step("clean", "clean", "clean", every=31.0) == Again(0.0)


def test_five_crashes_in_ten_minutes_end_the_manager() -> None:
    given_up = step(*("crash",) * LOOP_LIMIT, every=100.0)
    assert isinstance(given_up, GiveUp)
    assert step(*("crash",) * LOOP_LIMIT, every=151.0) == Again(BACKOFF[3])


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from(["crash", "signal", "clean", "restart"])), max_size=40))
def test_no_history_makes_a_busy_loop(steps: list[tuple[float, ExitKind]]) -> None:
    """Crashes never restart faster than the backoff, and memory of them is bounded by the window."""
    known: tuple[Past, ...] = ()
    now = 0.0
    for delay, kind in steps:
        now += delay
        known = remember(known, Past(now, kind))
        assert all(now - p.at <= LOOP_WINDOW for p in known)
        decision = after_exit(known, now)
        if kind in ("crash", "signal"):
            assert isinstance(decision, GiveUp) or (isinstance(decision, Again) and decision.after >= BACKOFF[0])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", 7),
        ("oom_kill many\n", 0),
        ("", 0),
    ],
)
def test_the_kernels_counter_in_both_cgroup_versions(text: str, count: int) -> None:
    assert oom_kills(text) == count


def test_signals_have_names() -> None:
    assert signal_name(-9) == "SIGKILL"
    assert signal_name(2) is None
    assert signal_name(-99) == "signal 99"
