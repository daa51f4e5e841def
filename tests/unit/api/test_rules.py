"""The table of rules: where they sit and how they speak. What they decide is tried on a real API server."""

from __future__ import annotations

import re

import pytest

from cnmysql.api import network, rules, spec_policy
from cnmysql.api.crdgen import cluster_schema, place
from cnmysql.api.rules import Case, Rule, cel_string
from cnmysql.mysql.sql import quote_schema_target
from cnmysql.mysql.version import Version

ALL = (*rules.RULES, *network.RULES, *spec_policy.RULES)


def test_nothing_but_the_name_is_judged_at_the_root() -> None:
    """A rule at the root that is tightened refuses every write of stored objects."""
    root = [rule for rule in rules.RULES if not rule.at]
    assert [rule.field for rule in root] == ["metadata.name"]
    assert "self.spec" not in root[0].cel
    assert "self.status" not in root[0].cel


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.field)
def test_the_refusal_names_field_and_remedy(rule: Rule) -> None:
    assert rule.field in rule.says
    assert rule.remedy
    assert "'" not in rule.remedy, "it becomes part of a CEL string"
    assert rule.field.startswith(rule.at)


def test_a_comparison_with_the_former_value_asks_first_whether_it_can_be_read() -> None:
    transitions = [rule for rule in rules.RULES if rule.transition]
    assert transitions
    for rule in transitions:
        assert rule.cel.startswith("!")
        assert "isQuantity(" in rule.cel


def test_a_rule_about_a_field_that_does_not_exist_is_a_mistake() -> None:
    lost = Rule("spec.nowhere", "spec.nowhere", "true", "''", "x", (), ())
    with pytest.raises(KeyError):
        place(cluster_schema(), [lost])


def test_every_field_a_rule_names_exists() -> None:
    root = cluster_schema()
    for rule in ALL:
        node = root
        for part in rule.field.split(".")[: 1 if rule.field.startswith("metadata") else None]:
            node = node["properties"][part]


def test_cel_strings() -> None:
    assert cel_string("o'neil \\ x") == "'o\\'neil \\\\ x'"


def test_the_pattern_of_tags_reads_them_as_versions_do() -> None:
    pattern = re.compile(rules.TAG.replace("\\\\", "\\"))
    for image in (
        "mysql:8.4", "mysql:v8.4.3", "mysql:8.0.45-36", "r.io:5000/x/mysql:9.7.1_a.b", "mysql:lts", "mysql", "mysql:9",
        "r.io:5000/mysql", "mysql@sha256:" + "0" * 64, "mysql:latest", "mysql:8.4x", "mysql:1234.5",
    ):  # fmt: skip
        assert (pattern.search(image) is not None) == (Version.of_image(image) is not None), image


def test_examples_are_distinct() -> None:
    for rule in ALL:
        cases: list[Case] = [*rule.accept, *rule.reject]
        assert len({repr(case) for case in cases}) == len(cases), rule.field


def test_a_database_is_accepted_exactly_when_its_owner_can_be_granted_on_it() -> None:
    def granted(case: Case) -> bool:
        try:
            quote_schema_target(case.spec["bootstrap"]["initdb"]["database"])
        except ValueError:
            return False
        return True

    named = [rule for rule in rules.RULES if rule.at == rule.field == "spec.bootstrap.initdb.database"]
    system = [case for rule in named for case in rule.reject if "system schema" in rule.says]
    assert all(granted(case) for rule in named for case in rule.accept)
    assert not any(granted(case) for rule in named for case in rule.reject if case not in system)
