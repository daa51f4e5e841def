"""What mysqld would not start with although a running one may take it, and the words it knows. Pure.

Every row was tried on a server, as was what it makes of anything else (tests/mysql/test_parameter_values.py). Older
series know no member that is missing here; a variable that is missing here is left to mysqld.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENUMERATIONS: Final[Mapping[str, str]] = {
    "binlog_checksum": "NONE CRC32",
    "binlog_row_image": "MINIMAL NOBLOB FULL",
    "binlog_row_metadata": "MINIMAL FULL",
    "block_encryption_mode": """
        aes-128-ecb aes-192-ecb aes-256-ecb aes-128-cbc aes-192-cbc aes-256-cbc aes-128-cfb1 aes-192-cfb1 aes-256-cfb1
        aes-128-cfb8 aes-192-cfb8 aes-256-cfb8 aes-128-cfb128 aes-192-cfb128 aes-256-cfb128 aes-128-ofb aes-192-ofb
        aes-256-ofb""",
    "completion_type": "NO_CHAIN CHAIN RELEASE",
    "concurrent_insert": "NEVER AUTO ALWAYS",
    "delay_key_write": "OFF ON ALL",
    "event_scheduler": "OFF ON DISABLED",
    "explain_format": "TRADITIONAL TRADITIONAL_STRICT TREE JSON",
    "innodb_change_buffering": "none inserts deletes changes purges all",
    "innodb_default_row_format": "redundant compact dynamic",
    "innodb_stats_method": "nulls_equal nulls_unequal nulls_ignored",
    "internal_tmp_mem_storage_engine": "MEMORY TempTable",
    "myisam_stats_method": "nulls_unequal nulls_equal nulls_ignored",
    "session_track_gtids": "OFF OWN_GTID ALL_GTIDS",
    "session_track_transaction_info": "OFF STATE CHARACTERISTICS",
    "terminology_use_previous": "NONE BEFORE_8_0_26 BEFORE_8_2_0",
    "transaction_isolation": "READ-UNCOMMITTED READ-COMMITTED REPEATABLE-READ SERIALIZABLE",
    "updatable_views_with_limit": "NO YES",
}
SETS: Final[Mapping[str, str]] = {
    "binlog_row_value_options": "PARTIAL_JSON",
    "log_output": "NONE FILE TABLE",
    "replica_type_conversions": "ALL_LOSSY ALL_NON_LOSSY ALL_UNSIGNED ALL_SIGNED",
    "slave_type_conversions": "ALL_LOSSY ALL_NON_LOSSY ALL_UNSIGNED ALL_SIGNED",
    "sql_mode": """
        REAL_AS_FLOAT PIPES_AS_CONCAT ANSI_QUOTES IGNORE_SPACE ONLY_FULL_GROUP_BY NO_UNSIGNED_SUBTRACTION
        NO_DIR_IN_CREATE ANSI NO_AUTO_VALUE_ON_ZERO NO_BACKSLASH_ESCAPES STRICT_TRANS_TABLES STRICT_ALL_TABLES
        NO_ZERO_IN_DATE NO_ZERO_DATE ALLOW_INVALID_DATES ERROR_FOR_DIVISION_BY_ZERO TRADITIONAL HIGH_NOT_PRECEDENCE
        NO_ENGINE_SUBSTITUTION PAD_CHAR_TO_FULL_LENGTH TIME_TRUNCATE_FRACTIONAL""",
}
AT_START: Final = frozenset(
    {"event_scheduler", "innodb_redo_log_encrypt", "innodb_undo_log_encrypt", "session_track_system_variables"}
)
"""Dynamic, but a running mysqld is no judge of what one starts with: it takes an unknown name to track and encryption
without a keyring, and refuses DISABLED. So a change is tried by a roll, on one replica first."""
_REMEDIES: Final = {
    "use default_time_zone": "time_zone",
    "use character_set_server and collation_server": """
        character_set_client character_set_connection character_set_database character_set_results
        collation_connection collation_database default_collation_for_utf8mb4""",
    "set it in a session, or for all by init_connect": """
        foreign_key_checks max_insert_delayed_threads profiling rbr_exec_mode sql_auto_is_null sql_big_selects
        sql_buffer_result sql_log_off sql_notes sql_quote_show_create sql_safe_updates sql_select_limit sql_warnings
        unique_checks""",
    "remove it": "innodb_ft_aux_table",
}
NO_OPTIONS: Final[Mapping[str, str]] = {name: why for why, found in _REMEDIES.items() for name in found.split()}
"""Variables of a running server that no option file may name, and what to do instead."""


def no_option(name: str) -> str | None:
    """Why a normalised key may not stand in my.cnf. With `loose_` it may: mysqld passes over it with a warning."""
    return f"is no option that mysqld starts with; {NO_OPTIONS[name]}" if name in NO_OPTIONS else None


def wrong_word(name: str, value: str) -> str | None:
    """What is wrong with a variable's value and what to write instead; None when nothing is known against it.

    Numbers stand for members and pass: mysqld counts them as it likes.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return None
    if name in ENUMERATIONS:
        return _unknown([value], ENUMERATIONS[name], "write one of")
    if name in SETS and value:
        # A running server overlooks an empty member; one that starts does not.
        return _unknown(value.split(","), SETS[name], "write any of, with nothing but commas between,")
    return None


def _unknown(words: list[str], known: str, remedy: str) -> str | None:
    members = known.split()
    folded = {member.lower() for member in members}
    wrong = next((word for word in words if word.lower() not in folded), None)
    if wrong is None:
        return None
    return f"has the value {wrong!r}, which mysqld does not know; {remedy} {', '.join(members)}"
