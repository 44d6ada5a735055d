"""What the Conductor knows, in ledgers of one book; and the few words that every part of it says."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from ...wire.calls import PinnedModel, PinnedTable
from ...wire.manifest import FlowSpec
from ...wire.types import AnyBody, Said
from ..inbox import Inbox
from ..ledger import Book, Groups, Ledger
from ..records.attempts import Attempt
from ..records.leases import Lease
from ..records.runs import CommandRow, Pin, Run
from ..records.steps import CacheEntry, Step
from ..records.storage import StorageUse, StoredArtifact
from ..records.triggers import Gathering, Part, Timer, TriggerState
from ..trigger import Happening, Trigger
from ..trigger_kind import TriggerKind
from ..turn import Turn
from .away import OfRuns, Rest
from .messages import Wake
from .timers import Timers

OWNER: Final = "conductor"
FENCE: Final = "fence"
CHAINS_MAX: Final = 10_000
CHARGED_MAX: Final = 10_000  # artifacts whose charge a look into the rows may not have seen yet
CHOICE: Final = -1  # watches a command for the run's choice; other watchers are commands
HEARD_MAX: Final = 1_000  # published events that a look into the rows may not have seen yet


class Host(msgspec.Struct, frozen=True):
    """A FlowHost that is there. It serves the one code version it was bound to, none while blank.

    `alone` is the one run that it executes after that run's last host died with others on it.
    """

    id: str
    code_version: str | None = None
    alone: str | None = None
    idle_since_us: int | None = None


class Worker(msgspec.Struct, frozen=True):
    """A worker that is there, by its incarnation. `fences` are the attempts it is busy with, in their order; `env` the
    packages beside the platform's that it was started with."""

    id: str
    node: str
    code_version: str | None = None
    fences: tuple[int, ...] = ()
    env: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where an attempt runs, by the fence under which the place was leased, and the grant that it was leased by."""

    fence: int
    node: str
    scheduler_epoch: int
    tree_version: int
    leased_us: int


class Kept(msgspec.Struct, frozen=True):
    """A place that stays with a run until then, after the step `step_id`, which was short, has ended on `worker`."""

    place: Place
    step_id: str
    worker: str
    until_us: int


class Choice(msgspec.Struct, frozen=True):
    """The last `first` of a run, the command `latest`; `is_open` while it has no answer."""

    latest: int
    is_open: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Named bounds of the machine."""

    runs_a_host: int = 1_000
    losses_max: int = 5
    evictions_max: int = 100
    overdue_us: int = 5_000_000
    crashes_max: int = 3
    depth_max: int = 16
    sub_runs_max: int = 10_000
    hosts_max: int = 16
    host_idle_us: int = 60_000_000


class Deployed(msgspec.Struct, frozen=True):
    """The newest version of a flow, as the Registry said it."""

    spec: FlowSpec
    code_version: str
    bundle: str


def run_of_step(step_id: str) -> str:
    """A step's id is `run/ordinal`."""
    return step_id.rpartition("/")[0]


