"""Every field that names a Secret, a ConfigMap, a key or a file is known to be one, and takes no name that leads away.

The API server is asked the same in `tests/e2e/test_attacks.py`.
"""

from __future__ import annotations

import re

import pytest

from cnmysql.api import core
from tests.support import outward
from tests.support.outward import INWARD, Node, Path

FIELDS = outward.outward()


def _node(path: Path) -> Node:
    node = outward.spec_schema()
    for step in path:
        node = node["properties"][step.removesuffix("[]")]
        node = node["items"] if step.endswith("[]") else node
    return node


def test_every_text_of_a_spec_is_known_to_name_something_or_not_to() -> None:
    """A new field is found by its name and attacked; one that is not found fails here until it is listed in INWARD."""
    others = {outward.end(path) for path in outward.texts(outward.spec_schema()) if not outward.is_outward(path)}
    assert others == INWARD
    assert len(FIELDS) >= 16


@pytest.mark.parametrize(
    ("name", "node", "found"),
    [
        ("backupSecret", core.STRING, "backupSecret"),
        ("passwordSecretRef", core.open_object(name=core.STRING), "passwordSecretRef.name"),
        (
            "credentials",
            core.open_object(secretKeyRef=core.open_object(key=core.STRING)),
            "credentials.secretKeyRef.key",
        ),
        ("customQueriesConfigMap", core.array(core.open_object(key=core.STRING)), "customQueriesConfigMap[].key"),
        ("additionalConfigMaps", core.STRINGS, "additionalConfigMaps[]"),
        ("passwordFile", core.STRING, "passwordFile"),
        ("more", {"type": "object", "additionalProperties": core.open_object(secret=core.STRING)}, "more{}.secret"),
    ],
)
def test_a_field_that_is_added_is_found(name: str, node: Node, found: str) -> None:
    schema = {"type": "object", "properties": {name: node}}
    assert [".".join(path) for path in outward.texts(schema) if outward.is_outward(path)] == [found]


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_its_pattern_takes_names_and_nothing_that_leads_away(path: Path) -> None:
    node = _node(path)
    assert re.search(node["pattern"], outward.GOOD)
    for name in outward.hostile(path):
        short = len(name) < node["minLength"]
        assert short or not re.search(node["pattern"].replace("$", r"\Z"), name), name


def test_keys_and_profiles_that_people_use_are_taken() -> None:
    for key in ("password", "ca.crt", ".hidden", "A_b-c", "x"):
        assert re.search(core.DATA_KEY["pattern"], key), key
    profile = _node(("securityContext", "seccompProfile", "localhostProfile"))["pattern"]
    for path in ("audit.json", "profiles/audit.json", "operator/shop/My_Profile-1.json"):
        assert re.search(profile, path), path
