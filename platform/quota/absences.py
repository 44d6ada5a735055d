"""Nodes that are away: what only they could hold waits for them, and is refused once they are given up.

A node is given up `return_s` after it left. Whatever comes later is measured by the nodes that are there.
"""

from __future__ import annotations

from .admission import Admission
from .messages import Impossible
from .placement.inventory import Inventory
from .policy import Policy
from .queues import Queues


def given_up_us(inventory: Inventory, policy: Policy) -> int | None:
    """When the next node is given up; None where none is awaited."""
    left_us = min((at_us for _, at_us in inventory.departed.values()), default=None)
    return None if left_us is None else left_us + policy.return_s * 1_000_000


def refused(
    inventory: Inventory, queues: Queues, admission: Admission, policy: Policy, now_us: int
) -> list[Impossible]:
    """Gives up the nodes that are due; the refusals of the steps that only they could hold, line after line."""
    if not inventory.give_up(now_us - policy.return_s * 1_000_000):
        return []
    found = []
    for line in sorted(queues.lines.values(), key=lambda line: line.turns[0]):
        steps = [queues.steps[step_id] for _, _, step_id in line.turns]
        if inventory.may_return(steps[0].demand) or admission.homeless(steps[0]) is None:
            continue
        away = f"Those that could have held it have been away for more than {policy.return_s} s."
        found += [Impossible(step.step_id, f"{admission.homeless(step)} {away}") for step in steps]
    return found
