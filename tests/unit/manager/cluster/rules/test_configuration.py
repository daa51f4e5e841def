"""Which instances get which configuration now, and what is said of those that do not follow it."""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql import names
from cnmysql.mysql.mycnf import file_hash
from cnmysql.protocol.report import ConfigReport, Problem
from manager.actions import Apply, Emit
from manager.cluster import status as status_rule
from manager.cluster.desired import config, desired
from manager.cluster.outcome import Continue
from manager.cluster.rules import configuration
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import Json, new, objects, pod, ready, says, silent, spec, status

STATIC = {"parameters": {"innodb_sort_buffer_size": "2097152"}}
DYNAMIC = {"parameters": {"max_connections": "300"}}


def written(s: Snapshot) -> list[str]:
    outcome = configuration.decide(s)
    assert isinstance(outcome, Continue)
    found = []
    for action in outcome.actions:
        assert isinstance(action, Apply)
        found.append(action.target.name)
    return found


def files(s: Snapshot, instance: str) -> tuple[str, str]:
    """What it is to start from, and what its server is to be brought to."""
    d = desired(s)
    data = configuration._body(s, d, instance, config(d, instance))["data"]
    return data["my.cnf"], data["live.cnf"]


def told(s: Snapshot, instance: str, **said: Any) -> Snapshot:
    """It reports on the file it is to follow; `said`: what differs from a full success."""
    live = config(desired(s), instance).text
    report = ConfigReport(file_hash=file_hash(live.encode()), applied=True)
    return says(s, instance, config=report.model_copy(update=said))


def test_at_rest() -> None:
    assert written(ready()) == []


def test_a_dynamic_change_goes_to_all_at_once_and_is_met_by_no_start_before_it_is_taken() -> None:
    s = spec(ready(), mysql=DYNAMIC)
    assert written(s) == ["db-1-config", "db-2-config", "db-3-config"]
    for instance in ("db-1", "db-2", "db-3"):
        start, live = files(s, instance)
        assert ("max_connections = 300" in start, "max_connections = 300" in live) == (False, True)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, True),
        ({"pending_restart": ("back_log",), "applied": False}, True),
        ({"rejected": {"max_connections": "no"}, "applied": False}, False),
        ({"file_hash": "of another file"}, False),
    ],
)
def test_a_start_follows_what_the_server_has_taken(said: Json, taken: bool) -> None:
    s = told(spec(ready(), mysql=DYNAMIC), "db-2", **said)
    assert ("max_connections = 300" in files(s, "db-2")[0]) == taken
    assert "max_connections = 300" not in files(s, "db-1")[0], "that one has not spoken"


def test_who_is_silent_or_another_pod_proves_nothing() -> None:
    s = told(spec(ready(), mysql=DYNAMIC), "db-2")
    assert "max_connections = 300" in files(s, "db-2")[0]
    assert "max_connections = 300" not in files(silent(s, "db-2"), "db-2")[0]
    assert "max_connections = 300" not in files(pod(s, "db-2", {"metadata": {"uid": "next"}}), "db-2")[0]


def test_what_is_started_keeps_what_it_had_once_it_was_taken() -> None:
    """An instance that has not spoken since its start is no reason to go back."""
    s = told(spec(ready(), mysql=DYNAMIC), "db-2")
    start, live = files(s, "db-2")
    s = objects(s, "config_maps", db_2_config={"data": {"my.cnf": start, "live.cnf": live}})
    assert "max_connections = 300" in files(silent(s, "db-2"), "db-2")[0]


def test_an_instance_that_is_replaced_starts_with_what_needs_a_restart_and_no_more() -> None:
    s = spec(ready(), mysql={"parameters": {**STATIC["parameters"], **DYNAMIC["parameters"]}})
    assert written(s) == ["db-2-config"]
    start = files(s, "db-2")[0]
    assert "innodb_sort_buffer_size" in start and "max_connections = 300" not in start


def test_a_new_instance_starts_without_what_is_untried_but_the_first_ones_have_nothing_else() -> None:
    s = objects(spec(ready(), mysql=DYNAMIC), "config_maps", db_3_config=None)
    assert "max_connections" not in files(s, "db-3")[0]
    assert "max_connections = 300" in files(spec(new(), mysql=DYNAMIC), "db-1")[0]


def test_a_file_that_mysqld_does_not_start_with_is_not_kept() -> None:
    bad = Problem(reason="ConfigurationInvalid", message="mysqld refused to start 3 times")
    s = objects(spec(ready(), mysql=DYNAMIC), "config_maps", db_2_config={"data": {"my.cnf": "max_connections = 1x\n"}})
    assert "max_connections = 1x" in files(s, "db-2")[0]
    assert "max_connections" not in files(says(s, "db-2", problem=bad), "db-2")[0]


