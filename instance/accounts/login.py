"""With which password the manager logs in: the one in force, and while the Secret's is newer, that one too."""

from __future__ import annotations

from collections.abc import Callable

from cnmysql import names
from cnmysql.errors import Unreachable
from cnmysql.log import Secret
from cnmysql.mysql import internal
from cnmysql.mysql.conn import ConnectParams
from instance.settings import Settings


def unreadable(error: OSError | ValueError) -> str:
    """Why a mounted password cannot be read, without anything of it."""
    return str(error.strerror) if isinstance(error, OSError) else "it is not text in UTF-8"


class ControlLogin:
    """The password in force is known from the last login that succeeded; it is kept in memory alone.

    When the server refuses it and the mounted one, only a start that sets the account helps (`start`).
    `on_refused` is told.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._in_force: Secret | None = None
        self.on_refused: Callable[[], None] = lambda: None

    def candidates(self) -> tuple[ConnectParams, ...]:
        """What to try, in order. Raises Unreachable when there is nothing to try."""
        found = [] if self._in_force is None else [self._in_force]
        why = ""
        try:
            mounted = self._settings.paths.password("control")
            why = internal.unusable(mounted)
        except (OSError, ValueError) as error:
            why = unreadable(error)
        if not why and mounted not in found:
            found.append(mounted)
        if not found:
            raise Unreachable(f"the control password cannot be used: {why}")
        return tuple(self.params(password) for password in found)

    def params(self, password: Secret) -> ConnectParams:
        return ConnectParams(
            user=names.ACCOUNT_CONTROL,
            password=password,
            host=names.ADMIN_ADDRESS,
            port=self._settings.admin_port,
            unlogged=True,
            lock_wait_seconds=2,
        )

    def accepted(self, params: ConnectParams) -> None:
        self._in_force = params.password

    def refused(self) -> None:
        self.on_refused()
