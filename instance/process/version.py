"""Which MySQL the image has: asked of the program itself, since a tag may say nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from cnmysql.errors import Terminal
from cnmysql.mysql.version import Version
from instance.process.reaper import Reaper
from instance.settings import child_environment

PROGRAM_SECONDS = 30.0


def parse(text: str) -> Version:
    """From `/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`. Raises ValueError."""
    _, found, rest = text.partition(" Ver ")
    if not found:
        raise ValueError("mysqld --version names no version")
    return Version.parse(rest)


async def server_version(reaper: Reaper, mysqld: str) -> Version:
    """The version of the server program (about 30 ms). Raises Terminal when it cannot be told."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        try:
            child = reaper.spawn(
                [mysqld, "--version"], stdout=write, stderr=subprocess.DEVNULL, env=child_environment()
            )
        except OSError as error:
            raise Terminal(f"cannot run {mysqld}: {error.strerror}") from error
        finally:
            os.close(write)
        await asyncio.wait([child.exited], timeout=PROGRAM_SECONDS)
        if not child.exited.done():
            os.kill(child.pid, signal.SIGKILL)
            raise Terminal(f"{mysqld} --version does not end")
        try:
            return parse(pipe.read(4096).decode(errors="replace"))
        except ValueError as error:
            raise Terminal(str(error)) from error
