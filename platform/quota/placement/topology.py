"""What stands close together: nodes within an NVLink island, a rack, a block.

A node says where it stands by labels named as the levels. A domain is named by all of its labels from the
widest level down, so that rack 1 of block a is not rack 1 of block b. A node without the label of a level
is in no domain of that level.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import did_you_mean
from ..messages import Demand, NodeSpec

LEVELS = ("node", "island", "rack", "block")  # the narrowest first
Domain = tuple[str, ...]


def unknown_level(demand: Demand) -> str | None:
    """What is wrong with the levels that a demand names, as the end of a sentence."""
    for level in (demand.required_level, demand.preferred_level):
        if level is not None and level not in LEVELS:
            hint = did_you_mean(level, LEVELS)
            return f"asks for a place within one '{level}', which is no level; levels: {', '.join(LEVELS)}. {hint}"
    return None


def levels_for(demand: Demand) -> tuple[str | None, ...]:
    """The levels to try after a single node, in order; None stands for anywhere."""
    if demand.required_level is not None:
        return LEVELS[1 : LEVELS.index(demand.required_level) + 1]
    return (*LEVELS[1:], None) if demand.preferred_level is not None else (None,)


def domain_of(spec: NodeSpec, level: str | None) -> Domain | None:
    """Where the node stands at the level; everything is one domain at None."""
    if level is None:
        return ()
    if level == "node":
        return (spec.id,)
    labels = dict(spec.labels)
    if level not in labels:
        return None
    return tuple(labels.get(name, "") for name in reversed(LEVELS[LEVELS.index(level) :]))


def grouped(specs: Iterable[NodeSpec], level: str | None) -> dict[Domain, list[str]]:
    """The ids of the nodes in each domain of the level."""
    found: dict[Domain, list[str]] = {}
    for spec in specs:
        domain = domain_of(spec, level)
        if domain is not None:
            found.setdefault(domain, []).append(spec.id)
    return found
