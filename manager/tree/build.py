"""Builds the runtime tree and the operator's own files; run by the Containerfile, in two steps.

    python -m manager.tree.build runtime --packages DIR --out DIR     slow, changes with the locked dependencies
    python -m manager.tree.build product --runtime DIR --source DIR --out DIR     seconds, changes with our code

Both write a part of the image's root: /tree (the runtime tree, relocated to /controller), /operator (Python
packages for the operator alone, an interpreter that finds its loader without /controller) and /manager.
Bytecode is compiled here with unchecked hashes: copies get new timestamps, and the volume is never written.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.metadata
import os
import py_compile
import shutil
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from manager.tree import elf, launchers, manifest, trim

PREFIX = "/controller"
PYTHON = Path("bin/python3")
OPERATOR = Path("operator")


def build_runtime(packages: Path, out: Path) -> None:
    """Interpreter, standard library, third-party packages and system libraries; nothing of ours."""
    tree = out / "tree"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    stdlib = tree / "lib" / version
    (tree / "bin").mkdir(parents=True)
    interpreter = tree / PYTHON
    shutil.copyfile(Path(sys.executable).resolve(), interpreter)
    interpreter.chmod(0o755)
    source = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(source, stdlib, ignore=lambda _, names: [n for n in names if not trim.stdlib_keeps(n)])
    operator_only = _operator_files(packages)
    _copy_packages(packages, tree / packages_dir(), lambda path: path not in operator_only)
    _copy_packages(packages, out / OPERATOR / "packages", lambda path: path in operator_only)
    elf.collect_libraries(tree, interpreter)
    operator_python = out / OPERATOR / PYTHON
    operator_python.parent.mkdir()
    elf.relocate(tree, interpreter, f"{PREFIX}/lib/{elf.LOADER}")
    shutil.copy2(interpreter, operator_python)
    (out / OPERATOR / "lib").symlink_to("../tree/lib")
    elf.set_loader(operator_python, f"/{OPERATOR}/lib/{elf.LOADER}", "$ORIGIN/../lib")
    _compile(tree, PREFIX)
    _compile(out / OPERATOR / "packages", f"/{OPERATOR}/packages")
    _normalise(tree)


def build_product(runtime: Path, source: Path, out: Path) -> None:
    """Our packages, the launchers, the manifest and the digest of the whole tree."""
    tree = out / "tree"
    ours = tree / packages_dir()
    for name in trim.TREE_PACKAGES:
        _copy_source(source / name, ours / name)
    for name in trim.OPERATOR_PACKAGES:
        _copy_source(source / name, out / OPERATOR / "packages" / name)
    _write_executable(tree / "manager", launchers.INSTANCE)
    _write_executable(out / "manager", launchers.OPERATOR)
    _write_account_files(out / "etc")
    _compile(tree, PREFIX)
    _compile(out / OPERATOR / "packages", f"/{OPERATOR}/packages")
    _normalise(tree)
    text = manifest.render([*manifest.scan(runtime / "tree"), *manifest.scan(tree)])
    (tree / manifest.MANIFEST).write_text(text)
    (tree / manifest.DIGEST).write_text(manifest.digest_of(text) + "\n")


def packages_dir() -> Path:
    """Where the interpreter in use looks for packages, relative to its prefix; Debian's differs from others'."""
    return Path(site.getsitepackages([PREFIX])[-1]).relative_to(PREFIX)


def _operator_files(packages: Path) -> frozenset[Path]:
    """Files, relative to `packages`, of the distributions only the operator needs."""
    found: set[Path] = set()
    for distribution in importlib.metadata.distributions(path=[str(packages)]):
        if trim.is_operator_only(distribution.metadata["Name"]):
            found.update(Path(file) for file in distribution.files or ())
    return frozenset(found)


def _copy_packages(source: Path, target: Path, wanted: Callable[[Path], bool]) -> None:
    for directory, names, files in os.walk(source):
        parent = Path(directory).relative_to(source)
        names[:] = [name for name in names if trim.packages_keep(parent.as_posix(), name, directory=True)]
        for name in files:
            if wanted(parent / name) and trim.packages_keep(parent.as_posix(), name, directory=False):
                (target / parent).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(directory, name), target / parent / name)


def _copy_source(source: Path, target: Path) -> None:
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), copy_function=shutil.copyfile
    )


def _compile(root: Path, prefix: str) -> None:
    """Compile all sources below root so that tracebacks name the file by its final path."""
    compiled = compileall.compile_dir(
        str(root),
        quiet=1,
        force=True,
        workers=0,
        stripdir=str(root),
        prependdir=prefix,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"some sources below {root} do not compile")


def _write_executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _write_account_files(etc: Path) -> None:
    """The operator image has no distribution's files; name look-ups still want these."""
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0::/:/nologin\ncnmysql:x:65532:65532::/:/nologin\n")
    (etc / "group").write_text("root:x:0:\ncnmysql:x:65532:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def _normalise(tree: Path) -> None:
    """Give files the permissions the manifest records, whatever the umask was."""
    for path in tree.rglob("*"):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)


def main(arguments: Sequence[str]) -> None:
    """The two commands of the Containerfile."""
    parser = argparse.ArgumentParser(prog="python -m manager.tree.build")
    commands = parser.add_subparsers(dest="command", required=True)
    runtime = commands.add_parser("runtime", help="everything that is not ours")
    runtime.add_argument("--packages", type=Path, required=True, help="where pip installed the locked packages")
    product = commands.add_parser("product", help="our packages, launchers, manifest and digest")
    product.add_argument("--runtime", type=Path, required=True, help="what the runtime step wrote")
    product.add_argument("--source", type=Path, required=True, help="the directory with our packages")
    for command in (runtime, product):
        command.add_argument("--out", type=Path, required=True, help="a part of the image's root directory")
    options = parser.parse_args(arguments)
    if options.command == "runtime":
        build_runtime(options.packages, options.out)
    else:
        build_product(options.runtime, options.source, options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
