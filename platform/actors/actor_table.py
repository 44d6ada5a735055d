"""What Ray's own table says of an actor. Ray tells it nowhere else without its dashboard."""

from __future__ import annotations

from typing import Any


def restarts_of(actor_id: str) -> int:
    """How often Ray has started the actor again."""
    return int(_row(actor_id).get("NumRestarts", 0))


def process_of(handle: Any) -> int:
    """The process id of an actor, whether it answers or not; 0 where it has none."""
    return int(_row(handle._actor_id.hex()).get("Pid", 0))


def _row(actor_id: str) -> dict[str, Any]:
    from ray._private import state

    found: dict[str, Any] = state.actors(actor_id)
    return found
