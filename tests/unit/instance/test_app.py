"""What the program does beside its work."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cnmysql.pki.contexts import RotatingServerContext, TlsFiles
from cnmysql.tasks import cancel
from instance.app import _follow_files
from tests.support.certs import Authority
from tests.unit.kube.virtual import LoopClock, run


def test_a_renewed_certificate_is_served_within_ten_seconds_while_a_volume_is_filled(tmp_path: Path) -> None:
    ca = Authority()
    trust = tmp_path / "ca.crt"
    trust.write_bytes(ca.pem)

    def renew() -> Path:
        return ca.issue("db-1", dns=("db-1.ns.svc",)).write(tmp_path / "server")

    async def scenario() -> None:
        server = renew()
        context = RotatingServerContext(TlsFiles(server / "tls.crt", server / "tls.key", trust))
        following = asyncio.create_task(_follow_files(context, LoopClock()))
        await asyncio.sleep(100)
        (server / "tls.crt").write_text("half of it")
        await asyncio.sleep(95)
        assert not following.done(), "files that cannot be used are waited for"
        renew()
        await asyncio.sleep(10)
        assert not context.refresh(), "it has been taken over already"
        await cancel(following)

    run(scenario())
