"""Accounts in tests: a password as an order carries it, and what stands where an instance's account keeper stands."""

from __future__ import annotations

from cnmysql.log import Secret
from cnmysql.mysql.digest import derived
from instance.role.view import AccountsNeed


def stored(password: str) -> Secret:
    """The form in which mysqld keeps it, always the same."""
    return derived(Secret(password), "test")


class NoAccounts:
    """Never has anything to write: for tests that are about something else."""

    need: AccountsNeed = "nothing"

    async def change(self) -> None:
        raise AssertionError("nobody asked for it")
