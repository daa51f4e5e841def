"""What has been done to the accounts of this data directory, kept inside it: `.cnmysql-accounts`.

It holds no password: of that of cnmysql_control a salted digest, of the operator's orders their revisions. A copy
of another server's data brings no such file, so its accounts are taken for a stranger's.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cnmysql.log import Secret
from cnmysql.mysql import digest

_SALT: Final = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Record:
    """`control`: digest of the password that was last seen to log in. `orders`: revision by order (`root`, `owner`)."""

    control: str = ""
    orders: Mapping[str, str] = field(default_factory=dict)

    def knows(self, control: Secret) -> bool:
        """Whether cnmysql_control had this password when it was last written."""
        return bool(self.control) and digest.matches(control, self.control)


def fingerprint(password: Secret) -> str:
    """A digest with a salt of its own."""
    return digest.make(password, "".join(secrets.choice(_SALT) for _ in range(digest.SALT_LENGTH)))


def load(path: Path) -> Record:
    """The record; an empty one where there is none or it cannot be understood: that only costs work done again."""
    try:
        found = json.loads(path.read_text())
        orders = {str(k): str(v) for k, v in found["orders"].items()}
        return Record(str(found["control"]), orders)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Record()


def store(path: Path, record: Record) -> None:
    """Replace it as a whole. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    content = json.dumps({"control": record.control, "orders": dict(record.orders)}).encode()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)


def forget(path: Path) -> None:
    """The server's accounts are not what the record says: the next start sets ours anew. Raises OSError."""
    path.unlink(missing_ok=True)
