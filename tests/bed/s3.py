"""An S3 service: SeaweedFS on the bridge's address, with keys of its own, and a stand-in that only fails."""

from __future__ import annotations

import http.server
import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from typing import Any

from tests.bed import binaries, cgroups, shell
from tests.bed.config import CHECKOUT, HOST_ADDRESS, RUNTIME, S3_PORT, BedError, Paths
from tests.bed.controlplane import launch
from tests.bed.processes import Table

_SERVER, _FAILING = "s3", "s3-failing"
_REGION = "us-east-1"


def identities(access_key: str, secret_key: str) -> dict[str, Any]:
    """SeaweedFS's S3 configuration: one identity that may do everything."""
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return {"identities": [{"name": "bed", "credentials": credentials, "actions": ["Admin"]}]}


def environment_file(access_key: str, secret_key: str) -> str:
    """The contract with tests and tools: NAME=value lines."""
    lines = {
        "S3_ENDPOINT": f"http://{HOST_ADDRESS}:{S3_PORT}",
        "S3_REGION": _REGION,
        "S3_ACCESS_KEY_ID": access_key,
        "S3_SECRET_ACCESS_KEY": secret_key,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def start(table: Table, paths: Paths) -> None:
    """Starts the service unless it runs, instead of the stand-in if that runs. Does not wait for readiness."""
    table.stop(_FAILING)
    configuration = paths.etc / "s3.json"
    if not (configuration.exists() and paths.s3_env.exists()):
        access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
        shell.write(configuration, json.dumps(identities(access_key, secret_key)), mode=0o600)
        shell.write(paths.s3_env, environment_file(access_key, secret_key), mode=0o600)
    data = paths.data / "s3"
    data.mkdir(parents=True, exist_ok=True)
    launch(
        table,
        paths,
        _SERVER,
        [
            binaries.seaweedfs(),
            f"-logdir={paths.log}",
            "-logtostderr=true",
            "server",
            f"-dir={data}",
            f"-ip={HOST_ADDRESS}",
            f"-ip.bind={HOST_ADDRESS}",
            # Many small volumes: a bucket takes several, and the default of 30 GB each is meant for real disks.
            "-master.volumeSizeLimitMB=256",
            "-volume.max=100",
            "-volume.port=9340",
            # A lone master still holds an election after a restart.
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            # On by default, it would report to its makers over the network.
            "-master.telemetry=false",
            f"-filer.localSocket={RUNTIME / 's3-filer.sock'}",
            f"-s3.localSocket={RUNTIME / 's3.sock'}",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.port={S3_PORT}",
            f"-s3.config={configuration}",
        ],
    )


def answers() -> bool:
    """Whether the service answers requests, refusing anonymous ones included."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST_ADDRESS}:{S3_PORT}/status", timeout=2) as answer:
            return int(answer.status) == 200
    except urllib.error.HTTPError as refusal:
        return refusal.code < 500
    except (urllib.error.URLError, OSError):
        return False


def wait(table: Table, paths: Paths) -> None:
    """Waits until the service answers; raises BedError when it has ended."""

    def is_up() -> bool:
        if table.running(_SERVER) is None:
            raise BedError(f"the S3 service ended; see {paths.log / f'{_SERVER}.log'}")
        return answers()

    shell.wait_for("the S3 service", is_up, timeout=60)


def stop(table: Table) -> None:
    """Nothing listens any more."""
    table.stop(_SERVER)
    table.stop(_FAILING)


def fail(table: Table, paths: Paths) -> None:
    """Every request is answered with status 500 until `start`."""
    table.stop(_SERVER)
    environment = dict(os.environ) | {"PYTHONPATH": str(CHECKOUT)}
    command = cgroups.joining(cgroups.CONTROL, [sys.executable, "-m", "tests.bed.s3"])
    table.start(_FAILING, command, paths.log / f"{_FAILING}.log", environment)
    shell.wait_for("the failing S3 service", _listens, timeout=10)


def _listens() -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST_ADDRESS, S3_PORT)) == 0


class _Failure(http.server.BaseHTTPRequestHandler):
    """Answers anything with an S3 InternalError."""

    def do_GET(self) -> None:
        body = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code></Error>'
        self.send_response(500)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        # What the client still sends of its request is not read, so the connection cannot be used again.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names http.server looks for


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((HOST_ADDRESS, S3_PORT), _Failure).serve_forever()
