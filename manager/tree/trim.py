"""What stays out of the runtime tree, and what only the operator needs. Pure."""

from __future__ import annotations

from fnmatch import fnmatch

# Names at any depth of the standard library: tests, graphical programs, installers, databases, build files.
STDLIB_WITHOUT = (
    "__pycache__",
    "_crypt*",
    "_ctypes_test*",
    "_curses*",
    "_dbm*",
    "_gdbm*",
    "_sqlite3*",
    "_test*.so",
    "_tkinter*",
    "_xx*.so",
    "*.a",
    "config-*",
    "curses",
    "dbm",
    "dist-packages",
    "distutils",
    "ensurepip",
    "EXTERNALLY-MANAGED",
    "idlelib",
    "lib2to3",
    "nis*.so",
    "pydoc_data",
    "readline*.so",
    "site-packages",
    "sitecustomize.py",
    "sqlite3",
    "test",
    "tests",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "venv",
    "xxlimited*",
)

# Names at any depth of installed packages: installers, start-up hooks, tests, sources of compiled modules.
PACKAGES_WITHOUT = (
    "__pycache__",
    "_distutils_hack",
    "*.c",
    "*.h",
    "*.pth",
    "*.pxd",
    "*.pyx",
    "bin",
    "docs",
    "examples",
    "pip",
    "pip-*",
    "pkg_resources",
    "setuptools",
    "setuptools-*",
    "test",
    "tests",
    "wheel",
    "wheel-*",
)

# Distributions the instance manager never imports (an import contract holds that): kubernetes_asyncio alone
# is 40 MB with its bytecode. They are put beside the tree, for the operator.
OPERATOR_DISTRIBUTIONS = frozenset({"kubernetes-asyncio", "python-dateutil", "pyyaml", "six", "urllib3"})

# Our own packages: in the tree, and beside it.
TREE_PACKAGES = ("cnmysql", "instance")
OPERATOR_PACKAGES = ("manager",)

# The services whose botocore data is kept, with the files that describe all of them.
_BOTOCORE_DATA_KEPT = frozenset({"s3", "sts"})


def stdlib_keeps(name: str) -> bool:
    """Whether a file or directory of the standard library belongs in the tree."""
    return not _matches(name, STDLIB_WITHOUT)


def packages_keep(parent: str, name: str, *, directory: bool) -> bool:
    """Whether an installed file or directory `parent/name` belongs in an image; parent is relative."""
    if parent == "botocore/data" and directory:
        return name in _BOTOCORE_DATA_KEPT
    return not _matches(name, PACKAGES_WITHOUT)


def is_operator_only(distribution: str) -> bool:
    """Whether a distribution (any spelling of its name) is for the operator alone."""
    return distribution.lower().replace("_", "-").replace(".", "-") in OPERATOR_DISTRIBUTIONS


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
