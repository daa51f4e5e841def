"""The result of one pass of the role plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

from instance.role.actions import Action, OpenServer
from instance.role.timing import TICK, open_pause
from instance.role.view import Memory


@dataclass(frozen=True)
class Plan:
    """Actions in order; the first failure stops the rest, then `undo` is done. `state` says it for people."""

    actions: tuple[Action, ...]
    state: str
    undo: tuple[Action, ...] = ()
    wake: float = TICK
    """Longest pause before the next pass, seconds. A failed action makes it at least RETRY."""
    memory: Memory | None = None
    """What the next pass shall remember; None leaves it as it was."""
    settled: bool = False
    """Shutdown: nothing is left to close."""
    rule: str = ""


def remembered(plan: Plan, memory: Memory, now: float, *, done: bool) -> Memory:
    """What the next pass remembers once the plan was carried out, or failed."""
    memory = plan.memory or memory
    if OpenServer() not in plan.actions:
        return memory
    if done:
        return replace(memory, openings_failed=0, open_at=0.0)
    return replace(memory, openings_failed=memory.openings_failed + 1, open_at=now + open_pause(memory.openings_failed))
