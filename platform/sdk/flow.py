"""Flows: plain functions whose steps run elsewhere and whose progress is kept.

`@flow(project=...)` makes one. Called directly it runs in this process, without a platform; `.run(...)` submits it;
called in a flow it is a run of its own inside that run.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

from ..errors import InvalidInput
from ..wire.calls import RunCall
from ..wire.labels import checked
from ..wire.manifest import TriggerSpec
from .context import execution
from .future import Future
from .parameters import Parameters, check_signature
from .running.digest import digest
from .running.replay import Wish

if TYPE_CHECKING:
    from .client.runs import Run

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


class Flow(Generic[P, R]):
    """A flow. `on` lists what starts it."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        project: str,
        name: str,
        on: Sequence[TriggerSpec],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.function, self.project, self.name, self.on = function, project, name, tuple(on)
        self.labels = checked(labels)
        self.parameters = Parameters(name, function)
        functools.update_wrapper(self, function, updated=())

    @property
    def full_name(self) -> str:
        return f"{self.project}/{self.name}"

    @property
    def reference(self) -> str:
        """`module:qualname`, by which a host finds the flow in the code bundle."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """What the function returns, with its steps run here and now; inside a flow a `Future` of what a run of its
        own returns."""
        running = execution.get()
        if running is not None:
            return running.call(self._wish(args, kwargs))
        from .running.inline import run_inline

        return run_inline(self, self.parameters.bound(args, kwargs))

    def inside(self, call: RunCall, run_id: str) -> Any:
        """What the flow returns where it is called inside one that runs in this process."""
        from .running.inline import run_inline

        return run_inline(self, self.parameters.converted(call.parameters), run_id)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """The run, submitted to the platform that `Client()` finds. Its parameters are checked before they leave."""
        from .client.blocking import Client

        values = self.parameters.bound(args, kwargs)
        return Client().run(self.full_name, self.parameters.as_json(values))

    def _wish(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wish:
        here = [value.result() if isinstance(value, Future) else value for value in args]
        named = {name: value.result() if isinstance(value, Future) else value for name, value in kwargs.items()}
        plain = self.parameters.as_json(self.parameters.bound(tuple(here), named))
        from .deploying.code_digest import code_digest

        code = code_digest(self.function)
        call = RunCall(project=self.project, flow=self.name, parameters=plain, code_digest=code)
        return Wish(self.name, call, digest=digest(plain), function=self)

    def __reduce__(self) -> str:
        return self.function.__qualname__

    def __repr__(self) -> str:
        return f"<flow {self.full_name}>"


def flow(
    *,
    project: str,
    name: str | None = None,
    on: TriggerSpec | Sequence[TriggerSpec] = (),
    labels: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Makes a function a flow of `project`; its name is the function's unless given.

    Each of its runs carries the `labels`; whoever starts one may say others, or the same otherwise.
    """
    triggers = (on,) if isinstance(on, TriggerSpec) else tuple(on)

    def made(function: Callable[P, R]) -> Flow[P, R]:
        named = name or function.__name__
        for what, word in (("project", project), ("name", named)):
            if not isinstance(word, str) or not _NAME.fullmatch(word):
                remedy = "Use letters, digits, and _ . @ - after the first"
                raise InvalidInput(f"@flow {function.__qualname__}: {what} is {word!r}", remedy=remedy)
        _check_triggers(named, triggers)
        check_signature(named, function)
        return Flow(function, project=project, name=named, on=triggers, labels=labels)

    return made


def _check_triggers(flow: str, triggers: tuple[object, ...]) -> None:
    seen: set[str] = set()
    for trigger in triggers:
        if not isinstance(trigger, TriggerSpec):
            what = f"@flow {flow}: on holds {trigger!r}, which is no trigger"
            raise InvalidInput(what, remedy='Write on.event("type"), on.commit("table"), ...')
        if trigger.name in seen:
            what = f"@flow {flow}: two triggers are named {trigger.name!r}"
            raise InvalidInput(what, remedy="Give one of them name=")
        seen.add(trigger.name)
