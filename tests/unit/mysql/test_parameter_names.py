"""Every name that mysqld would find a refused variable under is refused, and every text a user may set has a reason."""

from __future__ import annotations

from itertools import product

import pytest

from cnmysql.mysql import variables
from cnmysql.mysql.parameter_names import PREFIXES, Class, bare, base
from cnmysql.mysql.parameter_tables import DENIED, DENIED_PREFIXES, MANAGED, MANAGED_PREFIXES, PATH_FREE
from cnmysql.mysql.parameters import classify
from cnmysql.mysql.version import Version

V = Version(9, 7, 4)
CHAINS = [chain for length in range(3) for chain in product(PREFIXES, repeat=length)]
REFUSED = (Class.DENIED, Class.MANAGED)

ELSEWHERE = """
    audit_log_file authentication_kerberos_service_key_tab authentication_ldap_sasl_ca_path
    authentication_ldap_simple_ca_path coredumper daemon_memcached_engine_lib_name
    daemon_memcached_engine_lib_path daemon_memcached_option des_key_file innodb_parallel_doublewrite_path
    innodb_scan_directories keyring_aws_conf_file keyring_aws_data_file keyring_encrypted_file_data
    keyring_encrypted_file_password keyring_file_data keyring_hashicorp_ca_path keyring_hashicorp_secret_id
    keyring_okv_conf_dir keyring_vault_config master_info_file ndb_connectstring ndb_tls_search_path ndbcluster
    relay_log_info_file rocksdb_datadir rocksdb_wal_dir validate_password_dictionary_file
    """
"""Options of other series, of options without a variable, and of plugins: paths, and what loads code."""

TEXTS = {
    "character sets and collations, by name": """
        character_set_client character_set_connection character_set_database character_set_filesystem
        character_set_results character_set_server collation_connection collation_database collation_server
        default_collation_for_utf8mb4 lc_messages lc_time_names""",
    "one of a few words": """
        caching_sha2_password_storage_format innodb_change_buffering innodb_checksum_algorithm
        innodb_default_row_format innodb_doublewrite innodb_flush_method innodb_log_writer_threads innodb_stats_method
        myisam_recover_options myisam_stats_method""",
    "storage engines, by name": """
        default_storage_engine default_tmp_storage_engine disabled_storage_engines
        external_table_secondary_storage_engine external_table_storage_engine""",
    "counters of InnoDB, by name": """
        innodb_monitor_disable innodb_monitor_enable innodb_monitor_reset innodb_monitor_reset_all""",
    "tables, by name": "innodb_ft_aux_table innodb_ft_server_stopword_table innodb_ft_user_stopword_table",
    "roles, authentication plugins and ciphers among those mysqld has; never less than TLS 1.2": """
        authentication_policy mandatory_roles persist_only_admin_x509_subject ssl_cipher tls_version""",
    "statements that clients run with their own rights": "init_connect",
    "told to others as it is": "report_password report_user",
    "a time zone, variables, codes or operators, by name": """
        ft_boolean_syntax log_error_suppression_list session_track_system_variables time_zone""",
    "refused by mysqld itself: nobody sets it": """
        build_id character_set_system gtid_executed gtid_owned have_compress have_dynamic_loading have_geometry
        have_profiling have_query_cache have_rtree_keys have_statement_timeout have_symlink hostname innodb_version
        license system_time_zone version_comment version_compile_machine version_compile_os version_compile_zlib
        version_with_update""",
}
"""Every variable of free text that is not refused, and what makes it harmless."""


@pytest.mark.parametrize("name", sorted({*DENIED, *MANAGED, *ELSEWHERE.split(), "innodb_buffer_pool_filename"}))
def test_no_spelling_of_a_refused_name_slips_through(name: str) -> None:
    for chain in CHAINS:
        key = "".join(chain) + name
        for spelling in (key, key.upper(), key.replace("_", "-"), f" {key} "):
            assert classify(spelling, V) in REFUSED, spelling


@pytest.mark.parametrize("prefix", sorted({*DENIED_PREFIXES, *MANAGED_PREFIXES}))
def test_no_spelling_of_a_refused_family_slips_through(prefix: str) -> None:
    for chain in CHAINS:
        assert classify("".join(chain) + prefix + "x", V) in REFUSED


def test_every_text_that_a_user_may_set_is_listed_with_its_reason() -> None:
    """A path is a text: a variable that a later server brings has to be looked at before it is allowed."""
    texts = {name for table in (variables.DYNAMIC, variables.STATIC) for name in table["string"].split()}
    allowed = {name for name in texts if classify(name, V) not in REFUSED}
    listed = {name for names in TEXTS.values() for name in names.split()} | PATH_FREE.keys()
    assert allowed == listed


def test_prefixes_are_taken_off_in_any_order() -> None:
    assert base("loose_maximum_loose_x") == "x"
    assert base("loose_skip_x") == "skip_x"
    assert bare("skip_loose_plugin_innodb_x") == "innodb_x"
    assert bare("skip_name_resolve") == "name_resolve"
    assert bare("skip_") == ""
