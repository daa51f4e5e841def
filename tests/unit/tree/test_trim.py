"""What stays out of the tree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from manager.tree import trim


@pytest.mark.parametrize("name", ["test", "tkinter", "ensurepip", "_sqlite3.cpython-313-x86_64-linux-gnu.so", "venv"])
def test_the_standard_library_loses_what_no_server_needs(name: str) -> None:
    assert not trim.stdlib_keeps(name)


@pytest.mark.parametrize("name", ["asyncio", "ssl.py", "lib-dynload", "_ssl.cpython-313-x86_64-linux-gnu.so", "ctypes"])
def test_the_standard_library_keeps_the_rest(name: str) -> None:
    assert trim.stdlib_keeps(name)


@pytest.mark.parametrize("name", ["pip", "setuptools", "distutils-precedence.pth", "tests", "loop.pyx", "__pycache__"])
def test_packages_lose_installers_hooks_tests_and_sources(name: str) -> None:
    assert not trim.packages_keep("aiohttp", name, directory=False)


@pytest.mark.parametrize("name", ["client.py", "_http_parser.cpython-313-x86_64-linux-gnu.so", "METADATA", "py.typed"])
def test_packages_keep_the_rest(name: str) -> None:
    assert trim.packages_keep("aiohttp", name, directory=False)


def test_only_two_services_of_botocore_are_kept() -> None:
    kept = {name for name in ("s3", "sts", "ec2", "iam") if trim.packages_keep("botocore/data", name, directory=True)}
    assert kept == {"s3", "sts"}
    assert trim.packages_keep("botocore/data", "endpoints.json", directory=False)
    assert trim.packages_keep("botocore", "data", directory=True)


@pytest.mark.parametrize("name", ["kubernetes_asyncio", "kubernetes-asyncio", "PyYAML", "python-dateutil"])
def test_any_spelling_of_an_operator_distribution_is_known(name: str) -> None:
    assert trim.is_operator_only(name)


def test_every_package_of_the_project_goes_somewhere() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages == {*trim.TREE_PACKAGES, *trim.OPERATOR_PACKAGES}
