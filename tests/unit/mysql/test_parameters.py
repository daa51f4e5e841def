"""What users may set, what is refused and how values travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.mysql import parameters
from cnmysql.mysql.parameters import Change, Class, check_change, check_parameters, classify, is_dynamic, literal
from cnmysql.mysql.version import Version
from tests.support.cost import cpu_seconds

V97, V84, V80, V8022 = Version(9, 7, 4), Version(8, 4, 0), Version(8, 0, 46), Version(8, 0, 22)


@pytest.mark.parametrize(
    ("key", "version", "expected"),
    [
        ("max_connections", V97, Class.ALLOWED),
        ("require_secure_transport", V97, Class.ALLOWED),
        ("partial_revokes", V97, Class.ALLOWED),
        ("a_variable_of_the_future", V97, Class.ALLOWED),
        ("skip_show_database", V97, Class.ALLOWED),
        ("server-id", V97, Class.MANAGED),
        (" Super-Read-Only ", V97, Class.MANAGED),
        ("loose_gtid_mode", V97, Class.MANAGED),
        ("loose-loose-gtid-mode", V97, Class.MANAGED),
        ("maximum_loose_sync_binlog", V97, Class.MANAGED),
        ("skip_log_bin", V97, Class.DENIED),
        ("disable_gtid_mode", V97, Class.MANAGED),
        ("enable-read-only", V97, Class.MANAGED),
        ("group_replication_anything", V97, Class.MANAGED),
        ("loose_group_replication_x", V97, Class.MANAGED),
        ("init-file", V97, Class.DENIED),
        ("LOOSE_PLUGIN-LOAD", V97, Class.DENIED),
        ("skip-grant-tables", V97, Class.DENIED),
        ("loose_skip_grant_tables", V97, Class.DENIED),
        ("skip_networking", V97, Class.DENIED),
        ("replicate_do_db", V97, Class.DENIED),
        ("rpl_semi_sync_source_enabled", V97, Class.DENIED),
        ("mysqlx_port", V97, Class.DENIED),
        ("initialize", V97, Class.DENIED),
        ("log_raw", V97, Class.DENIED),
        ("gtid_purged", V97, Class.DENIED),
        ("ssl", V80, Class.DENIED),
        ("skip_ssl", V80, Class.DENIED),
        ("admin-ssl", V80, Class.DENIED),
        ("enable_admin_ssl", V80, Class.DENIED),
        ("ssl_cipher", V80, Class.ALLOWED),
        ("plugin_max_connections", V97, Class.INVALID),
        ("skip_", V97, Class.INVALID),
        ("skip_slow_query_log", V97, Class.INVALID),
        ("a b", V97, Class.INVALID),
        ("a\n[mysqld]", V97, Class.INVALID),
        ("!include", V97, Class.INVALID),
        ("", V97, Class.INVALID),
        ("loose_", V97, Class.INVALID),
        ("default_authentication_plugin", V97, Class.REMOVED),
        ("default_authentication_plugin", V84, Class.REMOVED),
        ("default_authentication_plugin", V80, Class.ALLOWED),
        ("master_info_repository", V84, Class.REMOVED),
        ("master_info_repository", V80, Class.DEPRECATED),
        ("master_info_repository", V8022, Class.ALLOWED),
        ("slave_parallel_workers", V97, Class.DEPRECATED),
        ("innodb_log_file_size", V97, Class.REMOVED),
        ("innodb_log_file_size", V84, Class.DEPRECATED),
        ("innodb_log_file_size", V8022, Class.ALLOWED),
    ],
)
def test_classify(key: str, version: Version, expected: Class) -> None:
    assert classify(key, version) is expected


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("max_connections", "1.5", "write digits"),
        ("max_connections", "0x10", "write digits"),
        ("innodb_buffer_pool_size", "256Mi", "write digits"),
        ("innodb_buffer_pool_size", "1GB", "write digits"),
        ("max_connections", "", "write digits"),
        ("max_connections", "١", "write digits"),
        ("slow_query_log", "yes", "reads as OFF; write ON or OFF"),
        ("slow_query_log", "", "write ON or OFF"),
        ("long_query_time", "1s", "for example 0.5"),
        ("init_connect", "a\nskip_grant_tables", "line break"),
        ("init_connect", "a\rb", "line break"),
        ("init_connect", "a\0b", "line break"),
        ("init_connect", "a\x85b", "line break"),
        ("init_connect", "x" * 3801, "more than 3800 bytes"),
        ("init_connect", "\ud800", "not valid Unicode"),
        ("tls_version", "", "less than TLS 1.2"),
        ("tls_version", "TLSv1,TLSv1.2", "less than TLS 1.2"),
        ("tls-version", "TLSv1.1", "less than TLS 1.2"),
        ("loose_tls_version", "TLSv1.2,,", "less than TLS 1.2"),
        ("innodb_temp_data_file_path", "../.cnmysql-epoch:12M", "names a path"),
        ("innodb_temp_data_file_path", "ibtmp1:12M;/etc/x:12M:autoextend", "names a path"),
        ("loose-innodb_temp_data_file_path", ".cnmysql-version:12M", "names a path"),
        ("innodb_data_file_path", "ibdata1:12M;mysql.ibd:12M", "names a path"),
        ("maximum_innodb_data_file_path", "", "names a path"),
    ],
)
def test_values_that_mysqld_would_misread_are_refused(key: str, value: str, says: str) -> None:
    (finding,) = check_parameters({key: value}, V97)
    assert finding.kind is Class.INVALID
    assert finding.fatal
    assert says in finding.message
    assert key in finding.message


@pytest.mark.parametrize("value", ["TLSv1.3", "TLSv1.2, TLSv1.3", "tlsv1.2"])
def test_tls_may_be_narrowed_to_what_is_safe(value: str) -> None:
    assert check_parameters({"tls_version": value}, V97) == []


@pytest.mark.parametrize("value", ["ibtmp1:12M:autoextend:max:5G", "ibdata1:1G; ibdata2:12M:autoextend"])
def test_the_size_of_tablespaces_may_be_chosen(value: str) -> None:
    assert check_parameters(dict.fromkeys(parameters.PATH_FREE, value), V97) == []


def test_findings_say_what_to_do() -> None:
    found = {
        finding.key: finding
        for finding in check_parameters(
            {"binlog-format": "ROW", "expire_logs_days": "3", "old": "1", "slave_parallel_workers": "2", "ok": "1"}, V97
        )
    }
    assert set(found) == {"binlog-format", "expire_logs_days", "old", "slave_parallel_workers"}
    assert "spec.mysql.binlogFormat" in found["binlog-format"].message
    assert not found["old"].fatal
    assert "left out" in found["old"].message
    assert not found["slave_parallel_workers"].fatal
    assert "replica_parallel_workers" in found["slave_parallel_workers"].message


def test_one_variable_in_two_spellings_is_refused() -> None:
    (finding,) = check_parameters({"max-connections": "1", "max_connections": "2"}, V97)
    assert finding.fatal
    assert "twice" in finding.message


def test_rendered_drops_what_the_server_lacks_and_refuses_the_rest() -> None:
    assert parameters.rendered({"Max-Connections": " 5 ", "old": "1"}, V97) == {"max_connections": "5"}
    with pytest.raises(ValueError, match="plugin_load"):
        parameters.rendered({"plugin_load": "x.so"}, V97)


def test_parameters_of_initialisation_stay() -> None:
    (finding,) = check_change({"lower-case-table-names": "1"}, {"max_connections": "5"})
    assert "lower_case_table_names" in finding.message
    (hidden,) = check_change({}, {"Loose-Partial_Revokes": "ON"})
    assert "partial_revokes" in hidden.message
    assert check_change({"innodb_page_size": "8192"}, {"innodb-page-size": "8192", "x": "1"}) == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_connections", "200", "200"),
        ("innodb_buffer_pool_size", "2g", "2147483648"),
        ("innodb_buffer_pool_size", "1K", "1024"),
        ("host_cache_size", "-1", "-1"),
        ("slow_query_log", "on", "ON"),
        ("slow_query_log", "0", "OFF"),
        ("long_query_time", "0.25", "0.25"),
        ("transaction_isolation", "READ-COMMITTED", "'READ-COMMITTED'"),
        ("event_scheduler", "1", "1"),
        ("sql_mode", "", "''"),
        ("sql_mode", "ANSI,TRADITIONAL", "'ANSI,TRADITIONAL'"),
        ("init_connect", "SET @a='x'", "'SET @a=''x'''"),
        ("init_connect", "1", "'1'"),
        ("loose_max_connections", "1k", "1024"),
        ("unknown", "5", "'5'"),
    ],
)
def test_literals(key: str, value: str, expected: str) -> None:
    assert literal(key, value) == expected


@given(st.integers(-(10**9), 10**12), st.sampled_from(["", "k", "M", "g", "T"]))
def test_integer_literals_keep_their_value(number: int, suffix: str) -> None:
    factor = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}[suffix.lower()]
    assert int(literal("max_allowed_packet", f"{number}{suffix}")) == number * factor


def test_what_applies_live() -> None:
    assert is_dynamic("max-connections", V97)
    assert not is_dynamic("innodb_page_size", V97)
    assert not is_dynamic("sql_require_primary_key", V97)
    assert not is_dynamic("unknown_variable", V97)
    assert not is_dynamic("max_connections", V84)


def test_changes() -> None:
    old = {"a": "1", "max_connections": "5", "b": "2", "gone": "x"}
    new = {"A": " 1", "max-connections": "6", "b": "2", "innodb_page_size": "4k"}
    assert parameters.changes(old, new) == (
        Change("gone", None),
        Change("innodb_page_size", "4k"),
        Change("max_connections", "6"),
    )
    assert parameters.needs_roll(old, new, V97) == ("gone", "innodb_page_size")
    assert parameters.needs_roll({"max_connections": "1"}, {}, V97) == ()


def test_prefixes_without_end_are_taken_off_at_once() -> None:
    """As large as a key in an object of the API can be. Copying the rest for each of them took a second."""
    key = "loose_maximum_" * (2**20 // 14)
    assert parameters.base(key + "sync_binlog") == "sync_binlog"
    assert cpu_seconds(lambda: classify(key, V97)) < 0.1
