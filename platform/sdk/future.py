"""What calling a step or a flow gives inside a flow: the promise of a result, which can be passed on or waited for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

from ..errors import InvalidInput
from .duration import Duration, seconds

if TYPE_CHECKING:
    from .running.replay import Execution

T = TypeVar("T")


class Future(Generic[T]):
    """The result of the call `key` of this run. Anything but waiting and passing on is a TypeError."""

    __slots__ = ("_execution", "_key", "_ordinal")

    def __init__(self, execution: Execution, ordinal: int, key: str) -> None:
        self._execution, self._ordinal, self._key = execution, ordinal, key

    def result(self, timeout: Duration | None = None) -> T:
        """A fresh copy of what the step returned. Raises StepFailed, or ResultTimeout after `timeout`."""
        limit_s = None if timeout is None else seconds(timeout, where="timeout")
        value: T = self._execution.result(self._ordinal, limit_s)
        return value

    def __await__(self) -> Generator[Any, None, T]:
        """The same as `result()`, for the tasks of an `async def` flow."""
        if self._execution.loop is None:
            raise TypeError(f"{self._key} is awaited in a flow that is no async def: use .result()")
        return self._execution.awaited(self._ordinal).__await__()

    def __repr__(self) -> str:
        return f"<Future {self._key}>"

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f"its attribute {name!r}")

    def __bool__(self) -> NoReturn:
        self._refuse("its truth")

    def __iter__(self) -> NoReturn:
        self._refuse("its items")

    def __len__(self) -> NoReturn:
        self._refuse("its length")

    def __getitem__(self, item: object) -> NoReturn:
        self._refuse(f"its item {item!r}")

    def __contains__(self, item: object) -> NoReturn:
        self._refuse("its items")

    def __str__(self) -> NoReturn:
        self._refuse("its text")

    def __format__(self, spec: str) -> NoReturn:
        self._refuse("its text")

    def __int__(self) -> NoReturn:
        self._refuse("its number")

    def __float__(self) -> NoReturn:
        self._refuse("its number")

    def _compared(self, other: object) -> NoReturn:
        self._refuse("a comparison")

    def _computed(self, other: object) -> NoReturn:
        self._refuse("arithmetic")

    def __eq__(self, other: object) -> bool:
        return self is other or self._refuse("a comparison")

    __lt__ = __le__ = __gt__ = __ge__ = _compared
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _computed

    def _refuse(self, what: str) -> NoReturn:
        raise TypeError(f"{self._key} is a future and has no value yet: {what} needs .result()")


def ordinal_of(future: Future[Any]) -> int:
    return future._ordinal


def key_of(future: Future[Any]) -> str:
    return future._key


def execution_of(future: Future[Any]) -> Execution:
    return future._execution


@overload
def gather(futures: Iterable[Future[T]], /) -> list[T]: ...
@overload
def gather(*futures: Future[T]) -> list[T]: ...
def gather(*futures: Any) -> list[Any]:
    """All results, in the order of the futures. Raises the first StepFailed in that order, when all have ended."""
    chosen = _listed(futures)
    for future in chosen:
        future._execution.wait(future._ordinal)
    return [future.result() for future in chosen]


@overload
def first(futures: Iterable[Future[T]], /) -> Future[T]: ...
@overload
def first(*futures: Future[T]) -> Future[T]: ...
def first(*futures: Any) -> Future[Any]:
    """The future that ended first, well or badly; the same one whenever the run is replayed."""
    chosen = _listed(futures)
    if not chosen:
        raise InvalidInput("first() was given no futures", remedy="Pass at least one")
    by_ordinal: dict[int, Future[Any]] = dict(zip(map(attrgetter("_ordinal"), chosen), chosen, strict=True))
    return by_ordinal[chosen[0]._execution.first(list(by_ordinal))]


def _listed(futures: tuple[Any, ...]) -> list[Future[Any]]:
    chosen = list(futures[0]) if len(futures) == 1 and not isinstance(futures[0], Future) else list(futures)
    if set(map(type, chosen)) - {Future}:
        item = next(item for item in chosen if type(item) is not Future)
        raise InvalidInput(f"{item!r} is no future", remedy="Pass what step calls gave")
    return chosen
