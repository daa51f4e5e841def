"""Makes Python and its libraries independent of the system they were built on.

The interpreter names the dynamic loader of the tree and finds libraries beside itself: DT_RPATH (not
DT_RUNPATH) with $ORIGIN, because only DT_RPATH also serves the libraries that extension modules need
(ld.so(8)). Programs the instance manager starts (mysqld, mysqlbinlog) are not affected: no environment
variable is involved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

LOADER = "ld.so"
# Loaded by name at run time, so no other library mentions it: glibc needs it to end a thread.
_OPENED_AT_RUN_TIME = ("libgcc_s.so.1",)
_LINK = re.compile(r"^\s*(\S+) => (/\S+) \(0x", re.MULTILINE)
_UNRESOLVED = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


def parse_ldd(text: str) -> dict[str, Path]:
    """Library name -> file, from the output of ldd(1). Raises ValueError when one is not found."""
    unresolved = _UNRESOLVED.findall(text)
    if unresolved:
        raise ValueError(f"libraries not found: {', '.join(sorted(set(unresolved)))}")
    return {name: Path(path) for name, path in _LINK.findall(text)}


def rpath_to(library_dir: Path, file: Path) -> str:
    """The $ORIGIN path from a file's directory to the library directory."""
    relative = os.path.relpath(library_dir, file.parent)
    return "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"


def is_elf(path: Path) -> bool:
    """Whether a regular file is an ELF object."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(4) == b"\x7fELF"


def collect_libraries(tree: Path, interpreter: Path) -> None:
    """Copy the loader and every library that an object of the tree needs into tree/lib."""
    target = tree / "lib"
    loader = Path(_patchelf("--print-interpreter", interpreter))
    shutil.copyfile(loader.resolve(), target / LOADER)
    (target / LOADER).chmod(0o755)
    needed: dict[str, Path] = {}
    for path in _elf_files(tree):
        if path.name != LOADER:
            needed |= parse_ldd(_output("ldd", path))
    libc_dir = next(path.parent for name, path in needed.items() if name.startswith("libc.so"))
    for name in _OPENED_AT_RUN_TIME:
        needed.setdefault(name, _find(name, [libc_dir, *(path.parent for path in needed.values())]))
    for name, source in needed.items():
        if not source.is_relative_to(tree) and not (target / name).exists():
            shutil.copyfile(source.resolve(), target / name)
            (target / name).chmod(0o755)


def relocate(tree: Path, interpreter: Path, loader: str) -> None:
    """Strip all objects and let them find each other below `tree`, wherever it is put.

    `loader` is the absolute path the kernel will find the loader at: the one thing that cannot be relative.
    """
    libraries = tree / "lib"
    for path in _elf_files(tree):
        if path == interpreter or path.name == LOADER:
            continue
        _output("strip", "--strip-unneeded", path)
        if _patchelf("--print-rpath", path):
            # An object with a search path of its own does not use the interpreter's.
            _patchelf("--add-rpath", rpath_to(libraries, path), path)
    _output("strip", interpreter)
    set_loader(interpreter, loader, rpath_to(libraries, interpreter))


def set_loader(interpreter: Path, loader: str, rpath: str) -> None:
    """Make a program use this loader and this library search path, for its libraries' libraries too."""
    _patchelf("--force-rpath", "--set-rpath", rpath, interpreter)
    _patchelf("--set-interpreter", loader, interpreter)


def _elf_files(tree: Path) -> Iterator[Path]:
    return (path for path in sorted(tree.rglob("*")) if is_elf(path))


def _find(name: str, directories: Iterable[Path]) -> Path:
    for directory in directories:
        if (directory / name).exists():
            return directory / name
    raise ValueError(f"{name} is not beside the other libraries")


def _patchelf(*arguments: str | Path) -> str:
    return _output("patchelf", *arguments)


def _output(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout.strip()
