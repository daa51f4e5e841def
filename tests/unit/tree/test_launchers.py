"""The launchers: valid Python, and the init container's path loads nothing but the installer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnmysql import names
from manager.tree import build, elf, launchers

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("text", [launchers.INSTANCE, launchers.OPERATOR])
def test_launchers_run_python_isolated(text: str) -> None:
    first, _, rest = text.partition("\n")
    assert first.startswith("#!/")
    assert first.endswith("/bin/python3 -I")
    compile(rest, "launcher", "exec")


def test_the_tree_is_built_for_where_it_is_mounted() -> None:
    assert build.PREFIX == names.CONTROLLER_DIR
    assert launchers.INSTANCE.startswith(f"#!{names.CONTROLLER_DIR}/{build.PYTHON} ")
    assert f"{names.CONTROLLER_DIR}/manager" == names.MANAGER_PATH
    assert elf.LOADER == "ld.so"


def test_bootstrap_imports_no_third_party_package() -> None:
    script = (
        "import sys; from manager.__main__ import main; assert main(['bootstrap']) == 2;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "['cnmysql', 'manager']"
