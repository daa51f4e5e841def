"""What a rule answers: go on, hold everything that changes the shape of the Cluster, or end the pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manager.actions import Action
from manager.cluster.snapshot import Snapshot


@dataclass(frozen=True)
class Notice:
    """Something people should see. An empty `phase` leaves the phase to what is observed."""

    reason: str
    phase: str = ""
    wake_after: float | None = None


@dataclass(frozen=True)
class Condition:
    """What one condition of the status has to say."""

    holds: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Continue:
    """The next rule is asked."""

    actions: tuple[Action, ...] = ()
    notice: Notice | None = None


@dataclass(frozen=True)
class Hold:
    """Only the rules that look after what already runs are still asked: nothing is created, scaled or replaced."""

    notice: Notice
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Stop:
    """No further rule is asked; the actions so far and these are carried out."""

    notice: Notice
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Decide:
    """A step in the order of roles: only these actions are carried out, and the next pass looks again."""

    actions: tuple[Action, ...]
    notice: Notice


Outcome = Continue | Hold | Stop | Decide


@dataclass(frozen=True)
class Row:
    """One rule in its place. `guards`: it protects running databases and is asked even under a Hold."""

    name: str
    decide: Callable[[Snapshot], Outcome]
    why: str
    guards: bool = False
