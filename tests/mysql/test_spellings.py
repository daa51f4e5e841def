"""Under which names the real mysqld finds a variable: what it takes has to be what we refuse.

`--verbose --help` prints the values that the options given before it result in, without a data directory.
"""

from __future__ import annotations

import re
import subprocess
from itertools import product

import pytest

from cnmysql.mysql.parameter_names import PREFIXES, Class
from cnmysql.mysql.parameters import classify, kind_of
from tests.mysql.servers import VERSION
from tests.support.mysqld import MysqldFactory

REFUSED = (Class.DENIED, Class.MANAGED)
MARK = "from-the-option"
PATHS = ("innodb-buffer-pool-filename", "general-log-file")
"""One of an engine, one of the server."""


def value(factory: MysqldFactory, option: str, variable: str) -> str:
    """What the variable is with this option, which may be of no account."""
    command = [str(factory.distribution.program("mysqld")), "--no-defaults", "--user=mysql", option]
    shown = subprocess.run([*command, "--verbose", "--help"], capture_output=True, text=True, check=False)
    return next((line.split()[-1] for line in shown.stdout.splitlines() if line.startswith(f"{variable} ")), "")


@pytest.mark.parametrize("variable", PATHS)
def test_every_name_it_takes_is_refused(mysqld_factory: MysqldFactory, variable: str) -> None:
    chains = [(), *((p,) for p in PREFIXES), *product(PREFIXES, PREFIXES)]
    taken = []
    for chain in chains:
        name = "".join(chain) + variable
        if value(mysqld_factory, f"--{name}={MARK}", variable) == MARK:
            taken.append(name)
            assert classify(name, VERSION) in REFUSED, name
    assert variable in taken
    assert f"skip_loose_{variable}" in taken
    assert (f"plugin_{variable}" in taken) == variable.startswith("innodb")


def test_a_switch_is_turned_by_its_negations(mysqld_factory: MysqldFactory) -> None:
    """Why they count as spellings: the value that is written does not matter."""
    for name in ("skip-local-infile=0", "enable-local-infile=1", "skip_enable_local_infile=1"):
        assert value(mysqld_factory, f"--{name}", "local-infile") == "TRUE", name


@pytest.mark.parametrize("variable", PATHS)
def test_the_beginning_of_a_name_is_no_name(mysqld_factory: MysqldFactory, variable: str) -> None:
    for end in (1, 2, 4):
        assert value(mysqld_factory, f"--{variable[:-end]}={MARK}", variable) != MARK


def test_every_option_without_a_variable_that_looks_like_a_path_is_refused(mysqld_factory: MysqldFactory) -> None:
    """What the generated table does not know because no statement shows it."""
    shown = mysqld_factory.distribution.run("mysqld", "--no-defaults", "--user=mysql", "--verbose", "--help")
    table = shown.partition("Value (after reading options)")[2].splitlines()
    options = (line.partition(" ") for line in table if re.match("[a-z][a-z0-9-]+ ", line))
    unknown = {name: set_to.strip() for name, _, set_to in options if kind_of(name) is None}
    assert len(unknown) > 30
    for name, set_to in unknown.items():
        if classify(name, VERSION) not in REFUSED:
            assert not set(set_to) & set("/.") and not name.endswith(("file", "dir", "path", "load")), (name, set_to)
