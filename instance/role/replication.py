"""What a stopped replication channel means: start it again, or leave it and say what a human must do.

Codes from the server error reference and tried on 9.7: 13114 carries an inner 1236, 13117 is an unusable identity.
"""

from __future__ import annotations

from typing import Final

from cnmysql.mysql.gtid import GtidSet
from cnmysql.protocol.report import Problem
from instance.role.view import Channel

_FATAL_READ: Final = 13114
_FATAL_READ_OLD: Final = 1236
_IDENTITY: Final = frozenset({13117, 1593})
_APPLIER_TRANSIENT: Final = frozenset({1205, 1213, 3030})
"""Lock wait timeout, deadlock, worker retry: the server gave up retrying, the transaction itself is fine."""
_REINIT: Final = "Re-initialise this instance: delete its Pod and its PersistentVolumeClaim so that it clones anew."


def broken(channel: Channel) -> Problem | None:
    """Why the channel must not be started again by us, or None when it runs or may be restarted."""
    if not channel.receiving:
        problem = _broken_receiver(channel)
        if problem is not None:
            return problem
    if not channel.sql_running and channel.sql_errno and channel.sql_errno not in _APPLIER_TRANSIENT:
        return Problem(
            reason="ReplicationBroken",
            message=f"the applier stopped with error {channel.sql_errno}: {channel.sql_error} Its data differs from "
            f"the source's or a transaction cannot be applied. {_REINIT}",
        )
    return None


def _broken_receiver(channel: Channel) -> Problem | None:
    code, text = channel.io_errno, channel.io_error
    if code in _IDENTITY:
        return Problem(reason="ReplicationBroken", message=f"the receiver stopped with error {code}: {text}")
    if code not in (_FATAL_READ, _FATAL_READ_OLD):
        return None
    if "purged" in text:
        why = "the source has purged binary logs that this instance has not received yet."
    elif "more GTIDs" in text:
        why = "this instance has transactions under the source's own UUID that the source has lost."
    else:
        why = f"the source refused to send its binary log: {text}"
    return Problem(reason="ReplicationBroken", message=f"{why} {_REINIT}")


def errant(own: GtidSet, source: GtidSet, source_uuid: str) -> GtidSet:
    """Transactions this instance has and its source lacks.

    `source` was read after `own`. Transactions under the source's own UUID may still be on their way through its
    commit and are left out; the server itself refuses to stream to a replica that is ahead under that UUID.
    """
    return own.subtract(source).without([source_uuid])


def diverged(extra: GtidSet, source: str) -> Problem:
    return Problem(
        reason="Diverged",
        message=f"this instance has {extra.count} transaction(s) that {source} does not have ({extra}); "
        f"it is kept out of service and does not replicate. Save what they hold if it matters. {_REINIT}",
    )


def lost_tail(missing: GtidSet, holder: str) -> Problem:
    return Problem(
        reason="LostTail",
        message=f"{holder} has received {missing.count} transaction(s) that this former primary lacks ({missing}): the "
        "end of its binary log was lost. It stays closed, because it would give the same names to other transactions.",
    )
