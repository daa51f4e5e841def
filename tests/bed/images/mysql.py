"""The MySQL image: what the stock `docker.io/library/mysql` image has that we rely on, and nothing else.

Debian sid carries the same LTS series as the stock image. The result has mysqld, mysql, mysqladmin,
mysqlbinlog and mysqldump in PATH, a shell and coreutils, uid and gid 999 for mysql, an empty
/var/lib/mysql, and neither Python nor Perl: the stock image has none, so nothing of ours may need them.
The unpacked file system stays in the cache, and tests run mysqld straight from it (`tests.support.mysqld`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.bed.images import archive, cache, debian

SUITE = "sid"
SERIES = "9.7"
REPOSITORY = "docker.io/library/mysql"
MYSQL_UID = 999
PACKAGES = (
    "mysql-server-core",
    "mysql-client-core",
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "openssl",
    "sed",
    "tzdata",
    "util-linux",
)
# Packages that only serve maintainer scripts or Perl programs.
SKIPPED = ("perl", "libperl", "debconf", "libdebconfclient", "libgdbm")
# Server-side utilities nothing of ours calls, 7 MB each: a smaller image is loaded sooner on every node.
UNUSED_PROGRAMS = (
    "ibd2sdi",
    "innochecksum",
    "myisam_ftdump",
    "myisamchk",
    "myisamlog",
    "myisampack",
    "mysql_config_editor",
    "mysql_migrate_keyring",
    "mysql_secure_installation",
    "mysqlcheck",
    "mysqlimport",
    "mysqlshow",
    "mysqlslap",
    "perror",
)
# Bump when the steps below change what comes out of the same packages.
RECIPE = "4"


def resolution(*, refresh: bool = False) -> debian.Resolution:
    """The packages the image is made of. Raises ImageBuildError when the series is not the expected one."""
    found = debian.resolve(SUITE, PACKAGES, refresh=refresh)
    version = server_version(found)
    if not version.startswith(f"{SERIES}."):
        raise debian.ImageBuildError(f"{SUITE} carries MySQL {version}; the tests are written for {SERIES}")
    return found


def server_version(found: debian.Resolution) -> str:
    """The MySQL version as its maker writes it, for example 9.7.4."""
    match = re.match(r"(?:\d+:)?(\d+\.\d+\.\d+)", found.version("mysql-server-core"))
    if match is None:
        raise debian.ImageBuildError(f"unexpected version {found.version('mysql-server-core')}")
    return match[1]


def image_names(found: debian.Resolution) -> tuple[str, str]:
    """The default reference and a second one, with the full version, for tests that change the image."""
    return f"{REPOSITORY}:{SERIES}", f"{REPOSITORY}:{server_version(found)}"


def rootfs() -> Path:
    """The unpacked root file system, built when missing. It is shared: never write to it."""
    found = resolution()

    def build(work: Path) -> None:
        root = work / "rootfs"
        root.mkdir(mode=0o755)
        debian.unpack(found, root, skip=SKIPPED)
        debian.finish(root, {"mysql": MYSQL_UID})
        _tidy(root)

    return cache.build_once("mysql-rootfs", _key(found), build) / "rootfs"


def image() -> archive.BuiltImage:
    """The image as an OCI archive with both references, built when missing."""
    found = resolution()
    root = rootfs()

    def build(work: Path) -> None:
        archive.write_image(root, work / archive.FILE, image_names(found), _CONFIG)

    directory = cache.build_once("mysql-image", cache.digest_of([_key(found), archive.FORMAT]), build)
    return archive.read_built(directory / archive.FILE)


_CONFIG = archive.Config(
    command=("mysqld",),
    environment=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"MYSQL_MAJOR={SERIES}"),
    ports=("3306/tcp", "33060/tcp"),
    volumes=("/var/lib/mysql",),
)


def _key(found: debian.Resolution) -> str:
    return cache.digest_of([found.key(), RECIPE, *SKIPPED])


def _tidy(root: Path) -> None:
    """Directories of uid 999, and none of the programs that need Perl or Python or that nobody calls."""
    for name in ("var/lib/mysql", "var/run/mysqld", "var/lib/mysql-files"):
        path = root / name
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, MYSQL_UID, MYSQL_UID)
        path.chmod(0o1777 if name == "var/run/mysqld" else 0o750)
    for program in UNUSED_PROGRAMS:
        (root / "usr/bin" / program).unlink()
    for directory in ("usr/bin", "usr/sbin"):
        for path in (root / directory).iterdir():
            if path.is_file() and not path.is_symlink() and _needs_interpreter(path):
                path.unlink()


def _needs_interpreter(path: Path) -> bool:
    with path.open("rb") as handle:
        first = handle.readline(200)
    return first.startswith(b"#!") and (b"perl" in first or b"python" in first)
