"""Which server variables users may not set, which are gone or going, and why. Data only; `parameters` applies it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cnmysql.mysql.version import Version


def _table(groups: Mapping[str, str]) -> Mapping[str, str]:
    return {name: why for why, found in groups.items() for name in found.split()}


MANAGED: Final[Mapping[str, str]] = _table(
    {
        "identifies the instance and is set by the operator": "server_id report_host admin_address admin_port",
        "holds replication together and is set by the operator": """
            gtid_mode enforce_gtid_consistency log_bin log_replica_updates log_slave_updates relay_log
            relay_log_recovery replica_net_timeout slave_net_timeout replica_preserve_commit_order
            slave_preserve_commit_order rpl_stop_replica_timeout rpl_stop_slave_timeout""",
        "decides who may write and is set by the instance": "read_only super_read_only",
        "names the instance's own files": "datadir socket ssl_ca ssl_cert ssl_key",
        "has a field of its own, spec.mysql.binlogFormat": "binlog_format",
        "keeps committed transactions and is set by the operator": """
            sync_binlog max_binlog_size binlog_expire_logs_seconds binlog_expire_logs_auto_purge expire_logs_days""",
        "is chosen by the operator for the features in use": "plugin_load_add mysqlx create_admin_listener_thread",
        "is fixed, because accounts and logs are read by it": """
            skip_name_resolve persisted_globals_load log_error_services log_timestamps""",
    }
)
MANAGED_PREFIXES: Final[Mapping[str, str]] = {
    "group_replication_": "is set by the operator from spec.replication",
}
DENIED: Final[Mapping[str, str]] = _table(
    {
        "would move files out of the volume or the Pod's layout": """
            basedir pid_file port tmpdir plugin_dir secure_file_priv log_error log_bin_basename relay_log_basename
            general_log_file slow_query_log_file log_bin_index relay_log_index innodb_data_home_dir
            innodb_log_group_home_dir innodb_undo_directory innodb_directories innodb_doublewrite_dir
            innodb_temp_tablespaces_dir innodb_redo_log_archive_dirs innodb_tmpdir replica_load_tmpdir
            slave_load_tmpdir character_sets_dir lc_messages_dir server_uuid symbolic_links
            authentication_kerberos_service_key_tab coredumper""",
        "would write what clients say, passwords too, into files of the volume": "log_raw log_isam innodb_status_file",
        "would start replication or open the server outside the operator's order": """
            skip_slave_start skip_replica_start offline_mode init_file init_replica init_slave""",
        "would let a replica differ from its source": """
            replica_skip_errors slave_skip_errors replica_exec_mode slave_exec_mode binlog_do_db binlog_ignore_db
            binlog_error_action sql_replica_skip_counter sql_slave_skip_counter server_id_bits disable_log_bin
            skip_log_bin gtid_purged""",
        "would change how the server is reached": """
            report_port bind_address skip_networking networking protocol_compression_algorithms""",
        "would change how connections are proved": """
            ssl admin_ssl auto_generate_certs admin_tls_ciphersuites admin_tls_version tls_ciphersuites ssl_capath
            ssl_crl ssl_crlpath tls_certificates_enforced_validation skip_grant_tables grant_tables
            clone_valid_donor_list clone_ssl_ca clone_ssl_cert clone_ssl_key""",
        "would load code": "plugin_load early_plugin_load allow_suspicious_udfs",
        "would hide what role changes must see": "performance_schema performance_schema_show_processlist",
        "is a mode of mysqld, not a setting": """
            user chroot initialize initialize_insecure daemonize console gdb help verbose version validate_config
            upgrade log_tc log_tc_size tc_heuristic_recover exit_info defaults_file defaults_extra_file no_defaults
            print_defaults core_file""",
    }
)
DENIED_PREFIXES: Final[Mapping[str, str]] = {
    "replicate_": "would let a replica differ from its source",
    "rpl_semi_sync_": "is switched by the instance when roles change",
    "mysqlx_": "belongs to a protocol that is switched off",
    "admin_ssl_": "would change how connections are proved",
    "keyring_": "belongs to plugins that are not loaded",
    "daemon_memcached_": "would load code",
    "ndb": "belongs to an engine whose tables are not replicated",
}
PATH: Final = "(dir|_(file|filename|path|dirs|directory|directories))$"
"""How a variable is called that holds a path, in any server or plugin: a pattern for Python and for CEL. mysqld may
read and write more than its volume: mounted passwords, and on the volume the files that the instance believes."""
PATH_REASON: Final = "names a file or a directory, and those are laid out by the operator"
PATH_FREE: Final[Mapping[str, str]] = {
    "innodb_data_file_path": "how large the system tablespace is and whether it grows; a value with a path is refused",
    "innodb_temp_data_file_path": "how large temporary tables may grow; a value with a path is refused",
}
"""Called like a path, allowed all the same, and why."""
IMMUTABLE: Final = frozenset({"lower_case_table_names", "innodb_page_size", "innodb_data_file_path", "partial_revokes"})
"""Fixed by initialisation: what the files look like, and how the schema names of the first grants are read."""

_FOR_8_0, _FOR_8_4, _FOR_9_0, _FOR_9_7 = Version(8, 0), Version(8, 4), Version(9, 0), Version(9, 7)
REMOVED: Final[Mapping[str, tuple[Version, str]]] = {
    "default_authentication_plugin": (_FOR_8_4, "use authentication_policy"),
    "master_info_repository": (_FOR_8_4, "this metadata always lives in tables; remove it"),
    "relay_log_info_repository": (_FOR_8_4, "this metadata always lives in tables; remove it"),
    "expire_logs_days": (_FOR_8_4, "use binlog_expire_logs_seconds"),
    "log_bin_use_v1_row_events": (_FOR_8_4, "remove it"),
    "slave_rows_search_algorithms": (_FOR_8_4, "remove it"),
    "transaction_write_set_extraction": (_FOR_8_4, "remove it"),
    "binlog_transaction_dependency_tracking": (_FOR_8_4, "write sets are always used; remove it"),
    "avoid_temporal_upgrade": (_FOR_8_4, "remove it"),
    "old": (_FOR_8_4, "remove it"),
    "new": (_FOR_8_4, "remove it"),
    "have_ssl": (_FOR_8_4, "remove it"),
    "character_set_client_handshake": (_FOR_8_4, "remove it"),
    "old_style_user_limits": (_FOR_8_4, "remove it"),
    "language": (_FOR_8_4, "use lc_messages"),
    "skip_host_cache": (_FOR_8_4, "use host_cache_size = 0"),
    "mysql_native_password": (_FOR_9_0, "move accounts to caching_sha2_password"),
    "innodb_log_file_size": (_FOR_9_7, "use innodb_redo_log_capacity"),
    "innodb_log_files_in_group": (_FOR_9_7, "use innodb_redo_log_capacity"),
    "innodb_undo_tablespaces": (_FOR_9_7, "use CREATE UNDO TABLESPACE"),
    "slave_parallel_type": (_FOR_9_7, "remove it"),
    "replica_parallel_type": (_FOR_9_7, "remove it"),
    "query_cache_size": (_FOR_8_0, "remove it"),
    "query_cache_type": (_FOR_8_0, "remove it"),
    "secure_auth": (_FOR_8_0, "remove it"),
    "log_warnings": (_FOR_8_0, "use log_error_verbosity"),
    "innodb_file_format": (_FOR_8_0, "remove it"),
}
"""First series without the variable, and what to do instead. mysqld does not start with one of these."""

DEPRECATED: Final[Mapping[str, tuple[Version, str]]] = {
    "master_info_repository": (Version(8, 0, 23), "this metadata lives in tables; remove it"),
    "relay_log_info_repository": (Version(8, 0, 23), "this metadata lives in tables; remove it"),
    "slave_parallel_workers": (Version(8, 0, 26), "use replica_parallel_workers"),
    "slave_parallel_type": (Version(8, 0, 26), "use replica_parallel_type"),
    "innodb_log_file_size": (Version(8, 0, 30), "use innodb_redo_log_capacity"),
    "innodb_log_files_in_group": (Version(8, 0, 30), "use innodb_redo_log_capacity"),
}
ROLLED: Final = frozenset(
    {
        "default_table_encryption",
        "character_set_server",
        "sql_require_primary_key",
        "binlog_row_image",
        "replica_parallel_workers",
        "slave_parallel_workers",
        "replica_parallel_type",
        "slave_parallel_type",
    }
)
"""Dynamic, but applied by an ordered roll: while instances differ, what the primary logs may break a replica, and a
running applier keeps its workers."""