class State:
    """Ledgers by what they hold. Those with a table are written; the rest lives as long as the process."""

    def __init__(self, *, secret: bytes, limits: Limits | None = None, kinds: Sequence[TriggerKind] = ()) -> None:
        self.limits = limits or Limits()
        self.kinds = tuple(kinds)
        self.book = Book()
        self._secret = secret
        self.away: dict[str, Rest] = {}  # runs that only wait; not undone, because nothing of them is decided on
        self.taken_back: set[str] = set()
        self.runs: OfRuns[str, Run] = OfRuns(self.book, "runs", str, self.away)
        self.commands: OfRuns[tuple[str, int], CommandRow] = OfRuns(self.book, "commands", itemgetter(0), self.away)
        self.steps: OfRuns[str, Step] = OfRuns(self.book, "steps", run_of_step, self.away)
        self.attempts: Ledger[int, Attempt] = Ledger(self.book, "attempts")
        self.leases: Ledger[tuple[int, str], Lease] = Ledger(self.book, "leases")
        self.timers = Timers(self.book, "timers")
        self.trigger_states: Ledger[str, TriggerState] = Ledger(self.book, "trigger_states")
        self.gatherings: Ledger[str, Gathering] = Ledger(self.book, "gatherings")
        self.parts: Ledger[tuple[str, int], Part] = Ledger(self.book, "parts")
        self.pins: OfRuns[tuple[str, str, str], Pin] = OfRuns(self.book, "pins", itemgetter(0), self.away)
        self.cache: Ledger[str, CacheEntry] = Ledger(self.book, "step_cache")
        self.storage: Ledger[str, StorageUse] = Ledger(self.book, "storage_use")
        self.stored: Ledger[tuple[str, str], StoredArtifact] = Ledger(self.book, "stored_artifacts")
        self.mail = Inbox(self.book, OWNER)
        self.flows: Ledger[tuple[str, str], Deployed] = Ledger(self.book)
        self.bundles: Ledger[str, str] = Ledger(self.book)
        self.functions: Ledger[tuple[str, str, str], str] = Ledger(self.book)
        self.triggers: Ledger[tuple[str, str], tuple[Trigger, ...]] = Ledger(self.book)
        self.trigger_of: Ledger[str, Trigger] = Ledger(self.book)
        self.tables: Ledger[str, PinnedTable] = Ledger(self.book)
        self.models: Ledger[str, PinnedModel] = Ledger(self.book)
        self.hosts: Ledger[str, Host] = Ledger(self.book)
        self.workers: Ledger[str, Worker] = Ledger(self.book)
        self.paces: Ledger[str, int] = Ledger(self.book)
        self.places: Ledger[int, Place] = Ledger(self.book)
        self.kept: Ledger[str, Kept] = Ledger(self.book)
        self.slot_of: Ledger[str, str] = Ledger(self.book)
        self.run_of_key: Ledger[str, str] = Ledger(self.book)
        self.storage_limits: Ledger[str, int] = Ledger(self.book)
        self.charged_lately: deque[tuple[str, str]] = deque()
        self.cursor = 0
        self.commands_of: Groups[str, int] = Groups(self.book)
        self.steps_of: Groups[str, str] = Groups(self.book)
        self.live_of: Groups[str, int] = Groups(self.book)
        self.waiting_of: Groups[tuple[Any, ...], str] = Groups(self.book)
        self.fed_by: Groups[tuple[str, int], str] = Groups(self.book)
        self.held_on: Groups[str, tuple[int, str]] = Groups(self.book)
        self.runs_on: Groups[str, str] = Groups(self.book)
        self.homeless: Groups[str, str] = Groups(self.book)
        self.pins_of: Groups[str, tuple[str, str, str]] = Groups(self.book)
        self.timers_of: Groups[str, str] = Groups(self.book)
        self.busy_in: Groups[str, str] = Groups(self.book)
        self.waiting_for: Groups[str, str] = Groups(self.book)
        self.parts_of: Groups[str, int] = Groups(self.book)
        self.open_of: Groups[tuple[str, str], str] = Groups(self.book)
        self.starting_workers: Ledger[int, str] = Ledger(self.book)
        self.wakes: Ledger[int, bool] = Ledger(self.book)
        self.doubtful: Ledger[int, str] = Ledger(self.book)
        self.suspects: Ledger[str, bool] = Ledger(self.book)
        self.children_of: Groups[str, str] = Groups(self.book)
        self.waits: Groups[str, tuple[str, int]] = Groups(self.book)
        self.taken_of: Groups[str, tuple[str, str]] = Groups(self.book)
        self.watched_by: Groups[tuple[str, int], int] = Groups(self.book)
        self.choices: Ledger[str, Choice] = Ledger(self.book)
        self.chosen_from: Groups[str, int] = Groups(self.book)
        self.ripe: Groups[str, int] = Groups(self.book)
        self.heard: deque[tuple[int, Happening]] = deque(maxlen=HEARD_MAX)
        self.answered_of: Ledger[str, int] = Ledger(self.book)
        self.chains: dict[int | None, tuple[int, str]] = {}

    def say(self, turn: Turn, run: Run, body: AnyBody, *, causation: str | None = None) -> Run:
        """A word about a run: the next of its sequence. The run with its number, put back.

        What is left to tell of a run that has ended (a late attempt that frees its devices) has no number.
        """
        before = self.runs.get(run.id)
        over = before is not None and before.state.ended
        spoken = run if over else msgspec.structs.replace(run, seq=run.seq + 1)
        self.runs.put(run.id, spoken)
        turn.said.append(
            Said(
                body=body,
                subject=run.id,
                project=run.project,
                principal=run.principal,
                time_us=turn.now_us,
                run_id=None if over else run.id,
                seq=None if over else spoken.seq,
                causation=causation,
                labels=run.labels or None,
            )
        )
        return spoken

    def say_of_run(self, turn: Turn, run_id: str, body: AnyBody) -> None:
        run = self.runs.get(run_id)
        if run is not None:
            self.say(turn, run, body)

    def next_fence(self) -> int:
        """A number that only grows, over restarts too."""
        fence = self.mail.next_of(FENCE) or 1
        self.mail.put_next(FENCE, fence + 1)
        return fence

    def wake(self, turn: Turn, due_us: int) -> None:
        """Asks for a `Due` at that time, unless one that comes no later has been asked for."""
        if not any(turn.now_us < at <= due_us for at in self.wakes):
            self.wakes.put(due_us, True)
            turn.effects.append(Wake(due_us))

    def set_timer(self, turn: Turn, timer: Timer) -> None:
        self.timers.put(timer.id, timer)
        self.timers_of.add(timer.run_id, timer.id)
        self.wake(turn, timer.due_us)

    def drop_timer(self, run_id: str, timer_id: str) -> None:
        self.timers.remove(timer_id)
        self.timers_of.discard(run_id, timer_id)

    def secret_of(self, *parts: str) -> str:
        """A token that only this platform can make for these words, the same after a restart."""
        return hmac.new(self._secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()

    def tidy(self, settled: Mapping[str, Mapping[Any, Any]]) -> None:
        """Drops from memory what the rows just settled have ended; called after each commit."""
        for key in settled.get("step_cache", ()):
            self.cache.forget(key)
        self.charged_lately.extend(settled.get("stored_artifacts", ()))
        while len(self.charged_lately) > CHARGED_MAX:
            self.stored.forget(self.charged_lately.popleft())
        runs = set(settled.get("runs", ()))
        for fence, attempt in settled.get("attempts", {}).items():
            if not attempt.state.live and fence not in self.doubtful:
                runs.add(attempt.run_id)
                self._remember_chain(attempt)
                self.places.forget(fence)
                self.attempts.forget(fence)
                for device in attempt.devices:
                    self.leases.forget((fence, device))
        for run_id in runs:
            run = self.runs.get(run_id)
            if run is not None and run.state.ended and not self.live_of.count(run_id):
                self.forget_run(run_id)
        for gathering_id, gathering in settled.get("gatherings", {}).items():
            if gathering.state != "OPEN":
                self.gatherings.forget(gathering_id)
        self.timers.tidy()
        self.mail.tidy()

    def _remember_chain(self, attempt: Attempt) -> None:
        """Where in a chain of flows an attempt stood whose devices are yet to be given back. Lost by a restart."""
        run = self.runs.get(attempt.run_id)
        if run is None or not attempt.devices:
            return
        self.chains[attempt.fence] = (run.depth, run.root_id)
        if len(self.chains) > CHAINS_MAX:
            self.chains.pop(next(iter(self.chains)))

    def forget_run(self, run_id: str) -> None:
        """Drop an ended run from memory; its rows stay. Only for what was settled."""
        self.taken_of.forget(run_id)
        self.run_of_key.forget(self.runs[run_id].idempotency_key)
        self.forget_rows(run_id)

    def forget_rows(self, run_id: str) -> None:
        """What is here of a run and can be read again."""
        for ordinal in self.commands_of.of(run_id):
            self.commands.forget((run_id, ordinal))
            self.fed_by.forget((run_id, ordinal))
            self.watched_by.forget((run_id, ordinal))
        for step_id in self.steps_of.of(run_id):
            self.steps.forget(step_id)
        for key in self.pins_of.of(run_id):
            self.pins.forget(key)
        self.commands_of.forget(run_id)
        self.answered_of.forget(run_id)
        self.choices.forget(run_id)
        self.chosen_from.forget(run_id)
        self.ripe.forget(run_id)
        self.steps_of.forget(run_id)
        self.pins_of.forget(run_id)
        self.runs.forget(run_id)
