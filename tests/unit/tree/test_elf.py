"""Reading ldd's output and writing relative search paths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from manager.tree import elf

LDD = """\
\tlinux-vdso.so.1 (0x00007ffd8a5f2000)
\tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f2b1c000000)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f2b1bf00000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2b1c400000)
"""


def test_ldd_names_libraries_and_files() -> None:
    assert elf.parse_ldd(LDD) == {
        "libssl.so.3": Path("/lib/x86_64-linux-gnu/libssl.so.3"),
        "libm.so.6": Path("/lib/x86_64-linux-gnu/libm.so.6"),
    }


def test_a_library_that_is_not_found_stops_the_build() -> None:
    with pytest.raises(ValueError, match=r"libodd\.so\.1"):
        elf.parse_ldd(LDD + "\tlibodd.so.1 => not found\n")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("bin/python3", "$ORIGIN/../lib"),
        ("lib/libssl.so.3", "$ORIGIN"),
        ("lib/python3.13/lib-dynload/_ssl.so", "$ORIGIN/../.."),
    ],
)
def test_search_paths_are_relative(file: str, expected: str) -> None:
    assert elf.rpath_to(Path("/tree/lib"), Path("/tree", file)) == expected


def test_only_elf_files_are_touched(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh")
    (tmp_path / "link").symlink_to(sys.executable)
    assert elf.is_elf(Path(sys.executable).resolve())
    assert not elf.is_elf(tmp_path / "text")
    assert not elf.is_elf(tmp_path / "link")
    assert not elf.is_elf(tmp_path)
