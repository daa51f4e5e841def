"""The bed's fault verbs, as a test calls them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
AUDIT_LOG = CHECKOUT / ".bed" / "log" / "audit.log"


def audited(kubeconfig: Path) -> bool:
    """Whether this is the cluster whose audit log can be read here."""
    return AUDIT_LOG.exists() and kubeconfig.resolve().parent == AUDIT_LOG.resolve().parents[1]


def verb(*words: str, timeout: float = 120) -> str:
    """Run `python -m tests.bed WORDS`; its output. Raises AssertionError with it when the verb fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bed", *words],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"bed {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def node_stopped(node: str) -> Iterator[None]:
    """The node's kubelet, runtime and every container are killed; started again at the end."""
    number = node.removeprefix("node-")
    verb("node", "stop", number)
    try:
        yield
    finally:
        verb("node", "start", number)


@contextmanager
def node_cut(node: str) -> Iterator[None]:
    """The node's network cable is out."""
    number = node.removeprefix("node-")
    verb("node", "cut", number)
    try:
        yield
    finally:
        verb("node", "heal", number)


@contextmanager
def controllers_frozen() -> Iterator[None]:
    """Kubernetes' own controllers do nothing: objects whose owner is gone stay."""
    verb("controllers", "freeze")
    try:
        yield
    finally:
        verb("controllers", "thaw")


@contextmanager
def apiserver_frozen() -> Iterator[None]:
    """The API server accepts connections and answers nothing."""
    verb("apiserver", "freeze")
    try:
        yield
    finally:
        verb("apiserver", "thaw")
