"""The runtime tree as database Pods use it: installed by the operator image, run inside the MySQL image.

Both images are the ones the bed loads. A mount namespace with an overlay over the MySQL file system stands for
the container, and the uid is one that neither image knows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnmysql import names
from manager import tree
from manager.tree import manifest
from tests.bed.images import archive, mysql, operator
from tests.support.mysqld import unavailable

UNKNOWN_UID = 1001
LARGEST_TREE = 90_000_000
IMPORTS = "asyncio, ssl, aiohttp, aiomysql, cryptography.x509, pydantic, structlog, orjson, httpx, uvloop"


@dataclass(frozen=True)
class Container:
    """A root file system to run commands in, with host directories bound to paths of it."""

    root: Path
    scratch: Path
    binds: tuple[tuple[Path, str], ...] = ()
    read_only: bool = False

    def run(self, *command: str, environment: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command as UNKNOWN_UID and return when it ends."""
        merged = self.scratch / "merged"
        for name in ("merged", "upper", "work"):
            (self.scratch / name).mkdir(exist_ok=True)
        steps = [
            f"mount -t overlay -o lowerdir={self.root},upperdir={self.scratch}/upper,workdir={self.scratch}/work"
            f" overlay {merged}",
            *(f"mkdir -p {merged}{path}" for path in ("/proc", "/dev", *(path for _, path in self.binds))),
            *(f"mount --rbind {path} {merged}{path}" for path in ("/proc", "/dev")),
            *(f"mount --bind {source} {merged}{path}" for source, path in self.binds),
            *([f"mount -o remount,bind,ro {merged} {merged}"] if self.read_only else []),
            f'exec chroot --userspec={UNKNOWN_UID}:0 --groups= {merged} "$@"',
        ]
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(steps), "sh", *command],
            env={"PATH": os.environ["PATH"], **dict(pair.split("=", 1) for pair in environment)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def operator_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = unavailable()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("operator") / "root"
    archive.unpack(operator.image().tar, root)
    return root


@pytest.fixture(scope="module")
def volume(operator_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the init container leaves in an emptyDir: root's directory, open to the Pod's group."""
    directory = tmp_path_factory.mktemp("volume")
    directory.chmod(0o2770)
    container = Container(
        operator_root, tmp_path_factory.mktemp("init"), ((directory, names.CONTROLLER_DIR),), read_only=True
    )
    done = container.run("/manager", "bootstrap", names.CONTROLLER_DIR)
    assert done.returncode == 0, done.stderr
    assert "installed" in done.stderr, "a log record: stdout is for payload"
    again = container.run("/manager", "bootstrap", names.CONTROLLER_DIR)
    assert again.returncode == 0, again.stderr
    assert "already" in again.stderr
    yield directory


@pytest.fixture
def database(volume: Path, tmp_path: Path) -> Container:
    """The MySQL container of a Pod, with the tree where the Pod mounts it."""
    return Container(mysql.rootfs(), tmp_path, ((volume, names.CONTROLLER_DIR),))


pytestmark = pytest.mark.timeout(600)


def test_the_tree_is_what_the_operator_says(operator_root: Path, volume: Path) -> None:
    digest = tree.digest(operator_root / "tree")
    assert tree.digest(volume) == digest
    entries = list(manifest.scan(volume))
    assert manifest.digest_of(manifest.render(entries)) == digest
    assert sum(entry.size for entry in entries) <= LARGEST_TREE
    paths = {entry.path for entry in entries}
    assert not [path for path in paths if "kubernetes_asyncio" in path or "/pip/" in path or path.endswith(".pth")]
    assert any(path.endswith("/instance/__main__.py") for path in paths)
    assert not any("/manager/" in path for path in paths)


def test_python_runs_inside_the_mysql_image_with_libraries_of_its_own(database: Container) -> None:
    script = f"""
import json, re, sys, threading, time
started = time.monotonic()
import {IMPORTS}
import cnmysql.names, instance
from cryptography.hazmat.primitives.asymmetric import ec
ec.generate_private_key(ec.SECP256R1())
ssl.create_default_context()
threading.Thread(target=asyncio.run, args=(asyncio.sleep(0),)).start()
objects = {{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}}
json.dump({{
    'seconds': time.monotonic() - started,
    'megabytes': int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024,
    'foreign': sorted(path for path in objects if not path.startswith('/controller/')),
    'source': pydantic.__file__,
}}, sys.stdout)
"""
    done = database.run("/controller/bin/python3", "-I", "-c", script, environment=("USER=mysql",))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["foreign"] == []
    assert report["source"].startswith("/controller/lib/python3.")
    assert report["seconds"] < 5
    assert report["megabytes"] < 80


def test_python_needs_nothing_of_the_image(volume: Path, tmp_path: Path) -> None:
    """An empty root: no libc of any kind, no shell, no /etc. So it is the same on musl or a newer glibc."""
    (tmp_path / "empty").mkdir()
    container = Container(tmp_path / "empty", tmp_path, ((volume, names.CONTROLLER_DIR),))
    script = "import asyncio, cryptography.x509, orjson, ssl, uvloop, instance; uvloop.run(asyncio.sleep(0))"
    done = container.run("/controller/bin/python3", "-I", "-c", script)
    assert done.returncode == 0, done.stderr


def test_the_manager_answers_and_mysqld_keeps_its_own_libraries(database: Container) -> None:
    started = time.monotonic()
    done = database.run(names.MANAGER_PATH, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
    assert time.monotonic() - started < 10
    script = "import subprocess, sys; sys.exit(subprocess.call(['mysqld', '--version']))"
    version = database.run("/controller/bin/python3", "-I", "-c", script)
    assert f"Ver {mysql.SERIES}." in version.stdout


def test_every_bytecode_file_is_used(database: Container) -> None:
    """A stale one would be compiled again at every start: twice the memory and four times the time."""
    script = "import sys, json; sys.stdout.write(json.decoder.__cached__)"
    done = database.run("/controller/bin/python3", "-I", "-v", "-c", script)
    assert done.returncode == 0
    loaded = re.findall(r"^# code object from '?(/controller/\S+?)'?$", done.stderr, re.MULTILINE)
    assert loaded
    assert [path for path in loaded if not path.endswith(".pyc")] == []


def test_the_operator_runs_read_only_from_its_own_copy(operator_root: Path, tmp_path: Path) -> None:
    """As the uid of a cluster that picks its own, without home directory."""
    script = "import sys; sys.path.insert(0, '/operator/packages'); import cnmysql.kube.transport, manager.app"
    container = Container(operator_root, tmp_path, read_only=True)
    done = container.run("/operator/bin/python3", "-I", "-c", script, environment=("HOME=/",))
    assert done.returncode == 0, done.stderr
    usage = container.run("/manager", "--help")
    assert usage.returncode == 0, usage.stderr
    assert "usage" in usage.stdout
