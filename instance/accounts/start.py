"""A start of mysqld that gives cnmysql_control the password of its Secret before anybody can connect.

That is the way back in when the volume knows another password than the Secret: the Secret changed while the Pod was
away, the data is a copy of another server's, somebody altered the account. It works on a server that boots closed:
statements of `init_file` run before the first connection and are not stopped by super_read_only. They are handed over
in memory (no file holds them) and carry a digest in place of the password, which no password policy can refuse.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cnmysql import log
from cnmysql.log import Secret
from cnmysql.mysql import internal
from cnmysql.mysql.statements import UNSEEN
from instance.accounts import record
from instance.accounts.login import unreadable
from instance.settings import Paths

_log = log.get("accounts")
_SESSION: Final = f"SET SESSION sql_log_bin=0, sql_mode='STRICT_ALL_TABLES', {UNSEEN}"


@dataclass
class Initial:
    """An open file without a name. `close` it once mysqld has been started."""

    fd: int

    @property
    def option(self) -> str:
        return f"--init-file=/proc/self/fd/{self.fd}"

    def close(self) -> None:
        os.close(self.fd)


def initial(paths: Paths) -> Initial | None:
    """What the coming start has to be given; None when the volume knows the password. Blocks: use a thread."""
    try:
        password = paths.password("control")
    except (OSError, ValueError) as error:
        _log.error("the control password cannot be read", error=unreadable(error))
        return None
    why = internal.unusable(password)
    if why:
        _log.error("the password in the control Secret cannot be used", error=why)
        return None
    if record.load(paths.accounts_file).knows(password):
        return None
    _log.info("this start sets the control account anew: the volume has not seen the Secret's password")
    fd = os.memfd_create("cnmysql-accounts")
    os.write(fd, "".join(f"{text};\n" for text in statements(password)).encode())
    return Initial(fd)


def statements(password: Secret) -> tuple[str, ...]:
    """One line each."""
    accounts = internal.control(password)
    former = (f"ALTER USER {account.name} DISCARD OLD PASSWORD" for account in accounts)
    return (_SESSION, *(statement.text for statement in internal.statements(accounts)), *former)
