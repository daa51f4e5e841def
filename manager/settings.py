"""What the operator is told at start: flags and environment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnmysql import names
from cnmysql.log import LEVELS

_NAMESPACE_FILE = Path(names.TOKEN_DIR, "namespace")


@dataclass(frozen=True)
class Settings:
    """`watch_namespace` empty: all namespaces. `metrics_certs`: directory with tls.crt and tls.key, or None."""

    operator_image: str
    pod_name: str
    namespace: str
    watch_namespace: str
    log_level: str
    kubeconfig: str
    health_port: int
    metrics_port: int
    metrics_certs: Path | None
    workers: int

    @property
    def lease_namespace(self) -> str:
        """Operators compete where they act."""
        return self.watch_namespace or self.namespace


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from command line and environment; exits with a usage message when they make no sense."""
    parser = argparse.ArgumentParser(prog="manager", description="Controller manager of cloudnative-mysql")
    parser.add_argument("--log-level", default=environ.get("LOG_LEVEL", "info"), choices=sorted(LEVELS))
    parser.add_argument("--operator-image", default=environ.get("OPERATOR_IMAGE", names.DEFAULT_OPERATOR_IMAGE))
    parser.add_argument(
        "--kubeconfig", default="", help="reach the API server with this file instead of the Pod's account"
    )
    parser.add_argument("--health-port", type=int, default=8081)
    parser.add_argument("--metrics-port", type=int, default=names.PORT_OPERATOR_METRICS, help="0 turns metrics off")
    parser.add_argument(
        "--metrics-cert-path",
        type=Path,
        help="directory with tls.crt and tls.key of the metrics server; ca.crt where one namespace is watched",
    )
    parser.add_argument("--workers", type=int, default=4, help="Clusters reconciled at once")
    given = parser.parse_args(argv)
    return Settings(
        operator_image=given.operator_image,
        pod_name=environ.get("POD_NAME", "manager"),
        namespace=environ.get("POD_NAMESPACE") or _own_namespace(),
        watch_namespace=environ.get("WATCH_NAMESPACE", ""),
        log_level=given.log_level,
        kubeconfig=given.kubeconfig,
        health_port=given.health_port,
        metrics_port=given.metrics_port,
        metrics_certs=given.metrics_cert_path,
        workers=given.workers,
    )


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        return names.OPERATOR_NAMESPACE
