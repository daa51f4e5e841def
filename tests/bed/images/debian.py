"""Debian root file systems made from packages, without root-only tricks and without running their scripts.

apt resolves and downloads the packages of a suite with a configuration of its own (nothing of the host's
package state is read or changed), `dpkg-deb` unpacks them. No maintainer script runs: nothing needs a
chroot, a policy-rc.d or mounts, and the result depends on the package list alone. What those scripts would
have done and a container needs is done by `finish`: account files, ldconfig, a name service switch.
The mirror is the one the host's own apt uses.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bed.images.cache import cache_root, digest_of, locked

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# A resolution is asked again after this long; a running day of tests keeps one set of packages.
FRESH_SECONDS = 7 * 24 * 3600


class ImageBuildError(Exception):
    """An image cannot be built; the text says which step failed and what to do."""


@dataclass(frozen=True)
class Package:
    """One package file: its name in the archive and its checksum as apt prints it (ALGORITHM:HEX)."""

    file: str
    checksum: str

    @property
    def name(self) -> str:
        """The package's name."""
        return self.file.split("_", 1)[0]

    @property
    def version(self) -> str:
        """The package's version, with the epoch's colon back in place."""
        return self.file.split("_")[1].replace("%3a", ":")


@dataclass(frozen=True)
class Resolution:
    """The packages of a suite that a list of names needs, dependencies included, in install order."""

    suite: str
    wanted: tuple[str, ...]
    packages: tuple[Package, ...]

    def version(self, name: str) -> str:
        """The resolved version of one package. Raises KeyError when it is not part of the set."""
        for package in self.packages:
            if package.name == name:
                return package.version
        raise KeyError(name)

    def key(self) -> str:
        """A hash over every package and version."""
        return digest_of([self.suite, *(f"{package.file} {package.checksum}" for package in self.packages)])


def parse_uris(text: str) -> tuple[Package, ...]:
    """Packages from `apt-get install --print-uris` lines: 'URI' FILE SIZE ALGORITHM:HEX."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[0].startswith("'"):
            found.append(Package(words[1], words[3]))
    return tuple(found)


def resolve(suite: str, wanted: tuple[str, ...], *, refresh: bool = False) -> Resolution:
    """The packages that `wanted` needs today; remembered for FRESH_SECONDS, or longer when offline."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ImageBuildError("apt-get and dpkg-deb are needed to make images: run this on Debian or Ubuntu")
    record = _apt_dir(suite) / f"resolution-{digest_of([suite, *wanted])}.json"
    with locked(f"apt-{suite}"):
        known = _read_record(record)
        if known and not refresh and time.time() - record.stat().st_mtime < FRESH_SECONDS:
            return Resolution(suite, wanted, known)
        try:
            _apt(suite, "update", "-qq")
        except ImageBuildError:
            if known and not refresh:
                return Resolution(suite, wanted, known)
            raise
        packages = parse_uris(_apt(suite, "install", "--yes", "--print-uris", "-qq", *wanted))
        if not packages:
            raise ImageBuildError(f"apt resolved no package for {' '.join(wanted)} in {suite}")
        record.write_text(json.dumps([[package.file, package.checksum] for package in packages]))
        return Resolution(suite, wanted, packages)


def unpack(resolution: Resolution, root: Path, *, skip: tuple[str, ...] = ()) -> None:
    """Download the packages and unpack them under root, except those whose name starts with one of skip."""
    with locked(f"apt-{resolution.suite}"):
        _apt(resolution.suite, "install", "--yes", "--download-only", "-qq", *resolution.wanted)
        archives = _apt_dir(resolution.suite) / "cache" / "archives"
        # base-files first: it brings /bin, /lib and /sbin as links into /usr, which the others follow.
        for package in sorted(resolution.packages, key=lambda package: package.name != "base-files"):
            if not package.name.startswith(skip):
                _unpack_one(archives / package.file, root)
        for path in archives.glob("*.deb"):
            path.unlink()


def finish(root: Path, accounts: dict[str, int]) -> None:
    """Account files (with `accounts`: name to uid and gid), ldconfig, name service switch, and no manuals."""
    master = root / "usr/share/base-passwd"
    passwd = (master / "passwd.master").read_text().replace(":*:", ":x:")
    group = (master / "group.master").read_text().replace(":*:", ":x:")
    for name, uid in accounts.items():
        passwd += f"{name}:x:{uid}:{uid}::/var/lib/{name}:/bin/sh\n"
        group += f"{name}:x:{uid}:\n"
    (root / "etc/passwd").write_text(passwd)
    (root / "etc/group").write_text(group)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("doc", "man", "locale", "info", "lintian", "bug", "bash-completion", "base-passwd", "gcc", "gdb"):
        shutil.rmtree(root / "usr/share" / name, ignore_errors=True)
    subprocess.run(["ldconfig", "-r", str(root)], check=True)
    # Inode numbers of this build: with them no two builds would be the same image.
    (root / "var/cache/ldconfig/aux-cache").unlink()


def _unpack_one(archive: Path, root: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as source:
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", str(root)], stdin=source.stdout, check=True)
    if source.returncode != 0:
        raise ImageBuildError(f"{archive.name} cannot be unpacked")


def _read_record(record: Path) -> tuple[Package, ...] | None:
    if not record.exists():
        return None
    return tuple(Package(file, checksum) for file, checksum in json.loads(record.read_text()))


def _apt_dir(suite: str) -> Path:
    return cache_root() / f"apt-{suite}"


def _apt(suite: str, *arguments: str) -> str:
    """Run apt-get against the suite alone, in a directory of our own."""
    home = _apt_dir(suite)
    configuration = home / "apt.conf"
    if not configuration.exists():
        _write_configuration(home, suite)
    run = subprocess.run(
        ["apt-get", *arguments],
        env={**os.environ, "APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise ImageBuildError(f"apt-get {arguments[0]} ({suite}) failed: {run.stderr.strip()}")
    return run.stdout


def _write_configuration(home: Path, suite: str) -> None:
    for name in ("lists/partial", "cache/archives/partial"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    # sid's Release file is often older than its own validity.
    (home / "sources.list").write_text(f"deb [signed-by={KEYRING} check-valid-until=no] {_mirror()} {suite} main\n")
    (home / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{home}/sources.list";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        'Dir::Etc::Parts "/dev/null";\n'
        'Dir::Etc::PreferencesParts "/dev/null";\n'
        f'Dir::State::Lists "{home}/lists";\n'
        f'Dir::State::status "{home}/status";\n'
        f'Dir::Cache "{home}/cache";\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
    )


def _mirror() -> str:
    """The Debian archive the host's apt already uses."""
    query = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    for attempt in range(2):
        listing = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        for line in listing.splitlines():
            label, _, uri = line.partition(" ")
            if label == "Debian":
                return uri
        if attempt == 0:
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
    raise ImageBuildError("the host's apt knows no Debian archive: add one to /etc/apt and run apt-get update")
