"""What the actors are called, and how to find one."""

from __future__ import annotations

from typing import Any, Final

import ray

from ..errors import Unavailable

NAMESPACE: Final = "headwater"
AT_HEAD: Final = {"node:__internal_head__": 0.0001}  # Ray gives one of it to the head, where the home folder is
_FOUND: dict[str, Any] = {}


def find(name: str) -> Any:
    """The handle of a living actor by its name; raises Unavailable where there is none."""
    handle = _FOUND.get(name)
    if handle is None:
        try:
            handle = ray.get_actor(name, namespace=NAMESPACE)
        except ValueError as error:
            raise Unavailable(f"The actor {name!r} is not there", remedy="See `headwater doctor`.") from error
        _FOUND[name] = handle
    return handle


def forget(name: str) -> None:
    """The next `find` looks again: the actor has died."""
    _FOUND.pop(name, None)


def living(prefix: str) -> list[str]:
    """The names of living actors that begin with `prefix`."""
    listed = ray.util.list_named_actors(all_namespaces=True)
    return sorted(row["name"] for row in listed if row["namespace"] == NAMESPACE and row["name"].startswith(prefix))
