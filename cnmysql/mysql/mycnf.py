"""my.cnf of one instance, from its inputs alone. Pure.

One `[mysqld]` section: what we fix, what we propose, then the user's parameters sorted by name. The last line of a
key wins in mysqld, and a user's value takes the place of a proposal, so no key is written twice.
Values are written so that mysqld reads exactly what was given ("Using Option Files": `#` starts a comment outside
quotes, backslashes are escapes, blanks at the ends are lost).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnmysql import names
from cnmysql.mysql import memory, parameters
from cnmysql.mysql.version import Feature, Version, words

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/+@%*=-]+")
_LINE = re.compile(r"^([a-z0-9_]+) = (.*)$")
_USERS = "# spec.mysql.parameters"


@dataclass(frozen=True)
class MyCnfInput:
    """Everything my.cnf depends on. Sizes in bytes; None where nothing is known or wanted."""

    version: Version
    ordinal: int
    report_host: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    binlog_format: str = "ROW"
    memory_limit: int | None = None
    cpu: int | None = None
    """Whole cores the container may use, at least 1."""
    volume_size: int | None = None


def render(i: MyCnfInput) -> str:
    """The file's text. Raises ValueError when a parameter is refused (`parameters.check_parameters` says why)."""
    user = parameters.rendered(i.parameters, i.version)
    taken = {_canonical(key) for key in user}
    proposed = {key: value for key, value in _proposed(i, user).items() if _canonical(key) not in taken}
    lines = [
        "# Written by the operator; change spec.mysql.parameters instead.",
        "[mysqld]",
        *(_line(key, value) for key, value in _fixed(i).items()),
        *(_line(key, value) for key, value in proposed.items()),
    ]
    if user:
        lines += [_USERS, *(_line(key, value) for key, value in user.items())]
    return "\n".join(lines) + "\n"


def _fixed(i: MyCnfInput) -> dict[str, str]:
    v, w = i.version, words(i.version)
    fixed = {
        "server_id": str(i.ordinal),
        "datadir": names.DATA_DIR,
        "socket": names.SOCKET,
        "pid_file": names.PID_FILE,
        "port": str(names.PORT_MYSQL),
        "bind_address": "*",
        "mysqlx": "OFF",
        # Logins must not wait for DNS; localhost and 127.0.0.1 are accounts of their own then.
        "skip_name_resolve": "ON",
        # A way in for us that max_connections does not close.
        "admin_address": names.ADMIN_ADDRESS,
        "admin_port": str(names.PORT_MYSQL_ADMIN),
        "create_admin_listener_thread": "ON",
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        "log_bin": "binlog",
        "relay_log": "relay-bin",
        w.log_updates: "ON",
        "sync_binlog": "1",
        # ON would delete received, unapplied transactions at every start: acknowledged commits could be lost.
        "relay_log_recovery": "OFF",
        w.preserve_commit_order: "ON",
        # A silently dead source is noticed after this many seconds without a heartbeat (one every 2 s).
        w.net_timeout: "10",
        # STOP REPLICA would wait for a year behind a reader's lock.
        w.stop_timeout: "10",
        w.skip_start: "ON",
        # Every start is closed; only the instance's role opens it.
        "read_only": "ON",
        "super_read_only": "ON",
        "report_host": i.report_host,
        "report_port": str(names.PORT_MYSQL),
        "ssl_ca": f"{names.TLS_TRUST_DIR}/{names.TRUST_CLIENT_CA_KEY}",
        "ssl_cert": f"{names.TLS_SERVER_DIR}/tls.crt",
        "ssl_key": f"{names.TLS_SERVER_DIR}/tls.key",
        "log_timestamps": "UTC",
        # SET PERSIST would survive restarts and win over this file.
        "persisted_globals_load": "OFF",
        "secure_file_priv": "NULL",
    }
    if i.binlog_format != "ROW":
        fixed["binlog_format"] = i.binlog_format
    if v.has(Feature.CLONE_PLUGIN):
        fixed["plugin_load_add"] = "mysql_clone.so"
    if v.has(Feature.JSON_ERROR_LOG):
        fixed["log_error_services"] = "log_filter_internal;log_sink_json"
    return fixed


def _proposed(i: MyCnfInput, user: Mapping[str, str]) -> dict[str, str]:
    """Defaults of ours that a user's parameter replaces."""
    workers = min(8, 2 * i.cpu) if i.cpu else 4
    proposed = {
        words(i.version).parallel_workers: str(workers),
        "binlog_row_metadata": "FULL",
        "innodb_flush_log_at_trx_commit": "1",
        "local_infile": "OFF",
        "log_error_verbosity": "2",
        "tls_version": "TLSv1.2,TLSv1.3",
    }
    if i.binlog_format == "ROW":
        # Otherwise triggers and functions need SUPER, which nobody has over the network; rows are logged as they are.
        proposed["log_bin_trust_function_creators"] = "ON"
    if i.memory_limit is None:
        return proposed
    connections = user.get("max_connections", "")
    sized = memory.defaults(
        i.memory_limit,
        cpu=i.cpu,
        volume=i.volume_size,
        max_connections=int(connections) if connections.isascii() and connections.isdigit() else None,
    )
    if not i.version.has(Feature.REDO_LOG_CAPACITY):
        sized["innodb_log_file_size"] = str(int(sized.pop("innodb_redo_log_capacity")) // 2)
    return proposed | sized


def _canonical(key: str) -> str:
    """One name for both spellings of a variable."""
    return parameters.base(key).replace("slave", "replica")


def _line(key: str, value: str) -> str:
    return f"{key} = {_quoted(value)}"


def _quoted(value: str) -> str:
    """The value as an option file carries it whole."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'


def settings(text: str) -> dict[str, str]:
    """Keys and values of a file made by `render`, unquoted. Raises ValueError for a line `render` does not write."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(("#", "[")) or not line:
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"unexpected line in my.cnf: {line!r}")
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda m: "\t" if m[1] == "t" else m[1], text[1:-1])


def for_start(wanted: str, former: str, version: Version) -> str:
    """The file to start from until a running server has taken `wanted`: a user's dynamic parameters as in `former`.

    A value that mysqld refuses to SET it mostly refuses to start with too, which no check beforehand knows for all.
    Static parameters are tried by a roll, and what we compute ourselves needs no trial.
    """
    try:
        before = settings(former)
    except ValueError:
        return wanted
    ours, mark, users = wanted.partition(f"{_USERS}\n")
    lines = []
    for line in users.splitlines():
        key = line.partition(" = ")[0]
        if not parameters.is_dynamic(key, version):
            lines.append(line)
        elif key in before:
            lines.append(_line(key, before[key]))
    return "".join((ours, mark, *(f"{line}\n" for line in lines)))


def file_hash(content: bytes) -> str:
    """How a file is named in reports: SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def static_part(text: str, version: Version) -> str:
    """The lines whose change needs a restart, for hashing: dynamic ones may come and go without a roll."""
    kept = {key: value for key, value in settings(text).items() if not parameters.is_dynamic(key, version)}
    return "\n".join(f"{key} = {value}" for key, value in sorted(kept.items()))
