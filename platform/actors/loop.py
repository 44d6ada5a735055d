"""How a shell drives a pure machine: drain, decide, commit, carry out.

Everything that waits is decided together and committed in one transaction, so a burst costs one
fsync. Nothing outside happens before the commit, and whoever asked is answered after it.

A decision that raises is rolled back alone, and its subject is set aside in the same commit. A
guard that objects ends the transaction before anything is written: the batch is decided again, the
event it belongs to as refused. Where something cannot be written at all, each event is committed
alone, and the one whose words or rows it is is set aside. The journal settles what an error of the
database leaves in doubt: landed, go on; not landed, the machine goes back, the callers get the error,
and what nobody waits for is decided again. A loop that cannot commit time and again raises, as a
fenced one does, and its process ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from .. import crash
from ..core.ledger import Away, Book
from ..core.turn import Guard, Turn
from ..store.writer import Changes, CommitFailed, Objected, Unwritable
from ..wire.types import Entry, Said

BATCH_MAX: Final = 512
WAITING_MAX: Final = 20_000
OBJECTIONS_MAX: Final = BATCH_MAX
FAILURES_MAX: Final = 5
BESIDE_MAX: Final = 64  # of a source, while somebody waits
WAITED_FOR_S: Final = 1.0


class Machine(Protocol):
    @property
    def book(self) -> Book: ...
    def decide(self, event: Any, now_us: int) -> Turn: ...
    def set_aside(self, event: Any, now_us: int, error: Exception) -> Turn: ...
    def objected(self, event: Any, now_us: int, reason: str) -> Turn: ...
    def settle(self) -> None: ...


class Transactions(Protocol):
    """After CommitFailed nothing was written."""

    async def commit(self, changes: Changes, said: Sequence[Said], guards: Sequence[Guard]) -> list[Entry]: ...


Waiting = tuple[Any, "asyncio.Future[Any] | None"]


def wall_clock_us() -> int:
    """The clock of all owners; a test may set it ahead."""
    return time.time_ns() // 1_000 + crash.clock_ahead_us()


class Loop:
    """Feeds events to a machine in the order they came.

    `carry_out` gets the effects of a commit in order and must not block; `published` gets its entries; `foretell` gets
    the effects while they are being committed, for what may be got ready; `take_back` has the machine take back the
    runs that a decision found to be away.
    """

    def __init__(
        self,
        machine: Machine,
        journal: Transactions,
        *,
        carry_out: Callable[[list[Any]], None],
        published: Callable[[list[Entry]], None],
        foretell: Callable[[list[Any]], None] | None = None,
        take_back: Callable[[frozenset[str]], Awaitable[None]] | None = None,
        clock: Callable[[], int] = wall_clock_us,
    ) -> None:
        self._machine, self._journal = machine, journal
        self._carry_out, self._published, self._clock = carry_out, published, clock
        self._foretell, self._take_back = foretell, take_back
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()
        self._again: list[Waiting] = []
        self._failures = 0
        self._waited_for_until_s = 0.0
        self.last_event, self.last_event_us = "", 0

    def __len__(self) -> int:
        return self._waiting.qsize()

    async def ask(self, event: Any) -> Any:
        """The machine's answer to `event`, once it is durable."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waited_for_until_s = time.monotonic() + WAITED_FOR_S
        self._waiting.put_nowait((event, answer))
        return await answer

    async def ask_all(self, events: Iterable[Any]) -> list[Any]:
        """The answers to `events`, once all have one; raises the first error among them."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Any]] = []
        for event in events:
            answers.append(loop.create_future())
            self._waiting.put_nowait((event, answers[-1]))
        for answer in reversed(answers):  # the last is answered last: one wait for all of a commit
            if not answer.done():
                await asyncio.wait([answer])
        if failed := [error for answer in answers if (error := answer.exception()) is not None]:
            raise failed[0]
        return [answer.result() for answer in answers]

    def tell(self, event: Any) -> None:
        """Takes `event` in; nobody waits for what it leads to."""
        self._waiting.put_nowait((event, None))

    @property
    def room(self) -> int:
        """How many events a source may bring at once: none where more waits than a loop should hold, and few where
        somebody waits for what comes one by one, so that a burst never makes a step wait for a whole batch."""
        if self._waiting.qsize() >= WAITING_MAX:
            return 0
        return BATCH_MAX if time.monotonic() > self._waited_for_until_s else BESIDE_MAX

    async def run(self) -> None:
        while True:
            await self._serve(await self._drain())

    async def _serve(self, batch: list[Waiting]) -> None:
        try:
            turns, entries, error = await self._settle(batch)
        except Unwritable:
            if len(batch) == 1:
                raise
            for one in batch:
                await self._serve([one])
            return
        for (_, answer), turn in zip(batch, turns, strict=True):
            _tell_answer(answer, turn, error)
        if error is not None:
            self._decide_again(batch, error)
            return
        self._failures = 0
        self._carry_out([effect for turn in turns for effect in turn.effects])
        if entries:
            self._published(entries)

    def _decide_again(self, batch: list[Waiting], error: CommitFailed) -> None:
        """Whoever asked has the error; what was told would be lost."""
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            raise error
        self._again += [(event, None) for event, answer in batch if answer is None]

    async def _drain(self) -> list[Waiting]:
        batch, self._again = self._again or [await self._waiting.get()], []
        while len(batch) < BATCH_MAX and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        self.last_event, self.last_event_us = type(batch[-1][0]).__name__, self._clock()
        return batch

    async def _settle(self, batch: list[Waiting]) -> tuple[list[Turn], list[Entry], CommitFailed | None]:
        """Decides the batch and commits it; again with what a guard objected to refused."""
        refused: dict[int, str | Unwritable] = {}
        for _ in range(OBJECTIONS_MAX):
            turns = await self._decide([event for event, _ in batch], refused)
            try:
                entries, error = await self._commit(turns)
            except Objected as objection:
                self._machine.book.rollback()
                refused[_owner_of_guard(turns, objection.index)] = objection.reason
                continue
            except Unwritable as unwritable:
                self._machine.book.rollback()
                if len(batch) > 1 or isinstance(refused.get(0), Unwritable):
                    raise
                refused[0] = unwritable
                continue
            return turns, entries, error
        raise RuntimeError("more objections than events in a batch")

    async def _decide(self, events: list[Any], refused: Mapping[int, str | Unwritable]) -> list[Turn]:
        now_us = self._clock()
        turns = []
        for index, event in enumerate(events):
            turn: Turn | None = None
            while turn is None:  # each time fewer are away
                mark = self._machine.book.mark()
                try:
                    turn = self._decide_or_set_aside(event, now_us, refused.get(index))
                except Away as away:
                    self._machine.book.rollback(mark)
                    assert self._take_back is not None
                    await self._take_back(away.run_ids)
            turns.append(turn)
        return turns

    def _decide_or_set_aside(self, event: Any, now_us: int, refused: str | Unwritable | None) -> Turn:
        mark = self._machine.book.mark()
        try:
            return self._decide_one(event, now_us, refused)
        except Away:
            raise
        except Exception as error:  # whatever a decision raises concerns its subject alone
            self._machine.book.rollback(mark)
            return self._machine.set_aside(event, now_us, error)

    def _decide_one(self, event: Any, now_us: int, refused: str | Unwritable | None) -> Turn:
        if refused is None:
            return self._machine.decide(event, now_us)
        if isinstance(refused, Unwritable):
            return self._machine.set_aside(event, now_us, refused)
        return self._machine.objected(event, now_us, refused)

    async def _commit(self, turns: list[Turn]) -> tuple[list[Entry], CommitFailed | None]:
        said = [word for turn in turns for word in turn.said]
        guards = [guard for turn in turns for guard in turn.guards]
        changes = self._machine.book.changes()
        entries: list[Entry] = []
        if changes or said:
            if self._foretell is not None:
                self._foretell([effect for turn in turns for effect in turn.effects])
            try:
                entries = await self._journal.commit(changes, said, guards)
            except CommitFailed as error:
                self._machine.book.rollback()
                return [], error
        self._machine.settle()
        return entries, None


def _owner_of_guard(turns: list[Turn], guard: int) -> int:
    """The index of the turn to which the guard of that number belongs."""
    for index, turn in enumerate(turns):
        if guard < len(turn.guards):
            return index
        guard -= len(turn.guards)
    raise IndexError(guard)


def _tell_answer(answer: asyncio.Future[Any] | None, turn: Turn, error: CommitFailed | None) -> None:
    if answer is None or answer.done():  # a caller who went away has cancelled it
        return
    if error is not None:
        answer.set_exception(error)
    elif isinstance(turn.answer, Exception):
        answer.set_exception(turn.answer)
    else:
        answer.set_result(turn.answer)
