"""What installed packages bring, by entry points: a group and a Protocol for each thing that can be added.

They are looked for once in a process. One that cannot be loaded, or is none, is named with the package to mend.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Any

from .errors import HeadwaterError


@functools.cache
def installed(group: str, protocol: type[Any], noun: str) -> tuple[Any, ...]:
    """The objects of the group's entry points, by their names; each is of the runtime-checkable `protocol`.

    Raises HeadwaterError naming one that is not: `noun` says what it should be, "step wrapper" for instance.
    """
    points = sorted(metadata.entry_points(group=group), key=lambda each: each.name)
    return tuple(_loaded(point, protocol, noun) for point in points)


def unusable(value: str, what: str) -> HeadwaterError:
    """The error for what a package brings as the entry point `value`."""
    return HeadwaterError(what, remedy=f"Uninstall or mend the package that brings the entry point '{value}'.")


def _loaded(point: metadata.EntryPoint, protocol: type[Any], noun: str) -> Any:
    written = f"{point.name} = {point.value}"
    try:
        found = point.load()
    except Exception as error:
        raise unusable(
            written, f"The {noun} '{point.name}' cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if isinstance(found, type) or not isinstance(found, protocol):
        raise unusable(written, f"'{point.value}' is no {noun}, but {found!r}")
    return found
