"""mysql.parameters: what the API server refuses is what the reconciler would refuse, in every spelling."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import pytest

from cnmysql.mysql import parameters, variables
from cnmysql.mysql.parameters import Class
from cnmysql.mysql.version import Version
from tests.kube.api import Answer, Server, cluster, clusters

NOW = Version(9, 7)
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.replace("_", "-"),
    lambda name: name.upper(),
    lambda name: f"loose_{name}",
    lambda name: f" {name} ",
    lambda name: f"maximum-{name}",
    lambda name: f"LOOSE-skip_{name}",
    lambda name: f"disable_{name}",
    lambda name: f"loose_maximum_loose-enable-{name}",
    lambda name: f"plugin_{name}",
    lambda name: f"skip-loose_plugin-{name}",
)
PREFIXED = tuple(f"{prefix}x" for prefix in (*parameters.MANAGED_PREFIXES, *parameters.DENIED_PREFIXES))
PATHS = ("ft_stopword_file", "innodb_buffer_pool_filename", "any_path", "some_directories", "x_dir")
REFUSED = tuple(sorted({*parameters.MANAGED, *parameters.DENIED, *PREFIXED, *PATHS}))
KNOWN = tuple(
    sorted(
        {name for table in (variables.STATIC, variables.DYNAMIC) for found in table.values() for name in found.split()}
    )
)


def _try(server: Server, namespace: str, given: dict[str, str]) -> Answer:
    body = cluster(namespace, spec={"mysql": {"parameters": given}})
    return server.admin.post(clusters(namespace), body, dryRun="All")


def _fatal(key: str) -> bool:
    return parameters.classify(key, NOW) in (Class.MANAGED, Class.DENIED)


@pytest.mark.parametrize("turn", range(len(SPELLINGS)))
def test_managed_and_denied_ones_in_every_spelling(server: Server, namespace: str, turn: int) -> None:
    spell = cycle(SPELLINGS)
    for _ in range(turn):
        next(spell)
    for name in REFUSED:
        key = next(spell)(name)
        answer = _try(server, namespace, {key: "1"})
        assert _fatal(key), key
        assert answer.code == 422, key
        assert "spec.mysql.parameters: " + key in answer.message


def test_every_other_variable_of_the_server_is_accepted(server: Server, namespace: str) -> None:
    allowed = [name for name in KNOWN if not _fatal(name)]
    assert len(allowed) > 300
    for start in range(0, len(allowed), 200):
        _try(server, namespace, dict.fromkeys(allowed[start : start + 200], "1")).must()
    refused = [name for name in KNOWN if _fatal(name)]
    for name in refused:
        assert _try(server, namespace, {name: "1"}).code == 422, name


def test_all_are_named_at_once(server: Server, namespace: str) -> None:
    answer = _try(server, namespace, {"max_connections": "1", "server_id": "1", "Bind-Address": "::"})
    assert "Bind-Address (would change how the server is reached)" in answer.message
    assert "server_id (identifies the instance and is set by the operator)" in answer.message
    assert "max_connections" not in answer.message


def test_the_longest_list_is_judged_within_its_budget(server: Server, namespace: str) -> None:
    allowed = [name for name in KNOWN if not _fatal(f"{name}_{'x' * 40}")]
    many = {f"loose_maximum_loose_{name}_{'x' * 40}": "y" * 4000 for name in allowed[:256]}
    _try(server, namespace, many).must()
    refused = _try(server, namespace, {**dict(list(many.items())[:255]), "server_id": "1"})
    assert "server_id" in refused.message
