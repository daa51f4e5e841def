"""Everything the instance manager is told: flags, a few environment variables, and where its files are.

The paths default to those of a database Pod; each can be given by a flag, so that the same program runs on a plain
host. Nothing secret is ever a flag or an environment variable: passwords are files below `credentials`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from cnmysql import names

if TYPE_CHECKING:
    from cnmysql.log import Secret
    from cnmysql.pki.contexts import TlsFiles

Mode = Literal["initdb", "join", "run"]
MODES: Final[tuple[Mode, ...]] = ("initdb", "join", "run")


@dataclass(frozen=True)
class Paths:
    """Directories and files of one instance."""

    volume: Path = Path(names.VOLUME_DIR)
    run: Path = Path(names.RUN_DIR)
    tmp: Path = Path(names.TMP_DIR)
    config_dir: Path = Path(names.CONFIG_DIR)
    tls_server: Path = Path(names.TLS_SERVER_DIR)
    tls_trust: Path = Path(names.TLS_TRUST_DIR)
    tls_replication: Path = Path(names.TLS_REPLICATION_DIR)
    tls_peer: Path = Path(names.TLS_PEER_DIR)
    credentials: Path = Path(names.CREDENTIALS_DIR)
    token: Path = Path(names.TOKEN_DIR)
    termination_log: Path = Path("/dev/termination-log")

    @property
    def data(self) -> Path:
        """The data directory; it exists only when it is complete."""
        return self.volume / Path(names.DATA_DIR).name

    @property
    def socket(self) -> Path:
        return self.run / Path(names.SOCKET).name

    @property
    def pid_file(self) -> Path:
        return self.run / Path(names.PID_FILE).name

    @property
    def config_file(self) -> Path:
        return self.config_dir / names.CONFIG_KEY

    @property
    def live_config_file(self) -> Path:
        """What the running server is to follow, tried or not; it is started from `config_file`."""
        return self.config_dir / names.LIVE_CONFIG_KEY

    @property
    def bootstrap_credentials(self) -> Path:
        """Passwords only the first initialisation sees: root and app."""
        return self.credentials.with_name(self.credentials.name + names.CREDENTIALS_BOOTSTRAP_SUFFIX)

    @property
    def post_init(self) -> Path:
        """JSON array of the statements of `bootstrap.initdb.postInitSQL`."""
        return self.config_dir / names.POST_INIT_KEY

    @property
    def epoch_file(self) -> Path:
        return self.volume / names.FILE_EPOCH

    @property
    def accounts_file(self) -> Path:
        """What has been done to the accounts of the data directory."""
        return self.data / names.FILE_ACCOUNTS

    @property
    def replication_require(self) -> Path:
        """How the operator wants cnmysql_repl bound; absent: to the certificate that is mounted."""
        return self.tls_trust / names.TRUST_REPLICATION_KEY

    @property
    def bootstrapped(self) -> Path:
        """Present in a data directory that is complete, written last."""
        return self.data / names.FILE_BOOTSTRAPPED

    @property
    def server_ca(self) -> Path:
        return self.tls_trust / names.TRUST_SERVER_CA_KEY

    @property
    def client_ca(self) -> Path:
        return self.tls_trust / names.TRUST_CLIENT_CA_KEY

    @property
    def server_tls(self) -> TlsFiles:
        """What the control API shows, and the CA its callers must come from."""
        return _tls(self.tls_server, self.client_ca)

    @property
    def peer_tls(self) -> TlsFiles:
        """What this instance shows when it asks another one."""
        return _tls(self.tls_peer, self.server_ca)

    @property
    def replication_tls(self) -> TlsFiles:
        """What replication and clone show to a source or donor."""
        return _tls(self.tls_replication, self.server_ca)

    def password(self, account: str) -> Secret:
        """The password of an account mounted for the life of the Pod. Raises OSError when it is not mounted."""
        return _read_secret(self.password_file(account))

    def password_file(self, account: str) -> Path:
        return self.credentials / account / "password"

    def bootstrap_secret(self, account: str, key: str = "password") -> Secret:
        """A value mounted only while the first instance is initialised. Raises OSError when it is not mounted."""
        return _read_secret(self.bootstrap_credentials / account / key)


@dataclass(frozen=True)
class Settings:
    """One run of the instance manager. Delays are seconds."""

    mode: Mode
    cluster: str
    namespace: str
    instance: str
    cluster_uid: str
    pod_uid: str = ""
    log_level: str = "info"
    stop_delay: float = 1800.0
    smart_shutdown_timeout: float = 180.0
    database: str = names.DEFAULT_DATABASE
    owner: str = names.DEFAULT_OWNER
    character_set: str = ""
    collation: str = ""
    enable_superuser_access: bool = False
    adopt_from: tuple[str, ...] = ()
    """Uids of former Clusters whose data on the volume may become ours."""
    mysqld: str = "mysqld"
    paths: Paths = Paths()
    bind: str = "0.0.0.0"  # noqa: S104 - a Pod's own address is not known in advance
    control_port: int = names.PORT_CONTROL
    health_port: int = names.PORT_HEALTH
    mysql_port: int = names.PORT_MYSQL
    admin_port: int = names.PORT_MYSQL_ADMIN

    @property
    def host(self) -> str:
        """DNS name of this instance."""
        return names.instance_host(self.instance, self.namespace)

    @property
    def holder(self) -> str:
        """This Pod's identity on the primary Lease."""
        return names.holder_identity(self.instance, self.pod_uid)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from `initdb|join|run --flags`. Ends the process with code 2 and usage on standard error when wrong."""
    arguments = vars(_parser().parse_args(list(argv)))
    paths = {field: arguments.pop(field) for field in _PATH_FLAGS}
    given = {field: Path(value) for field, value in paths.items() if value is not None}
    return Settings(**arguments, pod_uid=environ.get("POD_UID", ""), paths=Paths(**given))


_PATH_FLAGS: Final[Mapping[str, str]] = {
    "volume": "volume-dir",
    "run": "run-dir",
    "tmp": "tmp-dir",
    "config_dir": "config-dir",
    "tls_server": "tls-server-dir",
    "tls_trust": "tls-trust-dir",
    "tls_replication": "tls-replication-dir",
    "tls_peer": "tls-peer-dir",
    "credentials": "credentials-dir",
    "token": "token-dir",
    "termination_log": "termination-log",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manager instance", description="The manager inside a database Pod.")
    parser.add_argument("mode", choices=MODES)
    for flag in ("cluster", "namespace", "instance", "cluster-uid"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--log-level", default="info", choices=("error", "warning", "info", "debug", "trace"))
    parser.add_argument("--stop-delay", type=float, default=Settings.stop_delay, help="seconds until SIGKILL")
    parser.add_argument("--smart-shutdown-timeout", type=float, default=Settings.smart_shutdown_timeout)
    parser.add_argument("--database", default=Settings.database)
    parser.add_argument("--owner", default=Settings.owner)
    parser.add_argument("--character-set", default="")
    parser.add_argument("--collation", default="")
    parser.add_argument("--enable-superuser-access", action="store_true", help="create root@%%")
    parser.add_argument(
        "--adopt-from", type=_words, default=(), metavar="UID,...", help="former Clusters whose data may become ours"
    )
    parser.add_argument("--mysqld", default=Settings.mysqld, help="the server program")
    parser.add_argument("--bind", default=Settings.bind)
    for flag in ("control-port", "health-port", "mysql-port", "admin-port"):
        parser.add_argument(f"--{flag}", type=int, default=getattr(Settings, flag.replace("-", "_")))
    for field, flag in _PATH_FLAGS.items():
        parser.add_argument(f"--{flag}", dest=field, help=f"default {getattr(Paths, field)}")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _tls(directory: Path, ca: Path) -> TlsFiles:
    from cnmysql.pki.contexts import TlsFiles

    return TlsFiles.of(str(directory), str(ca))


def _read_secret(path: Path) -> Secret:
    from cnmysql.log import Secret

    return Secret(path.read_text().rstrip("\n"))


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of mysqld: ours, and the pid of the parent that starts it again.

    `RESTART` and CLONE end mysqld with code 16 only when MYSQLD_PARENT_PID names its parent ("RESTART Statement" in
    the manual); without it they fail or stop the server.
    """
    kept = dict(os.environ if environ is None else environ)
    kept["MYSQLD_PARENT_PID"] = str(os.getpid())
    kept.pop("NOTIFY_SOCKET", None)
    return kept
