"""Rendering of my.cnf; that mysqld reads it as meant is in tests/mysql/test_mycnf.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import names
from cnmysql.mysql.memory import GIB, MIB
from cnmysql.mysql.mycnf import MyCnfInput, for_start, render, settings, static_part
from cnmysql.mysql.version import Version

V97 = Version(9, 7, 4)
PLAIN = MyCnfInput(V97, 3, "db-3.shop.svc")


def test_the_fixed_part() -> None:
    found = settings(render(PLAIN))
    assert found["server_id"] == "3"
    assert found["report_host"] == "db-3.shop.svc"
    assert found["datadir"] == names.DATA_DIR
    assert found["super_read_only"] == found["read_only"] == found["gtid_mode"] == "ON"
    assert found["skip_replica_start"] == found["log_replica_updates"] == "ON"
    assert found["relay_log_recovery"] == found["persisted_globals_load"] == "OFF"
    assert found["ssl_ca"] == "/etc/cnmysql/tls/trust/client-ca.crt"
    assert found["ssl_cert"] == "/etc/cnmysql/tls/server/tls.crt"
    assert found["plugin_load_add"] == "mysql_clone.so"
    assert found["log_error_services"] == "log_filter_internal;log_sink_json"
    assert "binlog_format" not in found
    assert "innodb_buffer_pool_size" not in found
    assert not any("semi_sync" in key for key in found)


def test_one_section_and_no_key_twice() -> None:
    text = render(replace(PLAIN, parameters={"local-infile": "ON", "replica_parallel_workers": "9"}, memory_limit=GIB))
    assert text.count("[") == 1
    keys = [line.split(" = ")[0] for line in text.splitlines() if " = " in line]
    assert len(keys) == len(set(keys))
    assert settings(text)["local_infile"] == "ON"
    assert settings(text)["replica_parallel_workers"] == "9"


def test_old_servers_get_the_old_words() -> None:
    text = render(replace(PLAIN, version=Version(8, 0, 22), memory_limit=GIB))
    found = settings(text)
    assert found["log_slave_updates"] == found["skip_slave_start"] == "ON"
    assert found["rpl_stop_slave_timeout"] == found["slave_net_timeout"] == "10"
    assert "slave_parallel_workers" in found
    assert "replica" not in text
    assert "log_error_services" not in found
    assert "innodb_redo_log_capacity" not in found
    assert int(found["innodb_log_file_size"]) > 0


def test_a_users_old_spelling_replaces_the_proposal() -> None:
    found = settings(render(replace(PLAIN, parameters={"slave-parallel-workers": "2"})))
    assert found["slave_parallel_workers"] == "2"
    assert "replica_parallel_workers" not in found


def test_the_users_part_is_sorted_and_last() -> None:
    text = render(replace(PLAIN, parameters={"wait_timeout": "5", "Back-Log": "7", "old": "1"}))
    assert text.endswith("# spec.mysql.parameters\nback_log = 7\nwait_timeout = 5\n")


def test_binlog_format_only_when_it_is_not_the_default() -> None:
    assert settings(render(replace(PLAIN, binlog_format="MIXED")))["binlog_format"] == "MIXED"


def test_refused_parameters_raise() -> None:
    with pytest.raises(ValueError, match="bind-address"):
        render(replace(PLAIN, parameters={"bind-address": "0.0.0.0"}))


@pytest.mark.parametrize(
    ("limit", "pool_mib", "instances", "connections"),
    [
        (512 * MIB, 64, 1, 75),
        (GIB, 256, 1, 151),
        (2 * GIB, 896, 1, 151),
        (4 * GIB, 2432, 2, 151),
        (16 * GIB, 11392, 8, 151),
        (64 * GIB, 45824, 8, 151),
    ],
)
def test_memory(limit: int, pool_mib: int, instances: int, connections: int) -> None:
    found = settings(render(replace(PLAIN, memory_limit=limit)))
    pool = int(found["innodb_buffer_pool_size"])
    assert pool // MIB == pool_mib
    assert int(found["innodb_buffer_pool_instances"]) == instances
    assert int(found["max_connections"]) == connections
    assert 100 * MIB <= int(found["innodb_redo_log_capacity"]) <= 8 * GIB
    assert pool + connections * MIB < limit


def test_memory_yields_to_the_user_and_the_volume() -> None:
    given_ = {"innodb_buffer_pool_size": "300M", "max_connections": "400"}
    found = settings(render(replace(PLAIN, memory_limit=4 * GIB, cpu=1, volume_size=GIB, parameters=given_)))
    assert found["innodb_buffer_pool_size"] == "300M"
    assert found["max_connections"] == "400"
    assert int(found["innodb_redo_log_capacity"]) <= GIB // 10
    assert found["innodb_buffer_pool_instances"] == "1"
    assert found["replica_parallel_workers"] == "2"


_values = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\u2028\u2029") | st.just("\t"), max_size=80
)


@given(_values)
def test_any_value_is_one_line_and_comes_back_whole(value: str) -> None:
    text = render(replace(PLAIN, parameters={"init_connect": value}))
    assert settings(text)["init_connect"] == value.strip()
    assert len(text.split("\n")) == len(render(replace(PLAIN, parameters={"init_connect": "x"})).split("\n"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_parameter_can_add_a_line(key: str, value: str) -> None:
    try:
        text = render(replace(PLAIN, parameters={key: value}))
    except ValueError:
        return
    assert len(text.split("\n")) <= len(render(PLAIN).split("\n")) + 2
    assert text.count("\n[") == 1


def test_settings_refuse_what_render_does_not_write() -> None:
    with pytest.raises(ValueError, match="unexpected line"):
        settings("[mysqld]\nskip-networking\n")


def test_only_static_lines_count_for_a_roll() -> None:
    def static(**parameters: str) -> str:
        return static_part(render(replace(PLAIN, parameters=parameters)), V97)

    base = static()
    assert static(max_connections="7") == base
    assert static(sql_mode="ANSI") == base
    assert static(back_log="7") != base
    assert static(sql_require_primary_key="ON") != base
    assert static(unknown_thing="1") != base
    assert "max_connections" not in static(max_connections="7")


def text(version: Version = V97, **parameters: str) -> str:
    return render(MyCnfInput(version, 1, "db-1", parameters=parameters))


def test_a_start_has_the_former_value_of_what_is_to_be_tried_live() -> None:
    former = text(default_storage_engine="MEMORY", max_connections="100", back_log="5")
    wanted = text(default_storage_engine="FOO", init_connect="SET @a = '#'", back_log="6", local_infile="ON")
    found = settings(for_start(wanted, former, V97))
    assert found["default_storage_engine"] == "MEMORY"
    assert found["back_log"] == "6", "static: a roll tries it"
    assert "init_connect" not in found, "there was none"
    assert "max_connections" not in found, "the server's default needs no trial"
    assert found["local_infile"] == "OFF", "what was proposed where the user had nothing"
    assert for_start(former, former, V97) == former
    assert for_start(wanted, wanted, V97) == wanted


def test_what_we_compute_ourselves_is_not_held_back() -> None:
    small, large = (render(MyCnfInput(V97, 1, "db-1", memory_limit=size << 30, cpu=1)) for size in (1, 8))
    assert for_start(small, large, V97) == small != large


def test_a_start_after_nothing_or_after_a_strangers_file() -> None:
    wanted = text(default_storage_engine="FOO", back_log="6")
    assert for_start(wanted, "", V97) == text(back_log="6")
    assert for_start(wanted, "!include /etc/passwd\n", V97) == wanted


def test_a_series_whose_parameters_are_all_rolled_starts_with_what_is_wanted() -> None:
    old = Version(8, 4, 5)
    wanted = text(old, default_storage_engine="FOO")
    assert for_start(wanted, text(old), old) == wanted
