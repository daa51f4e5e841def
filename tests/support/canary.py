"""Looks for known secret values wherever they could have leaked to, in every form they are likely to take."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from tests.support import processes
from tests.support.kube import ApiError, Json, Kube

_CHUNK = 1 << 22
STORED = re.compile(rb"\$A\$[0-9A-F]{3}\$[ -~]{20}[./0-9A-Za-z]{43}")
"""The form in which mysqld keeps the password of somebody; of those whose salt can be printed, as all of ours can."""
HOME = re.compile(r"/(mysql\.ibd|undo_\d+|ibdata1|#ib_redo\d+(_tmp)?|#ib_\d+_\d+\.b?dblwr)$")
"""Files in which InnoDB keeps the table of accounts, and so the stored forms."""


@functools.cache
def forms(value: str) -> Mapping[str, bytes]:
    """How a value may stand in a text: as it is, escaped, base64 at any offset, hex, URL-encoded; each form once."""
    raw = value.encode()
    found = {
        "plain": raw,
        "JSON": json.dumps(value)[1:-1].encode(),
        "JSON in UTF-8": json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        "SQL": value.replace("\\", "\\\\").replace("'", "\\'").encode(),
        "SQL, doubled": value.replace("'", "''").encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "URL": quote(value, safe="").encode(),
        "form": quote_plus(value).encode(),
    }
    for offset in range(3):
        # Characters that also hold bits of what stands before or after are left out.
        text = base64.b64encode(b"\0" * offset + raw)
        middle = text[(0, 2, 3)[offset] : (len(raw) + offset) * 8 // 6]
        found[f"base64, offset {offset}"] = middle
        found[f"base64url, offset {offset}"] = middle.replace(b"+", b"-").replace(b"/", b"_")
    first = {text: form for form, text in reversed(found.items())}
    return {form: text for text, form in first.items()}


@dataclass
class Canaries:
    """The values by name, each once. `stored`: those that are stored forms. `seen` collects where which was found."""

    values: dict[str, str] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def add(self, name: str, value: str) -> str:
        assert len(value) >= 16, "a value this short stands in texts by chance"
        if value not in self.values.values():
            self.values[name] = value
        return value

    def add_stored(self, name: str, value: str) -> None:
        """The stored form of a password, which may stand in the files at HOME."""
        self.add(name, value)
        self.stored.add(name)

    def look(self, where: str, data: bytes) -> None:
        """Note every value that stands in these bytes, and every stored form, whosever it is."""
        self._look(where, data, self.values)
        self.seen += [f"a stored form in {where}"] if STORED.search(data) else []

    def _look(self, where: str, data: bytes, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.seen += [f"{name} ({form}) in {where}" for form, b in forms(value).items() if b in data]

    def look_in_files(self, root: Path, paths: Sequence[Path], who: str) -> None:
        """As `look`, in pieces that overlap by more than a value is long. A file that goes away meanwhile is fine."""
        for path in self._suspects(paths):
            values = self.values
            if HOME.search(str(path)):
                values = {name: value for name, value in values.items() if name not in self.stored}
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                rest = b""
                while chunk := file.read(_CHUNK):
                    self._look(f"{who}: {path.relative_to(root)}", rest + chunk, values)
                    rest = chunk[-1024:]

    def _suspects(self, paths: Sequence[Path]) -> list[Path]:
        """The files in which a value may stand: grep looks for all forms of all of them at once.

        Of a form that has line breaks it looks for the longest line.
        """
        needles = {max(form.split(b"\n"), key=len) for value in self.values.values() for form in forms(value).values()}
        assert all(len(needle) >= 8 for needle in needles)
        done = subprocess.run(
            ["grep", "--files-with-matches", "--null", "--text", "--no-messages", "--fixed-strings", "--file=-", "--",
             *(str(path) for path in paths)],
            input=b"\n".join(needles), env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=False,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        return [Path(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name]


@dataclass(frozen=True)
class Log:
    where: str
    text: str


def logs(kube: Kube, ns: str) -> Iterator[Log]:
    """Every container's log in a namespace, and that of the run before."""
    for pod in kube.list("Pod", ns):
        name, spec = pod["metadata"]["name"], pod["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for previous in (False, True):
                text = kube.logs(ns, name, container["name"], previous=previous)
                yield Log(f"log of {name}/{container['name']}{' (previous)' if previous else ''}", text)


def objects(kube: Kube, ns: str) -> Iterator[tuple[str, str]]:
    """Everything the API server stores, Secrets excepted: the namespace's objects, and those without one."""
    groups = kube.request("GET", "/apis")["groups"]
    for base in ("/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups)):
        for resource in _listable(kube, base):
            space = f"/namespaces/{ns}" if resource["namespaced"] else ""
            yield f"{base}/{resource['name']}", json.dumps(kube.request("GET", f"{base}{space}/{resource['name']}"))


def _listable(kube: Kube, base: str) -> list[Json]:
    try:
        found = kube.request("GET", base)["resources"]
    except ApiError:
        return []  # an aggregated API whose server is away
    return [r for r in found if "list" in r["verbs"] and r["name"] not in ("secrets", "componentstatuses")]


def running(uid: str) -> Iterator[tuple[str, bytes]]:
    """Command line and environment of every process of a Pod."""
    for process in processes.of_pod(uid):
        for part in ("cmdline", "environ"):
            try:
                yield f"{part} of {process.command[0]}", Path(f"/proc/{process.pid}/{part}").read_bytes()
            except OSError:
                continue  # it ended meanwhile


def files(root: Path, directories: tuple[str, ...]) -> Iterator[Path]:
    """Regular files below directories of a running container, seen through its process's root."""
    for directory in directories:
        for folder, _, entries in os.walk(root / directory.lstrip("/")):
            for entry in entries:
                path = Path(folder, entry)
                if path.is_file() and not path.is_symlink():
                    yield path


_LEVELS = {"error", "warning", "info", "debug", "trace"}
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def malformed(log: Log) -> list[str]:
    """Lines that are not one JSON object with the stable fields."""
    return [f"{log.where}: {line[:300]}" for line in log.text.split("\n") if line and not _is_ours(line)]


def _is_ours(line: str) -> bool:
    try:
        record: Any = json.loads(line)
    except ValueError:
        return False
    return (
        isinstance(record, dict)
        and list(record)[:4] == ["ts", "level", "msg", "logger"]
        and record["level"] in _LEVELS
        and bool(_TIME.match(str(record["ts"])))
        and isinstance(record["msg"], str)
        and ("stream" not in record or ("process" in record and record["stream"] in ("stdout", "stderr")))
    )
