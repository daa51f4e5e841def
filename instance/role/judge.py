"""Questions several rules ask of a View."""

from __future__ import annotations

from instance.role.view import ClusterFacts, ServerFacts, Unknown, View


def may_be_open(view: View) -> bool:
    """Whether clients might be able to write here. A server that does not answer may, once we have opened it."""
    if view.mysqld.state != "running":
        return False
    if isinstance(view.server, Unknown):
        return view.lease.armed
    return not view.server.super_read_only


def ordered_away(view: View) -> bool:
    """Whether what we know of the Cluster says that somebody else, or nobody yet, shall be primary."""
    cluster = view.cluster
    if isinstance(cluster, Unknown) or cluster.epoch < view.stored_epoch:
        return False
    if cluster.order is not None:
        return cluster.order.to != view.me.instance
    return cluster.current_primary != view.me.instance


def called_closed(view: View) -> bool:
    """Whether the operator's call to close is still in force: only an order of that epoch or later lifts it."""
    if not view.close_epoch:
        return False
    order = None if isinstance(view.cluster, Unknown) else view.cluster.order
    return not (order is not None and order.to == view.me.instance and order.epoch >= view.close_epoch)


def known(view: View) -> tuple[ClusterFacts, ServerFacts]:
    """Both are known below the rules that wait for them."""
    assert isinstance(view.cluster, ClusterFacts)
    assert isinstance(view.server, ServerFacts)
    return view.cluster, view.server
