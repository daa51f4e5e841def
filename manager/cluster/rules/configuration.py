"""Does every instance have the configuration it should have now, and does its server follow it?

Two files: a running server is brought to live.cnf, and mysqld is started from my.cnf. A dynamic parameter of the user
is written to the live.cnf of all at once and to an instance's my.cnf when its server has taken it: mysqld alone knows
all that it refuses, and what it refuses must not be met by the next start. A change that needs a restart is written
only to instances without a running Pod and to the one that is being replaced, so that an instance which restarts by
chance never meets a setting that has not been proven on the first one.
"""

from __future__ import annotations

from typing import Final

from cnmysql import names
from cnmysql.mysql import mycnf
from cnmysql.protocol.report import ConfigReport, InstanceStatus
from manager.actions import Emit
from manager.cluster import facts
from manager.cluster.desired import Config, Desired, config, desired
from manager.cluster.outcome import Condition, Continue, Outcome
from manager.cluster.render import configmaps
from manager.cluster.render.configmaps import Files
from manager.cluster.render.meta import Json
from manager.cluster.rules import validation
from manager.cluster.rules.common import apply_all
from manager.cluster.rules.rollout import next_victim
from manager.cluster.rules.routing import recorded_role
from manager.cluster.snapshot import Malformed, Snapshot

_MOST: Final = 5
"""Refusals that are named; one bad edit seldom makes more, and an instance may report anything."""


def decide(s: Snapshot) -> Outcome:
    """ConfigMaps that may change in this pass."""
    d = desired(s)
    victim = next_victim(s, d).instance
    bodies = [_body(s, d, i, wanted) for i in d.present if _may_have(s, i, wanted := config(d, i), victim)]
    return Continue(tuple(apply_all(s, "config_maps", bodies)))


def _may_have(s: Snapshot, instance: str, wanted: Config, victim: str) -> bool:
    pod = s.objects.pods.get(instance)
    if pod is None or instance == victim or names.config_map(instance) not in s.objects.config_maps:
        return True
    return facts.annotation(pod, names.ANN_CONFIG_HASH) == wanted.static_hash


def _body(s: Snapshot, d: Desired, instance: str, wanted: Config) -> Json:
    first = instance == names.instance(s.name, 1)
    sql = tuple(d.spec.bootstrap.initdb.post_init_sql) if first else ()
    files = Files(_start(s, d, instance, wanted.text), wanted.text)
    return configmaps.config(d.owner, instance, files, sql, recorded_role(s, instance))


def _start(s: Snapshot, d: Desired, instance: str, wanted: str) -> str:
    report = facts.fresh_report(s, instance)
    if not s.record.has_history or _has_taken(report, wanted):
        return wanted
    # What mysqld does not start with is nothing to go back to.
    refused = report is not None and report.problem is not None and report.problem.reason == "ConfigurationInvalid"
    former = "" if refused else _stored(s, instance, names.CONFIG_KEY)
    return mycnf.for_start(wanted, former, d.version)


def _stored(s: Snapshot, instance: str, key: str) -> str:
    found = s.objects.config_maps.get(names.config_map(instance)) or {}
    return str((found.get("data") or {}).get(key, ""))


def _has_taken(report: InstanceStatus | None, live: str) -> bool:
    told = report.config if report is not None else None
    return told is not None and _answers(told, live) and not told.rejected


def _answers(told: ConfigReport, live: str) -> bool:
    return told.file_hash == mycnf.file_hash(live.encode())


# --- what people see of it


def condition(s: Snapshot) -> Condition | None:
    """ParametersApplied, by what the instances say; None while the spec is refused or none of them says anything."""
    if isinstance(s.spec, Malformed) or validation.refusal(s, d := desired(s)):
        return None
    reports = [(i, r.config) for i in facts.pods_of(s) if (r := facts.fresh_report(s, i)) is not None]
    known = [(i, told, config(d, i).text) for i, told in reports if told is not None]
    if not known:
        return None
    refused = _refused([(i, told, live) for i, told, live in known if _answers(told, live)])
    if refused:
        return Condition(False, names.PARAMETER_REJECTED, refused)
    waiting = [i for i, told, live in known if not _answers(told, live) or told.pending_restart]
    if waiting:
        return Condition(False, names.PARAMETERS_CHANGING, f"parameters are on their way to {', '.join(waiting)}")
    return Condition(True, names.PARAMETERS_APPLIED, "")


def events(s: Snapshot, now: Condition | None) -> tuple[Emit, ...]:
    """A Warning when mysqld begins to refuse what the spec asks for; every edit starts with ParametersChanging."""
    if now is None or now.reason != names.PARAMETER_REJECTED:
        return ()
    if facts.stored_condition(s, names.CONDITION_PARAMETERS).get("reason") == now.reason:
        return ()
    return (Emit(now.reason, now.message, warning=True),)


def _refused(told: list[tuple[str, ConfigReport, str]]) -> str:
    """Who refuses what, the same refusal of several instances in one sentence."""
    who: dict[str, list[str]] = {}
    for instance, report, live in told:
        for key, error in sorted(report.rejected.items()):
            value = mycnf.settings(live).get(key)
            setting = f"{_cut(key)} = {_cut(value)}" if value is not None else f"the default of {_cut(key)}"
            who.setdefault(f"refuses {setting} ({_cut(error)})", []).append(instance)
    if not who:
        return ""
    said = [f"mysqld of {', '.join(instances)} {what}" for what, instances in who.items()]
    more = f"; and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return f"{'; '.join(said[:_MOST])}{more}; it keeps the value it had: correct spec.mysql.parameters"


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
