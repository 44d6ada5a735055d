"""Steps: functions that run as attempts on leased places when a flow calls them, and plainly otherwise."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

import msgspec

from ..core.retrying import SYSTEM
from ..errors import InvalidInput, did_you_mean
from ..quota.placement.topology import LEVELS
from ..quota.policy import PRIORITY_OF_TIER, tier_of
from ..quota.units import amount
from ..wire.calls import StepCall
from ..wire.terms import Demand
from .context import execution
from .duration import Duration, seconds
from .failure import full_name
from .running.digest import content_digest, digest
from .running.replay import Execution, Wish
from .running.serialise import dumps, with_inputs

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_BACKOFF_S: Final = 1.0
RANKS_MAX: Final = 1_024

RetryOn = str | type[BaseException] | Sequence[str | type[BaseException]]


class Settings(TypedDict, total=False):
    """What `@step(...)` and `.options(...)` take."""

    name: str
    gpus: float | str
    gpu_model: str | None
    cpus: float | str
    memory: int | str
    retries: int
    backoff: Duration
    timeout: Duration | None
    gang: int | tuple[int, int]
    topology: str | None
    topology_preferred: str | None
    max_runtime: Duration | None
    min_runtime: Duration | None
    priority: int
    tier: int | None
    effect: Literal["retry", "once"]
    key: str | None
    retry_on: RetryOn
    cache: bool
    secrets: Sequence[str]
    env: Sequence[str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a step asks for, in the units of the record."""

    name: str
    demand: Demand = field(default_factory=Demand)
    ranks_min: int = 0
    retries: int = 0
    backoff_s: float = DEFAULT_BACKOFF_S
    timeout_s: float | None = None
    max_runtime_s: float | None = None
    min_runtime_s: float | None = None
    priority: int = 0
    tier: int = 0
    effect: Literal["retry", "once"] = "retry"
    key: str | None = None
    retry_on: tuple[str, ...] = ()
    cache: bool = False
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class Step(Generic[P, R]):
    """A step. Called in a flow it gives a `Future` of what the function returns; elsewhere it is the function."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        self.function, self.asks = function, options
        self._signature = inspect.signature(function)
        functools.update_wrapper(self, function, updated=())

    @property
    def name(self) -> str:
        return self.asks.name

    @property
    def reference(self) -> str:
        """`module:qualname`, by which a worker finds the step in the code bundle."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        running = execution.get()
        if running is None:
            return self.function(*args, **kwargs)
        return running.call(self._wish(running, self._signature.bind(*args, **kwargs)))

    def options(self, **settings: Unpack[Settings]) -> Step[P, R]:
        """The same step with other demands, for this call."""
        return Step(self.function, _read(settings, self.asks))

    def __reduce__(self) -> str:
        return self.function.__qualname__

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def _wish(self, running: Execution, bound: inspect.BoundArguments) -> Wish:
        place = f"Argument of step {self.name}: "
        try:
            dumped = dumps((bound.args, bound.kwargs), place=place, execution=running)
        except InvalidInput:
            for name, value in bound.arguments.items():  # once more, one by one: the message names the argument
                dumps(value, place=place + name, execution=running)
            raise
        asks = self.asks
        call = StepCall(
            function=self.reference,
            arguments=running.keep(with_inputs(dumped, bound.arguments)),
            needs=dumped.needs,
            demand=asks.demand,
            priority=asks.priority + PRIORITY_OF_TIER.get(asks.tier, 0),
            retries=asks.retries,
            backoff_s=asks.backoff_s,
            timeout_s=asks.timeout_s,
            max_runtime_s=asks.max_runtime_s,
            min_runtime_s=asks.min_runtime_s,
            ranks_min=asks.ranks_min,
            tier=asks.tier,
            effect=asks.effect,
            code_digest=self._code_digest,
            retry_on=asks.retry_on,
            cache=asks.cache,
            secrets=asks.secrets,
            env=asks.env,
        )
        given = (content_digest if asks.cache else digest)(dict(bound.arguments))
        if asks.cache and given is None:
            raise self._not_cached(bound)
        return Wish(self.name, call, digest=given, key=asks.key, function=self.function)

    @functools.cached_property
    def _code_digest(self) -> str:
        from .deploying.code_digest import code_digest

        return code_digest(self.function, self.asks.env)

    def _not_cached(self, bound: inspect.BoundArguments) -> InvalidInput:
        name, value = next((name, one) for name, one in bound.arguments.items() if content_digest(one) is None)
        what = f"Step {self.name} has cache=True, and argument {name} holds a {type(value).__qualname__}"
        return InvalidInput(
            what,
            remedy="Pass values that can be compared: numbers, text, arrays, dataclasses, tables that are there",
        )


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(**settings: Unpack[Settings]) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Callable[P, R] | None = None, /, **settings: Unpack[Settings]) -> Any:
    """Makes a function a step: `@step`, or `@step(gpus=1, memory="8GiB", retries=2, timeout="30m")`.

    `gang=4` runs four ranks of it, each with these demands, or none; `gang=(2, 4)` any number from two to four. The
    result is that of rank 0. `topology="rack"` keeps all ranks within one rack (or node, island, block) or lets them
    wait; `topology_preferred` goes on where no rack holds them. `tier` 1 to 4 stands for that of its project.
    `effect="once"` promises that user code starts at most once; such a step takes no `retries`.
    """

    def made(function: Callable[P, R]) -> Step[P, R]:
        if inspect.iscoroutinefunction(function):
            raise InvalidInput(f"Step {function.__qualname__} is an async function", remedy="Write a plain def")
        return Step(function, _read(settings, Options(name=function.__name__)))

    return made if function is None else made(function)