def test_a_static_change_goes_to_the_one_being_replaced() -> None:
    assert written(spec(ready(), mysql=STATIC)) == ["db-2-config"]


def test_a_static_change_goes_to_instances_without_a_pod() -> None:
    assert written(pod(spec(ready(), mysql=STATIC), "db-3", None)) == ["db-3-config"]


def test_a_missing_file_is_made_whatever_changed() -> None:
    assert written(objects(spec(ready(), mysql=STATIC), "config_maps", db_1_config=None)) == [
        "db-1-config",
        "db-2-config",
    ]


def test_statements_after_initialisation_are_given_to_the_first_instance_only() -> None:
    s = spec(ready(), bootstrap={"initdb": {"postInitSQL": ["SELECT 1"]}})
    (action,) = configuration.decide(s).actions
    assert isinstance(action, Apply)
    assert action.target.name == "db-1-config"
    assert action.body["data"]["post-init.json"] == '["SELECT 1"]'


# --- what people see of it

FOO = {"parameters": {"default_storage_engine": "FOO", "max_connections": "300"}}
REFUSED = {"default_storage_engine": "MySQL error 1286: Unknown storage engine 'FOO'"}
MESSAGE = (
    "mysqld of db-1, db-3 refuses default_storage_engine = FOO (MySQL error 1286: Unknown storage engine 'FOO'); "
    "it keeps the value it had: correct spec.mysql.parameters"
)


def refused() -> Snapshot:
    """Two have refused a value, the third has not spoken yet."""
    s = spec(ready(), mysql=FOO)
    for instance in ("db-1", "db-3"):
        s = told(s, instance, rejected=REFUSED, applied=False)
    return s


def condition(s: Snapshot) -> Json:
    shown = status_rule._conditions(s, "Ready", "", {names.CONDITION_PARAMETERS: configuration.condition(s)})
    (found,) = [c for c in shown if c["type"] == names.CONDITION_PARAMETERS]
    return dict(found)


def seen(s: Snapshot) -> tuple[str, str, list[Emit]]:
    """Phase, reason, and the Events about parameters."""
    verdict = status_rule.decide(s, (), held=False)
    events = [a for a in verdict.actions if isinstance(a, Emit) and a.reason == names.PARAMETER_REJECTED]
    return verdict.phase, verdict.reason, events


def test_a_refusal_is_told_by_condition_reason_and_one_warning() -> None:
    s = refused()
    assert (condition(s)["status"], condition(s)["reason"]) == ("False", names.PARAMETER_REJECTED)
    assert condition(s)["message"] == MESSAGE
    phase, reason, (warning,) = seen(s)
    assert (phase, reason) == (names.PHASE_READY, MESSAGE)
    assert warning.warning and warning.message == MESSAGE
    assert seen(status(s, conditions=[condition(s)]))[1:] == (MESSAGE, []), "told once"


def test_a_value_that_goes_back_to_a_default_is_told_so() -> None:
    s = told(ready(), "db-2", rejected={"init_connect": "no"}, applied=False)
    assert "mysqld of db-2 refuses the default of init_connect (no)" in condition(s)["message"]


def test_a_change_is_under_way_until_everybody_heard_follows_it() -> None:
    s = spec(ready(), mysql=DYNAMIC)
    assert condition(s)["reason"] == names.PARAMETERS_CHANGING
    assert condition(s)["message"] == "parameters are on their way to db-1, db-2, db-3"
    assert seen(s) == (names.PHASE_READY, "", [])
    for instance in ("db-1", "db-2"):
        s = told(s, instance)
    assert condition(s)["message"] == "parameters are on their way to db-3"
    pending = told(s, "db-3", pending_restart=("back_log",), applied=False)
    assert condition(pending)["reason"] == names.PARAMETERS_CHANGING
    for done in (told(s, "db-3"), silent(s, "db-3")):
        assert (condition(done)["status"], condition(done)["message"]) == ("True", "")


def test_a_correction_is_no_refusal_any_more() -> None:
    s = status(refused(), conditions=[condition(refused())])
    assert condition(spec(s, mysql={"parameters": {"default_storage_engine": None}}))["reason"] == "ParametersChanging"


def test_nothing_is_said_of_a_spec_that_is_refused_or_by_nobody() -> None:
    for s in (
        spec(refused(), mysql={"parameters": {"sql_mode": "FOO"}}),
        spec(refused(), storage={"size": None}),
        spec(refused(), instances="many"),
        silent(refused(), "db-1", "db-2", "db-3"),
    ):
        assert configuration.condition(s) is None


def test_what_an_instance_makes_up_stays_short() -> None:
    s = told(ready(), "db-2", rejected={f"{n}" + "k" * 2000: "e" * 2000 for n in range(200)}, applied=False)
    assert len(condition(s)["message"]) < 3000
    assert "; and 195 more; it keeps" in condition(s)["message"]
