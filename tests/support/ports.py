"""Ports for the listeners of tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    """A TCP port that nobody listens on now, on any loopback address, and that no outgoing connection can take.

    The kernel gives connections their local ports from `ip_local_port_range`; a listener's port out of that range is
    lost to whichever connection comes first between the choice and the bind. So it is taken from below, and never the
    same one twice in a process. Raises OSError when none is left.
    """
    for port in _listener_ports:
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError("no TCP port is left for a listener")


def _below_the_ephemeral() -> Iterator[int]:
    """Candidates, once around, from a place of this process's own: several test runs seldom meet."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = min(10240, lowest // 2)
    start = os.getpid() * 4099 % (lowest - first)
    return (first + (start + step) % (lowest - first) for step in range(lowest - first))


_listener_ports = _below_the_ephemeral()
