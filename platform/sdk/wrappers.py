"""What installed packages put around the code of every step: tracing, for instance, or a check of its results.

A package brings a wrapper by an entry point of the group `headwater.step_wrappers`, whose object is a `StepWrapper`.
They are looked for once in a process. The first by name is the outermost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from ..extensions import installed
from .context import Current, current

GROUP: Final = "headwater.step_wrappers"


@runtime_checkable
class StepWrapper(Protocol):
    @property
    def name(self) -> str: ...

    def around(self, call: Callable[[], Any], place: Current) -> Any:
        """What the call gives, which it makes once, in this thread. What the call raises goes on."""


def run_wrapped(call: Callable[[], Any]) -> Any:
    """What the call gives, with every installed wrapper around it."""
    return through(wrappers(), call, current())


def through(wrappers: Sequence[StepWrapper], call: Callable[[], Any], place: Current) -> Any:
    for wrapper in reversed(wrappers):
        call = functools.partial(wrapper.around, call, place)
    return call()


def wrappers() -> tuple[StepWrapper, ...]:
    """The wrappers that packages bring; raises HeadwaterError naming one that is none."""
    return installed(GROUP, StepWrapper, "step wrapper")


def check(wrapper: StepWrapper) -> None:
    """Proves, in a test, what a wrapper promises."""
    assert isinstance(wrapper, StepWrapper)
    assert wrapper.name
    calls: list[object] = []
    given = object()
    assert wrapper.around(lambda: calls.append(given) or given, Current()) is given  # type: ignore[func-returns-value]
    assert calls == [given]

    def refuse() -> None:
        raise KeyError("no")

    try:
        wrapper.around(refuse, Current())
    except KeyError:
        return
    raise AssertionError(f"{wrapper.name} swallows what a step raises")
