"""Values of a few words are checked by name, and what cannot stand in my.cnf is refused."""

from __future__ import annotations

import pytest

from cnmysql.mysql.parameter_values import AT_START, ENUMERATIONS, NO_OPTIONS, SETS
from cnmysql.mysql.parameters import check_parameters, is_dynamic, kind_of
from cnmysql.mysql.version import Version

V = Version(9, 7, 4)
VALUES = {**ENUMERATIONS, **SETS}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_member_passes_in_any_case_and_nothing_else_does(name: str) -> None:
    members = VALUES[name].split()
    for member in (*members, "1"):
        assert not check_parameters({name: member}, V) and not check_parameters({name: f" {member.lower()} "}, V)
    for wrong in ("BOGUS", members[0][:-1], f"{members[0]} {members[0]}"):
        for key in (name, f"loose_{name}".replace("_", "-")):
            (found,) = check_parameters({key: wrong}, V)
            assert found.fatal and found.key == key
            assert f"{key!r} has the value {wrong!r}" in found.message and ", ".join(members) in found.message


def test_a_set_takes_several_members_or_none_and_no_empty_one() -> None:
    for good in ("", "ANSI", "ANSI,traditional", "8"):
        assert not check_parameters({"sql_mode": good}, V)
    for bad in ("ANSI, TRADITIONAL", "ANSI,", ",ANSI", "ANSI,,TRADITIONAL", "ANSI,FOO"):
        assert check_parameters({"sql_mode": bad}, V)[0].fatal
    assert check_parameters({"transaction_isolation": ""}, V)[0].fatal


def test_what_is_no_option_is_refused_with_what_to_do_instead() -> None:
    for name, remedy in NO_OPTIONS.items():
        (found,) = check_parameters({name: "1"}, V)
        assert found.fatal
        assert remedy in found.message or "not allowed" in found.message
    assert "use default_time_zone" in check_parameters({"time-zone": "+00:00"}, V)[0].message
    assert not check_parameters({"loose_time_zone": "+00:00", "default_time_zone": "+00:00"}, V)


def test_what_we_do_not_know_is_left_to_mysqld() -> None:
    assert not check_parameters({"default_storage_engine": "FOO", "no_such_thing": "FOO", "optimizer_switch": "x=y"}, V)


def test_what_a_start_alone_takes_or_refuses_is_rolled() -> None:
    assert not any(is_dynamic(name, V) for name in AT_START)
    assert all(kind_of(name) is not None for name in AT_START)
