"""Can this spec work at all? A no says which field, which value and what to do.

Where nothing can be made from the spec, every change is held. A spec that only asks for what is refused holds
everything before there is data; later it is not done, and the rest goes on: whatever is lost has to come back.
"""

from __future__ import annotations

from cnmysql import names
from cnmysql.mysql.parameters import check_parameters
from cnmysql.mysql.sql import quote_schema_target
from manager.actions import Action, Emit
from manager.cluster import image
from manager.cluster.brought import unusable
from manager.cluster.desired import Desired, desired
from manager.cluster.outcome import Continue, Hold, Notice, Outcome
from manager.cluster.quantity import parse_quantity
from manager.cluster.render.volumes import requested_size
from manager.cluster.snapshot import Malformed, Snapshot


def decide(s: Snapshot) -> Outcome:
    """The first reason against the spec, as phase Blocked; warnings about parameters once per generation."""
    if isinstance(s.spec, Malformed):
        return Hold(_blocked(f"InvalidSpec: {s.spec.message}"))
    d = desired(s)
    nothing = refusal(s, d)
    if nothing:
        return Hold(_blocked(nothing))
    refused = image.refusal(s, d.spec.image_name) or _shrinks(s, d)
    if s.record.has_history:
        return Continue(_warnings(s, d), _blocked(refused) if refused else None)
    return _before_data(s, d, refused or _database(d)) or Continue(_warnings(s, d))


def _before_data(s: Snapshot, d: Desired, refused: str) -> Hold | None:
    """What the first start needs, and nothing later."""
    if refused:
        return Hold(_blocked(refused))
    secret = unusable(s, d.spec)
    if secret is None:
        return None
    if secret.reason:
        return Hold(_blocked(str(secret)))
    # A matter of milliseconds after a start of ours: what people see stays as it is.
    before = str(s.status.get("phaseReason") or secret)
    return Hold(Notice(before, str(s.status.get("phase") or "")))


def refusal(s: Snapshot, d: Desired) -> str:
    """Why nothing can be rendered from this spec, empty when all can."""
    return image.refusal(s, d.image) or _size(d) or _limits(d) or _parameters(d)


def _blocked(reason: str) -> Notice:
    return Notice(reason, names.PHASE_BLOCKED)


def _size(d: Desired) -> str:
    try:
        parse_quantity(requested_size(d.spec.storage))
    except (KeyError, ValueError):
        return "InvalidStorage: spec.storage.size is missing or not a quantity; set it, for example 10Gi"
    return ""


def _shrinks(s: Snapshot, d: Desired) -> str:
    wanted = requested_size(d.spec.storage)
    size = parse_quantity(wanted)
    for instance in d.members:
        claim = s.objects.volumes.get(instance)
        if claim is None or _of_another(s, claim):
            continue
        present = str(claim["spec"].get("resources", {}).get("requests", {}).get("storage", "0"))
        if size < parse_quantity(present):
            return (
                f"ShrinkUnsupported: spec.storage.size {wanted} is smaller than the {present} of volume {instance}; "
                f"set it to {present} or more"
            )
    return ""


def _of_another(s: Snapshot, claim: dict[str, object]) -> bool:
    metadata = claim["metadata"]
    assert isinstance(metadata, dict)
    return (metadata.get("annotations") or {}).get(names.ANN_CLUSTER_UID) != s.uid


def _limits(d: Desired) -> str:
    """my.cnf is sized by them. The API server knows more forms of a quantity than the schema can refuse."""
    limits = d.spec.resources.get("limits") or {}
    for name in ("memory", "cpu"):
        try:
            parse_quantity(str(limits.get(name, "0")))
        except ValueError as error:
            return f"InvalidResources: spec.resources.limits.{name}: {error}; write for example 4Gi, or 2 for cpu"
    return ""


def _parameters(d: Desired) -> str:
    fatal = [f.message for f in check_parameters(d.spec.mysql.parameters, d.version) if f.fatal]
    return f"InvalidParameter: {'; '.join(fatal)}" if fatal else ""


def _database(d: Desired) -> str:
    """Stored before admission refused it, it would fail only in the Pod, over and over."""
    name = d.spec.bootstrap.initdb.database
    try:
        _ = name and quote_schema_target(name)
    except ValueError as error:
        return f"InvalidDatabase: spec.bootstrap.initdb.database {name}: {error}; choose another name"
    return ""


def _warnings(s: Snapshot, d: Desired) -> tuple[Action, ...]:
    if s.status.get("observedGeneration") == s.generation:
        return ()
    return tuple(
        Emit(f"{f.kind}Parameter", f.message, warning=True)
        for f in check_parameters(d.spec.mysql.parameters, d.version)
        if not f.fatal
    )
