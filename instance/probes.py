"""The kubelet's probes on 8081, plain HTTP: /livez, /startupz, /readyz. 200, or 503 with the reason as text.

They are judged on what the role loop saw last, never on a question of their own, so a hung server or a slow API
server cannot make a probe hang.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from cnmysql.crowd import Crowd
from cnmysql.listener import Listener, problem
from cnmysql.protocol import endpoints
from instance import readiness
from instance.readiness import Condition

MAX_CONNECTIONS: Final = 32
MAX_EACH: Final = 8
"""Connections in all and of one address: the kubelet has its node's, so nobody else can use up its share."""
Judge = Callable[[Condition], str]
PROBES: Final[dict[str, Judge]] = {
    endpoints.PROBE_LIVE: readiness.not_live,
    endpoints.PROBE_READY: readiness.not_ready,
    endpoints.PROBE_STARTUP: readiness.not_started,
}


async def serve_probes(condition: Callable[[], Condition], *, host: str, port: int) -> Listener:
    """Serve the probes; call `close` of the result at the end. Raises OSError."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        judge = PROBES.get(request.path)
        if judge is None:
            return problem(404, "there is no such path")
        if request.method != "GET":
            return problem(405, "this path has another method")
        reason = judge(condition())
        return web.Response(status=503, text=reason) if reason else web.Response(text="ok")

    listener = Listener(answer, None, strangers=Crowd(MAX_CONNECTIONS, MAX_EACH))
    await listener.start(host, port)
    return listener