def _read(settings: Settings, start: Options) -> Options:
    where = f"@step {start.name}"
    for name in settings:
        if name not in Settings.__annotations__:
            what = f"{where}: there is no option {name!r}"
            raise InvalidInput(what, remedy=did_you_mean(name, Settings.__annotations__))
    demand = _demand(settings, start.demand, where)
    options = replace(start, demand=demand, **_plain(settings, where), **_lists(settings, where))
    if "gang" in settings:
        fewest, most = _ranks(settings["gang"], where)
        options = replace(options, demand=msgspec.structs.replace(demand, ranks=most), ranks_min=fewest)
    _check(options, where)
    return options


def _ranks(given: object, where: str) -> tuple[int, int]:
    """The fewest ranks and the most; the fewest is 0 where all or none go."""
    several = given if isinstance(given, tuple | list) else (given,)
    if len(several) not in (1, 2) or not all(isinstance(one, int) and not isinstance(one, bool) for one in several):
        raise InvalidInput(f"{where}: gang is {given!r}", remedy="Write a number of ranks, or (the fewest, the most)")
    fewest, most = several[0], several[-1]
    if not 1 <= fewest <= most <= RANKS_MAX:
        what = f"{where}: gang is {given!r}"
        raise InvalidInput(what, remedy=f"Ranks count from 1 to {RANKS_MAX:,}, the fewest first")
    return (0 if len(several) == 1 else fewest), most


def _level(given: object, where: str) -> str | None:
    if given is None or given in LEVELS:
        return None if given is None else str(given)
    remedy = f"{did_you_mean(str(given), LEVELS)} Levels: {', '.join(LEVELS)}".strip()
    raise InvalidInput(f"{where} is {given!r}, which is no level", remedy=remedy)


def _check(options: Options, where: str) -> None:
    if options.retries < 0:
        raise InvalidInput(f"{where}: retries is {options.retries}", remedy="Write 0 or more")
    if options.effect not in ("retry", "once"):
        remedy = did_you_mean(str(options.effect), ("retry", "once"))
        raise InvalidInput(f"{where}: effect is {options.effect!r}", remedy=remedy)
    if options.demand.ranks > 1 and options.demand.gpus_milli % 1000:
        what = f"{where}: gang is {options.demand.ranks} and gpus {options.demand.gpus_milli / 1000:g}"
        raise InvalidInput(what, remedy="A rank of a gang takes whole GPUs, or none")
    if options.min_runtime_s is not None and options.min_runtime_s > (options.max_runtime_s or options.min_runtime_s):
        what = f"{where}: min_runtime is {options.min_runtime_s:g} s and max_runtime {options.max_runtime_s:g} s"
        raise InvalidInput(what, remedy="A step is safe from being ended for others for less than it may run")
    if options.effect == "once" and options.retries:
        what = f"{where}: effect is 'once' and retries is {options.retries}"
        raise InvalidInput(what, remedy="What may start only once cannot be retried: leave one of them out")


def _plain(settings: Settings, where: str) -> dict[str, Any]:
    given: Mapping[str, Any] = settings
    plain = {name: given[name] for name in ("name", "retries", "priority", "effect", "key", "cache") if name in given}
    for name in ("backoff", "timeout", "max_runtime", "min_runtime"):
        if name in given:
            written = given[name]
            plain[f"{name}_s"] = None if written is None else seconds(written, where=f"{where}: {name}")
    if "tier" in given:
        plain["tier"] = tier_of(given["tier"], where)
    return plain


def _lists(settings: Settings, where: str) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name in ("secrets", "env"):
        given: Any = settings.get(name)
        if given is not None:
            if isinstance(given, str) or not all(isinstance(one, str) and one for one in given):
                raise InvalidInput(f"{where}: {name} is {given!r}", remedy="Write a list of names, as text")
            read[name] = tuple(given)
    if "retry_on" in settings:
        read["retry_on"] = _retried(settings["retry_on"], where)
    return read


def _retried(given: RetryOn, where: str) -> tuple[str, ...]:
    several = [given] if isinstance(given, str | type) else list(given)
    names = []
    for one in several:
        if one == SYSTEM:
            names.append(SYSTEM)
        elif isinstance(one, type) and issubclass(one, BaseException):
            names.append(full_name(one))
        else:
            remedy = 'Write "system" (time-outs, memory, signals), or types of exceptions'
            raise InvalidInput(f"{where}: retry_on holds {one!r}", remedy=remedy)
    return tuple(names)


def _demand(settings: Settings, start: Demand, where: str) -> Demand:
    given: Mapping[str, Any] = settings
    read = {
        field_name: amount(flavour, given[name], where=f"{where}: {name}")
        for name, flavour, field_name in (
            ("gpus", "gpu", "gpus_milli"),
            ("cpus", "cpu", "cpus_milli"),
            ("memory", "memory", "memory_bytes"),
        )
        if name in given
    }
    return Demand(
        gpus_milli=read.get("gpus_milli", start.gpus_milli),
        gpu_model=given.get("gpu_model", start.gpu_model),
        cpus_milli=read.get("cpus_milli", start.cpus_milli),
        memory_bytes=read.get("memory_bytes", start.memory_bytes),
        required_level=_level(given.get("topology", start.required_level), f"{where}: topology"),
        preferred_level=_level(given.get("topology_preferred", start.preferred_level), f"{where}: topology_preferred"),
        ranks=start.ranks,
    )
