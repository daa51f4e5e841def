"""Running commands, waiting with a bound, and telling the person in front of the terminal what happens."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bed.config import BedError


def say(text: str) -> None:
    """One line of progress on standard error (standard output is for what a verb answers)."""
    sys.stderr.write(f"bed: {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Prints how long the block took, also when it failed."""
    begin = time.monotonic()
    outcome = "failed after"
    try:
        yield
        outcome = "took"
    finally:
        say(f"{name} {outcome} {time.monotonic() - begin:.1f} s")


def run(
    argv: Sequence[str | Path], *, timeout: float = 60, stdin: str | None = None, env: dict[str, str] | None = None
) -> str:
    """Standard output of a command. Raises BedError with its last words when it fails or takes too long."""
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command, input=stdin, env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as missing:
        raise BedError(f"{command[0]} is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise BedError(f"{' '.join(command)}: no end after {timeout:.0f} s") from late
    if done.returncode != 0:
        raise BedError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float = 60) -> bool:
    """Whether a command exits 0; for questions (`iptables -C`) and for steps that may already be done."""
    command = [str(part) for part in argv]
    return subprocess.run(command, capture_output=True, timeout=timeout, check=False).returncode == 0


def wait_for(what: str, condition: Callable[[], bool], *, timeout: float, every: float = 0.05) -> None:
    """Returns once the condition holds. Raises BedError naming `what` when it never did within the bound."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise BedError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)


def write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Makes the file hold `text`, in one step; leaves it alone when it does (kube-proxy exits when its own changes)."""
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    draft.touch(mode=mode)
    draft.write_text(text)
    draft.replace(file)
