"""What may be done with a data volume, by what was seen on it. Pure; `instance.provision.survey` looks.

A data directory is built beside its final place and renamed into it when it is complete, so a directory at the
final place is either complete (it carries the bootstrapped mark, written last) or not ours. Before anything else
is written the volume gets a provisioning mark with our Cluster's uid: only under that mark is a half-built
directory ours to wipe. What carries neither mark belongs to somebody and is never touched.

A complete directory says for which Cluster it was made. Another Cluster's is used only after it was adopted: when
the operator says that it may be, our accounts are put into it, and then, last, its mark is made ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

from cnmysql import names

WORK_DIRS: Final = (".cnmysql-initdb", ".cnmysql-join")


@dataclass(frozen=True)
class Mark:
    """Content of the provisioning mark: for whom and how the volume is being filled."""

    cluster_uid: str
    instance: str
    mode: str

    def to_json(self) -> str:
        return json.dumps({"clusterUID": self.cluster_uid, "instance": self.instance, "mode": self.mode})


@dataclass(frozen=True)
class Unreadable:
    """A provisioning mark that says nothing: not written by us, or damaged."""


def parse_mark(text: str) -> Mark | Unreadable:
    """Inverse of `Mark.to_json`."""
    try:
        fields = json.loads(text)
        mark = Mark(fields["clusterUID"], fields["instance"], fields["mode"])
    except (ValueError, KeyError, TypeError):
        return Unreadable()
    return mark if all(isinstance(v, str) and v for v in (mark.cluster_uid, mark.instance)) else Unreadable()


@dataclass(frozen=True)
class Volume:
    """What was seen. `data` is the final data directory; `others`: what else lies there and is not ours.

    `made_for`: what the bootstrapped mark says; present exactly when the directory is complete.
    """

    data: Literal["absent", "empty", "filled", "complete"]
    mark: Mark | Unreadable | None = None
    others: tuple[str, ...] = ()
    made_for: Mark | Unreadable | None = None


@dataclass(frozen=True)
class Complete:
    """A complete data directory: nothing to do."""


@dataclass(frozen=True)
class Build:
    """Ours to fill; `redo`: an earlier attempt is wiped first."""

    redo: bool


@dataclass(frozen=True)
class Adopt:
    """The complete data directory of a former Cluster, which the operator says may become ours."""

    former: Mark


@dataclass(frozen=True)
class Foreign:
    """Somebody's data: refuse, touch nothing."""

    message: str


def decide(seen: Volume, own: Mark, adopt_from: tuple[str, ...] = ()) -> Complete | Adopt | Build | Foreign:
    """What initdb or join may do. The order is the safety order: completeness, ownership, emptiness.

    `adopt_from`: uids of the Clusters whose complete data may become ours, names.ANY_CLUSTER: whoever made it.
    """
    if seen.data == "complete":
        owned = _owned(seen.made_for, own.cluster_uid)
        if isinstance(owned, Mark):
            may = owned.cluster_uid in adopt_from or names.ANY_CLUSTER in adopt_from
            return Adopt(owned) if may else Foreign(_of_another(owned))
        return owned
    remedy = "empty the volume, or delete the PersistentVolumeClaim, if the data is not needed"
    if isinstance(seen.mark, Unreadable):
        return Foreign(f"{names.FILE_PROVISIONING} cannot be read, so the volume cannot be proved ours; {remedy}")
    if seen.mark is not None and (seen.mark.cluster_uid, seen.mark.instance) != (own.cluster_uid, own.instance):
        return Foreign(
            f"the volume was being filled for instance {seen.mark.instance} of another Cluster "
            f"(uid {seen.mark.cluster_uid}); {remedy}"
        )
    if seen.data == "filled":
        # We never leave an unmarked directory there, so this holds with our provisioning mark too.
        return Foreign(f"the data directory has content without {names.FILE_BOOTSTRAPPED}; {remedy}")
    if seen.mark is None and seen.others:
        shown = ", ".join(seen.others[:5])
        return Foreign(f"the volume holds data that is not ours ({shown}); {remedy}")
    return Build(redo=seen.mark is not None)


@dataclass(frozen=True)
class Missing:
    """`run` found no data directory at all."""

    message: str


def decide_run(seen: Volume, cluster_uid: str) -> Complete | Missing | Foreign:
    """Whether mysqld may be started on the volume."""
    if seen.data == "complete":
        owned = _owned(seen.made_for, cluster_uid)
        return Foreign(_of_another(owned)) if isinstance(owned, Mark) else owned
    if seen.data == "filled":
        return Foreign(f"the data directory has content without {names.FILE_BOOTSTRAPPED}; it is left untouched")
    return Missing("the volume holds no complete data directory; the instance must be provisioned again")


def _owned(made_for: Mark | Unreadable | None, cluster_uid: str) -> Complete | Mark | Foreign:
    """Of a complete directory: ours, another Cluster's (its mark), or nobody's."""
    if not isinstance(made_for, Mark):
        return Foreign(f"{names.FILE_BOOTSTRAPPED} cannot be read, so the data directory cannot be proved ours")
    return Complete() if made_for.cluster_uid == cluster_uid else made_for


def _of_another(made_for: Mark) -> str:
    return (
        f"the data directory was made for instance {made_for.instance} of another Cluster (uid "
        f"{made_for.cluster_uid}); it is used only when its PersistentVolumeClaim is annotated "
        f"{names.ANN_ADOPT_VOLUME} with the uid of this Cluster and the Pod is created after that"
    )
