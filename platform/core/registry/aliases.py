"""Aliases: `champion` of a model stands for one of its versions, until it is moved to another."""

from __future__ import annotations

import re
from typing import Any, Final

from ...errors import did_you_mean
from ...wire.calls import Order
from ...wire.entries.events import CommandDone, CommandRefused
from ...wire.entries.models import ModelAliased
from ..inventory import ModelAlias
from ..turn import Turn
from .state import Speaker, State, refuse, say

_ALIAS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def move(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    """The alias stands for that version; where it does already nothing is said."""
    name, alias, version = str(data.get("name", "")), str(data.get("alias", "")), data.get("version")
    if not _ALIAS.fullmatch(alias):
        reason = f"{alias[:80]!r} cannot be an alias. Begin with a letter; then letters, digits and _ . -"
        return refuse(order, "invalid_input", reason)
    newest = state.newest.get(name)
    if newest is None:
        near = did_you_mean(name, [each.name for each in state.newest.values()]) or "None is registered yet"
        return refuse(order, "not_found", f"There is no model {name[:80]!r}. {near}")
    row = state.versions.get((name, version)) if isinstance(version, int) else None
    if row is None:
        reason = f"Model {name!r} has no version {version!r}; its newest is {newest.version}"
        return refuse(order, "not_found", reason)
    before = state.aliases.get((name, alias))
    if before is None or before.version != row.version:
        moved = ModelAlias(name=name, alias=alias, version=row.version, principal=order.principal, moved_us=turn.now_us)
        state.aliases.put((name, alias), moved)
        body = ModelAliased(
            name=name, alias=alias, version=row.version, previous_version=before.version if before else None
        )
        say(turn, body, name, Speaker(row.project, order.principal, None))
    return CommandDone(command=order.id, result={"name": name, "alias": alias, "version": row.version})
