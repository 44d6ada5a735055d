"""Which failures of a step are tried again."""

from __future__ import annotations

from typing import Final

from ..wire.terms import Failure

REFUSED: Final = "refused"  # it would be again
SYSTEM: Final = "system"
SYSTEM_KINDS: Final = frozenset({"timeout", "out_of_memory", "signal", "engine_error"})


def is_retried(retry_on: tuple[str, ...], failure: Failure) -> bool:
    """Whether a failure is of the kind that may be retried. Without `retry_on` every failure is, but for a refusal.

    `system` stands for failures that are no exception of user code; other words are the full names of exceptions.
    """
    if failure.kind == REFUSED:
        return False
    if not retry_on:
        return True
    if failure.kind in SYSTEM_KINDS:
        return SYSTEM in retry_on
    return any(name in retry_on for name in failure.bases)
