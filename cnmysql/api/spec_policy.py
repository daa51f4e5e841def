"""Rules about a Cluster's spec that CEL in a CRD cannot afford (keys of maps) or cannot see (the status).

They run in a ValidatingAdmissionPolicy, which has no cost estimate ahead of time, only when the spec changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cnmysql.api.rules import TAG, Case, Rule, cel_string
from cnmysql.mysql import parameters

Variables = tuple[tuple[str, str], ...]

RESERVED_ENV: Final = ("MYSQL_VERSION", "POD_NAME", "POD_NAMESPACE", "POD_UID", "USER")
RESERVED_ENV_PREFIX: Final = "CNMYSQL_"
_PARAMETERS: Final = "spec.mysql.parameters"


def _normalised(key: str) -> str:
    """CEL: `parameters.normalise`."""
    return f"{key}.trim().lowerAscii().replace('-', '_')"


def _without(prefix: str, name: str) -> str:
    """CEL: a name without what the pattern matches at its start."""
    return f"{name}.substring(size({name}.find('^({prefix})')))"


def _cel_map(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{cel_string(k)}: {cel_string(v)}" for k, v in sorted(entries.items())) + "}"


def _any(prefixes: Iterable[str]) -> str:
    return f"({'|'.join(prefixes)})*"


_PREFIX_REASONS: Final = {**parameters.MANAGED_PREFIXES, **parameters.DENIED_PREFIXES}
_BARE: Final = "[" + _normalised("k") + "].map(n, " + _without(_any(parameters.PREFIXES), "n") + ")"
_SPELLINGS: Final = (
    f"[{_normalised('k')}].map(n, [{_without(_any(parameters.SYNONYMS), 'n')},"
    f" {_without(_any(parameters.PREFIXES), 'n')}])[0]"
)
"""CEL: the names a key `k` acts on, as `parameters.classify` sees them."""
_IS_PATH: Final = f"n.matches({cel_string(parameters.PATH)}) && !(n in {sorted(parameters.PATH_FREE)})"
_IS_REFUSED: Final = f"n in variables.reasons || variables.prefixes.exists(p, n.startsWith(p)) || ({_IS_PATH})"

VARIABLES: Final[Variables] = (
    ("parameters", "object.spec.?mysql.?parameters.orValue({})"),
    ("before", "oldObject == null ? {} : oldObject.spec.?mysql.?parameters.orValue({})"),
    ("hasData", "oldObject != null && oldObject.?status.?currentPrimary.orValue('') != ''"),
    ("reasons", _cel_map(parameters.REASONS)),
    ("prefixes", _cel_map(_PREFIX_REASONS)),
    (
        "refused",
        f"variables.parameters.filter(k, {_SPELLINGS}.exists(n, {_IS_REFUSED}))",
    ),
    ("odd", f"variables.parameters.filter(k, !{_BARE}[0].matches('^[a-z][a-z0-9_]*$'))"),
    ("broken", "variables.parameters.filter(k, ['\\n', '\\r'].exists(c, variables.parameters[k].contains(c)))"),
    ("names", f"variables.parameters.map(k, {_normalised('k')})"),
    (
        "twice",
        f"variables.parameters.filter(k, [{_normalised('k')}].exists(m, !variables.names.exists_one(n, n == m)))",
    ),
    (
        "fixed",
        f"[{', '.join(cel_string(n) for n in sorted(parameters.IMMUTABLE))}].filter(f,"
        f" variables.parameters.filter(k, {_SPELLINGS}[0] == f).map(k, variables.parameters[k].trim())"
        f" != variables.before.filter(k, {_SPELLINGS}[0] == f).map(k, variables.before[k].trim()))",
    ),
    ("image", "object.spec.?imageName.orValue('')"),
    ("oldImage", "oldObject == null ? '' : oldObject.spec.?imageName.orValue('')"),
    ("series", f"variables.image.find('{TAG}').find('[0-9]+\\\\.[0-9]+')"),
    ("oldSeries", f"variables.oldImage.find('{TAG}').find('[0-9]+\\\\.[0-9]+')"),
    (
        "environment",
        f"object.spec.?env.orValue([]).map(e, e.name).filter(n, n.startsWith({cel_string(RESERVED_ENV_PREFIX)})"
        f" || n in [{', '.join(cel_string(n) for n in RESERVED_ENV)}])",
    ),
    ("requests", "object.spec.?resources.?requests.orValue({})"),
    ("limits", "object.spec.?resources.?limits.orValue({})"),
    (
        "above",
        "variables.requests.filter(k, k in variables.limits && quantity(string(variables.requests[k]))"
        ".compareTo(quantity(string(variables.limits[k]))) > 0)",
    ),
)


def _parameter(key: str, value: str = "1", before: str | None = None) -> Case:
    return Case(
        {"mysql": {"parameters": {key: value}}},
        before=None if before is None else {"mysql": {"parameters": {key: before}}},
        shows=key,
    )


def _label_rule(field: str, path: str) -> Rule:
    """Labels that the API server would refuse on every object made from them."""
    labels = f"object.spec.{path}.orValue({{}})"
    bad = (
        f"{labels}.filter(k, format.qualifiedName().validate(k).hasValue()"
        f" || format.labelValue().validate({labels}[k]).hasValue())"
    )
    nest = _nested(field)
    return Rule(
        at="",
        field=field,
        cel=f"size({bad}) == 0",
        says=f"'{field}: ' + {bad}.map(k, k + '=' + {labels}[k]).join(', ') + ' cannot be a label'",
        remedy="use at most 63 letters, digits, dashes, dots and underscores; a key may have a DNS prefix",
        accept=(Case(nest({"example.com/team": "data", "empty": ""})),),
        reject=(
            Case(nest({"not a key": "x"}), shows="not a key"),
            Case(nest({"team": "data & more"}), shows="data & more"),
        ),
    )


def _nested(field: str) -> _Nest:
    return _Nest(field.removeprefix("spec.").split("."))


class _Nest:
    """A spec with a value at this path."""

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts

    def __call__(self, value: object) -> dict[str, object]:
        for part in reversed(self._parts):
            value = {part: value}
        assert isinstance(value, dict)
        return value


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        at="",
        field=_PARAMETERS,
        cel="size(variables.refused) == 0",
        says=f"'{_PARAMETERS}: ' + variables.refused.map(k, k + ' (' + {_SPELLINGS}.filter(n, {_IS_REFUSED})"
        ".map(n, n in variables.reasons ? variables.reasons[n]"
        " : (variables.prefixes.filter(p, n.startsWith(p)).map(p, variables.prefixes[p])"
        f" + [{cel_string(parameters.PATH_REASON)}])[0])[0] + ')').join(', ')"
        " + ' is not allowed'",
        remedy="remove it",
        accept=(
            _parameter("max_connections", "500"),
            _parameter("Require-Secure-Transport", "ON"),
            _parameter("loose_audit_log_policy", "NONE"),
            _parameter("partial_revokes", "ON"),
            _parameter("innodb_temp_data_file_path", "ibtmp1:12M:autoextend:max:5G"),
        ),
        reject=(
            _parameter("server_id"),
            _parameter("server-id"),
            _parameter(" SERVER-ID"),
            _parameter("loose_gtid_mode"),
            _parameter("loose-loose_gtid-mode"),
            _parameter("maximum_sync_binlog"),
            _parameter("skip-log-bin"),
            _parameter("disable_log_bin"),
            _parameter("enable_super_read_only"),
            _parameter("skip_networking"),
            _parameter("bind-address"),
            _parameter("init_file"),
            _parameter("plugin-load"),
            _parameter("replicate-do-db"),
            _parameter("rpl_semi_sync_source_enabled"),
            _parameter("group_replication_group_name"),
            _parameter("ssl_cert"),
            _parameter("expire_logs_days"),
            _parameter("log_raw"),
            _parameter("ssl", "OFF"),
            _parameter("ft_stopword_file", "/etc/cnmysql/credentials/control/password"),
            _parameter("plugin_innodb_buffer_pool_filename", "../x"),
            _parameter("skip-loose-admin_ssl"),
        ),
    ),
    Rule(
        at="",
        field=_PARAMETERS,
        cel="size(variables.odd) == 0",
        says=f"'{_PARAMETERS}: ' + variables.odd.join(', ') + ' is not the name of a server variable'",
        remedy="use letters, digits and underscores",
        accept=(_parameter("innodb_buffer_pool_size", "1G"),),
        reject=(_parameter("[client]"), _parameter("max connections"), _parameter("a=b"), _parameter("größe")),
    ),
    Rule(
        at="",
        field=_PARAMETERS,
        cel="size(variables.broken) == 0",
        says=f"'{_PARAMETERS}: the value of ' + variables.broken.join(', ') + ' has a line break'",
        remedy="write it on one line",
        accept=(_parameter("init_connect", "SET NAMES 'utf8mb4' # \\ \" \t"),),
        reject=(_parameter("init_connect", "x\nskip_grant_tables"), _parameter("time_zone", "a\rb")),
    ),
    Rule(
        at="",
        field=_PARAMETERS,
        cel="size(variables.twice) == 0",
        says=f"'{_PARAMETERS}: ' + variables.twice.join(', ') + ' are spellings of one variable'",
        remedy="keep one",
        accept=(Case({"mysql": {"parameters": {"max_connections": "1", "max_user_connections": "1"}}}),),
        reject=(
            Case({"mysql": {"parameters": {"max_connections": "1", "MAX-connections": "2"}}}, shows="MAX-connections"),
        ),
    ),
    Rule(
        at="",
        field=_PARAMETERS,
        cel="!variables.hasData || size(variables.fixed) == 0",
        says=f"'{_PARAMETERS}: ' + variables.fixed.join(', ') + ' cannot change once the Cluster has data'",
        remedy="restore the former value",
        accept=(_parameter("innodb_page_size", "16k", before="16k"), _parameter("sort_buffer_size", "1M", before="2M")),
        reject=(
            _parameter("innodb_page_size", "32k", before="16k"),
            _parameter("lower_case_table_names", "1", before="0"),
            Case(
                {"mysql": {"parameters": {"loose_partial_revokes": "ON"}}},
                before={"mysql": {"parameters": {}}},
                shows="partial_revokes",
            ),
        ),
    ),
    Rule(
        at="",
        field="spec.imageName",
        cel="!variables.hasData || variables.series == '' || variables.oldSeries == ''"
        " || variables.series == variables.oldSeries",
        says="'spec.imageName ' + variables.image + ' changes the MySQL series from ' + variables.oldSeries + ' to '"
        " + variables.series + ', which an image name alone may not do'",
        remedy="use an image of the former series",
        accept=(
            Case({"imageName": "mysql:8.4.5"}, before={"imageName": "mysql:8.4.3"}),
            Case({"imageName": "mysql:lts"}, before={"imageName": "mysql:8.4.3"}),
        ),
        reject=(
            Case({"imageName": "mysql:9.7"}, before={"imageName": "mysql:8.4.3"}, shows="from 8.4 to 9.7"),
            Case({"imageName": "r.example/x:8.0.45-1"}, before={"imageName": "mysql:8.4"}, shows="from 8.4 to 8.0"),
        ),
    ),
    Rule(
        at="",
        field="spec.env",
        cel="size(variables.environment) == 0",
        says="'spec.env: ' + variables.environment.join(', ') + ' is set by the operator'",
        remedy=f"remove {', '.join(RESERVED_ENV)} and names that start with {RESERVED_ENV_PREFIX}",
        accept=(
            Case({"env": [{"name": "TZ", "value": "Europe/Berlin"}]}),
            Case({"env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}),
        ),
        reject=(
            Case({"env": [{"name": "POD_NAME", "value": "x"}]}, shows="POD_NAME"),
            Case({"env": [{"name": "CNMYSQL_X", "value": "x"}]}, shows="CNMYSQL_X"),
        ),
    ),
    Rule(
        at="",
        field="spec.resources.requests",
        cel="size(variables.above) == 0",
        says="'spec.resources.requests: ' + variables.above.map(k, k + ' ' + string(variables.requests[k])"
        " + ' is more than the limit ' + string(variables.limits[k])).join(', ')",
        remedy="lower the request or raise the limit",
        accept=(
            Case({"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1Gi"}}}),
            Case({"resources": {"requests": {"cpu": 2}}}),
        ),
        reject=(
            Case({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}, shows="cpu 2 is more than"),
            Case({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}, shows="memory 2Gi"),
        ),
    ),
    _label_rule("spec.inheritedMetadata.labels", "?inheritedMetadata.?labels"),
    _label_rule("spec.serviceAccountTemplate.metadata.labels", "?serviceAccountTemplate.?metadata.?labels"),
    _label_rule("spec.affinity.nodeSelector", "?affinity.?nodeSelector"),
)
