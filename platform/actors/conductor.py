"""The Conductor's shell: the loop, ingest, the hub and the relay in one process; effects to hosts and workers.

Methods are what other processes may say. Each is one event to the machine, answered after its commit.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import ray

from .. import crash
from ..artifacts.files import Files
from ..core.conductor import messages as m
from ..core.conductor.machine import Conductor
from ..core.conductor.runs.caching import may_be_cached, needs_of
from ..core.conductor.state import OWNER, State
from ..core.inbox import LOG as LOG_SOURCE
from ..core.inbox import SeekTo
from ..core.records.inbox import Offset
from ..core.records.runs import RunState
from ..events.bus import Gap
from ..events.ingest import Parsed
from ..events.kafka import KafkaBus
from ..events.kafka_link import KafkaSettings
from ..events.relay import Relay
from ..store.aged import forget_words, forgotten, inbox_kept_us
from ..store.inbox import known_inbox
from ..store.reader import Reader
from ..store.writer import Writer
from ..wire import calls
from ..wire.entries.nodes import NodeJoined
from ..wire.types import Entry
from .careful import Careful
from .charges import Charges
from .courtesy import collect_rarely, settle_in
from .crew import Crew
from .describe import Described
from .earlier import Earlier, done_earlier
from .history_of_run import heard_since, pin_asked
from .hub import AT_ONCE, CONDUCTOR_TYPES, FOLLOWERS, Hub
from .intake import Intake, added_kinds
from .journal import Journal
from .kept_results import KeptResults
from .lines.directory import Directory
from .lines.switchboard import Address, Switchboard
from .lines.words import Pin
from .loading import limits_of, load_inbox, load_state, rows_of
from .loop import Loop, wall_clock_us
from .oblivion import forget_for_ever
from .order_rows import asked_of, looked_up
from .owner import arrived, gap_of, or_end, start_or_end
from .retention import Retention
from .wiring import Wiring
from .work_orders import attempt_orders, run_order

RELAY: Final = "relay"
WAKE_MAX_S: Final = 5.0  # the wall clock may be set meanwhile


class ConductorActor:
    """See the module. `start` returns once runs are taken in; it is called once by whoever made the actor."""

    def __init__(self, wiring: Wiring) -> None:
        settle_in()
        self._wiring = wiring
        self._lines = Directory(wiring.secret)
        self._switchboard = Switchboard(self, wiring.secret)
        self._starting: asyncio.Task[None] | None = None

    @ray.method
    async def start(self) -> None:
        """Idempotent; after a restart of the process the first caller starts it again."""
        await self._begun()

    async def _begun(self) -> None:
        if self._starting is None:
            self._starting = asyncio.create_task(start_or_end(OWNER, self._start()))
        await asyncio.shield(self._starting)

    @ray.method
    async def stop(self) -> None:
        """What comes after this stays where it is: the next start need not be careful."""
        if self._starting is not None:
            await self._begun()
            await self.care.end()

    async def _start(self) -> None:
        wiring = self._wiring
        self._secret = wiring.secret()
        kinds = added_kinds()
        self._heard_types = CONDUCTOR_TYPES.union(*(kind.types for kind in kinds))
        self.state = State(secret=self._secret, limits=limits_of(wiring.settings.runs), kinds=kinds)
        self.machine = Conductor(self.state)
        self._reader = Reader(wiring.engine(read_only=True))
        self._files = Files(wiring.folder / "artifacts")
        self._ray_nodes: dict[str, str] = {}
        self._journal = journal = Journal(Writer(wiring.engine(), OWNER, instance=wiring.instance))
        await journal.take_epoch()
        position = await asyncio.to_thread(self._load)
        await self.care.begin(journal, wall_clock_us())
        collect_rarely()
        self.loop = Loop(
            self.machine,
            journal,
            carry_out=self._carry_out,
            published=self._published,
            foretell=self._foretell,
            take_back=self._take_back,
        )
        self.charges = Charges(self._reader, self._files)
        self.crew = Crew(
            wiring,
            self.loop.tell,
            self._lines,
            ray_node_of=lambda node: self._ray_nodes.get(node, ""),
            charged=self.charges.of_results,
        )
        self.hub = Hub(self._reader, position)
        self._described = Described("conductor", self.loop, trouble=lambda: journal.trouble)
        self._wakes: set[asyncio.TimerHandle] = set()
        self._kept = KeptResults(self._reader, self._files, self.loop.tell)
        self._tasks = [asyncio.create_task(or_end(OWNER, self.loop.run()))]
        await self._follow_log()
        self.loop.tell(m.Started(tuple(await self.crew.reconcile())))
        bus = KafkaBus(KafkaSettings(bootstrap=wiring.bootstrap, client_id="conductor"))
        self._start_relay(bus)
        self._start_ingest(bus)
        retention = Retention(journal, self._reader, wiring.settings.store, self._published)
        forgetting = forget_for_ever(journal, self._reader, OWNER, wiring.settings.store)
        for work in (self.hub.run(), retention.run(), forgetting):
            self._tasks.append(asyncio.create_task(or_end(OWNER, work)))

    def _load(self) -> int:
        with self._reader.picture() as picture:
            load_state(self.machine, picture)
            self._ray_nodes = {node.id: node.ray_node for node in picture.rows("nodes")}
            load_inbox(self.state.mail, picture)
            self.care = Careful(OWNER, picture)
            taken = self.state.mail.next_of(LOG_SOURCE)
            self.state.cursor = picture.position if taken is None else taken - 1
            return picture.position

    async def _take_back(self, run_ids: frozenset[str]) -> None:
        """While the rows cannot be read, nothing can be decided."""
        self.machine.take_back(await self._journal.patiently(lambda: rows_of(self._reader, run_ids)))

    async def _follow_log(self) -> None:
        """What was said since the machine last looked, then everything as it comes."""
        while self.state.cursor < self.hub.cursor:
            after = self.state.cursor
            upto = min(self.hub.cursor, after + 1_000)
            entries = await asyncio.to_thread(self._reader.entries, after, upto=upto)
            await self.loop.ask(m.Followed(tuple(e for e in entries if e.type in self._heard_types), upto))
        self.hub.attach("conductor", self._heard_types, self._hear)
        self.hub.attach("nodes", frozenset({"node.joined"}), self._learn_nodes)

    def _hear(self, after: int, upto: int, entries: list[Entry]) -> None:
        self.loop.tell(m.Followed(tuple(entries), upto))

    def _learn_nodes(self, after: int, upto: int, entries: list[Entry]) -> None:
        for entry in entries:
            if isinstance(entry.body, NodeJoined):
                self._ray_nodes[entry.body.node] = entry.body.ray_node
                self.crew.start_worker(entry.body.node, None)

    def _start_relay(self, bus: KafkaBus) -> None:
        marked = self.state.mail.next_of(RELAY)
        self.relay = Relay(
            bus.producer(),
            read=lambda after: asyncio.to_thread(self._reader.entries, after),
            mark=self._mark_relay,
            start=0 if marked is None else marked - 1,
        )
        self.hub.attach("relay", None, lambda after, upto, entries: self.relay.take(entries))
        self._tasks.append(asyncio.create_task(or_end(OWNER, self.relay.run())))

    async def _mark_relay(self, position: int) -> None:
        row = Offset(owner=OWNER, topic=RELAY, partition=0, next=position + 1)
        crash.at("relay.mark")
        await self._journal.commit({"offsets": {(OWNER, RELAY, 0): row}}, [], [])

    def _start_ingest(self, bus: KafkaBus) -> None:
        self.intake = Intake(bus, self, self.state.mail, self._wiring.settings.events, self.care)
        self._tasks += [asyncio.create_task(or_end(OWNER, each)) for each in self.intake.runs()]

    # Ingest asks this owner.

    async def take(self, records: list[Parsed]) -> None:
        crash.at("t1.before")
        said = [] if self.state.mail.complete else [parsed.said for parsed in records]
        known = await known_inbox(self._reader, OWNER, said)
        came = [arrived(parsed, known, self._secret) for parsed in records]
        await self.loop.ask_all([await looked_up(self._reader, each) for each in came])
        crash.at("t1.after")

    async def gap(self, gap: Gap, topic_id: str) -> None:
        await self.loop.ask(gap_of(gap, topic_id))

    def room(self) -> int:
        return self.loop.room

    # Effects.

    def _published(self, entries: list[Entry]) -> None:
        self.hub.committed(entries)

    def _foretell(self, effects: Sequence[m.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, m.Dispatch):
                self.crew.foretell(effect.worker, attempt_orders(self.state, effect.worker, effect.fences))

    def _carry_out(self, effects: Sequence[m.Effect]) -> None:
        answers: dict[str, list[calls.Answer]] = defaultdict(list)
        for effect in effects:
            if isinstance(effect, m.Deliver):
                answers[effect.host].append(effect.answer)
            else:
                self._do(effect)
        self._kept.look_up([effect for effect in effects if isinstance(effect, m.LookUp)])
        for host, words in answers.items():
            crash.at("t4.answer")
            self.crew.deliver(host, words)

    def _do(self, effect: m.Effect) -> None:
        match effect:
            case m.StartHost():
                self.crew.start_host()
            case m.EndHost(host):
                self.crew.end_host(host)
            case m.Execute(host, run_id, fence):
                self.crew.execute(host, run_order(self.state, run_id, fence))
            case m.CloseRun(host, run_id, fence, reason):
                self.crew.close_run(host, run_id, fence, reason)
            case m.StartWorker(node, fence):
                attempt = self.state.attempts.get(fence) if fence is not None else None
                env = self.state.steps[attempt.step_id].env if attempt is not None else ()
                self.crew.start_worker(node, fence, env)
            case m.Dispatch(worker, fences):
                crash.at("t2.after")
                self.crew.dispatch(worker, attempt_orders(self.state, worker, fences))
            case m.CancelAttempt(worker, fence):
                self.crew.cancel(worker, fence, self._wiring.settings.leases.stop_grace_s)
            case m.PreemptAttempt(worker, fence, due_us):
                self.crew.preempt(worker, fence, max(0.0, (due_us - wall_clock_us()) / 1_000_000))
            case m.Begin(worker, fence, address):
                self.crew.begin(worker, fence, address)
            case m.EndWorker(worker):
                self.crew.end_worker(worker)
            case SeekTo(topic, partition, offset):
                self.intake.seek(topic, partition, offset)
            case m.Wake(at_us):
                self._wake(at_us)

    def _wake(self, at_us: int) -> None:
        delay_s = min(max(0.0, (at_us - wall_clock_us()) / 1_000_000), WAKE_MAX_S)
        asyncio.get_running_loop().call_later(delay_s, self.loop.tell, m.Due())

    # What others say: by line, but for what is asked seldom.

    @ray.method
    async def line(self) -> Address:
        await self._begun()
        return await self._switchboard.address()

    async def issue(self, run_id: str, fence: int, commands: list[calls.Command]) -> str:
        """Empty once the commands are durable; otherwise why the host must close that run."""
        before = await self._done_before(run_id, commands)
        types = {command.call.event_type for command in commands if isinstance(command.call, calls.WaitCall)}
        happenings, upto = await heard_since(self._reader, self.state, run_id, types) if types else ((), 0)
        charged = await self.charges.of_models(commands)
        asked = m.Issued(
            run_id, fence, tuple(commands), happenings, upto, before.rows, before.cached, before.children, charged
        )
        answer: str = await self.loop.ask(asked)
        return answer

    async def _done_before(self, run_id: str, commands: list[calls.Command]) -> Earlier:
        run = self.state.runs.known(run_id)
        if run is None or (run.resumed_from is None and not any(map(may_be_cached, commands))):
            return Earlier()
        fed = {need for command in commands for need in needs_of(command)}
        rows = {ordinal: self.state.commands.known((run_id, ordinal)) for ordinal in fed}
        given = {ordinal: row.outcome.payload for ordinal, row in rows.items() if row is not None and row.outcome}
        return await asyncio.to_thread(done_earlier, self._reader, self._files, run, commands, given.get)

    async def park(self, run_id: str, fence: int, waits: list[int]) -> str:
        """Empty where the host may let go of a run that waits for these commands."""
        answer: str = await self.loop.ask(m.Parked(run_id, fence, tuple(waits)))
        return answer

    async def ended(self, end: calls.RunEnd) -> str:
        answer: str = await self.loop.ask(m.RunFunctionEnded(end))
        return answer

    async def pin(self, run_id: str, kind: str, name: str) -> Pin:
        """The same table or model for the whole run; a failure where there is none."""
        return Pin.of(await self.loop.ask(await pin_asked(self._reader, self.state, (run_id, kind, name))))

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        """Empty where user code of a `once` attempt may start."""
        answer: str = await self.loop.ask(m.Claimed(fence, worker, secret))
        return answer

    async def join(self, fence: int, worker: str, secret: str, address: str) -> calls.Rendezvous:
        """A rank of a gang is ready; it begins when it is told to, or has an address in this answer."""
        answer: calls.Rendezvous = await self.loop.ask(m.Joined(fence, worker, secret, address))
        return answer

    async def checkpoint(self, fence: int, worker: str, state: calls.Payload) -> str:
        """Empty once the state is durable, for the next attempt at the step."""
        answer: str = await self.loop.ask(m.Checkpointed(fence, worker, state))
        return answer

    def progress(self, items: list[calls.Progress]) -> None:
        """Lossy: shown live, never in the log. The first word of an attempt says that it runs."""
        for item in items:
            self.loop.tell(m.Progressed(item.fence, item.worker, item.time_us))
        self._lines.line("web").tell("progress", items)

    @ray.method
    async def forget_words(self, positions: list[int]) -> int:
        """How many of these entries of the log, which belong to no run, have left the database."""
        return await self._journal.forget(lambda rows: forget_words(rows, positions))

    @ray.method
    async def forget(self, run_ids: list[str]) -> int:
        """How many of these runs have left the database; with them goes what the inbox no longer has to know."""
        before_us = wall_clock_us() - inbox_kept_us(self._wiring.settings.store.inbox_retention_s)
        return await self._journal.forget(lambda rows: forgotten(rows, OWNER, run_ids, before_us))

    @ray.method
    async def artifacts_gone(self, digests: list[str]) -> int:
        """How many charges a collection has ended."""
        await self._begun()
        count: int = await self.loop.ask(m.ArtifactsGone(await self.charges.ended(digests)))
        return count

    @ray.method
    async def logs_counted(self, size_bytes: dict[str, int]) -> None:
        """What a sweep has found of the logs of each project."""
        await self._begun()
        await self.loop.ask(m.LogsCounted(size_bytes))

    async def propose(self, grants: list[calls.Grant]) -> list[calls.Verdict]:
        verdicts: list[calls.Verdict] = await self.loop.ask(m.Proposed(tuple(grants)))
        crash.at("t2.answer")
        return verdicts

    async def reclaim(self, reclaims: list[calls.Reclaim]) -> list[calls.Verdict]:
        verdicts: list[calls.Verdict] = await self.loop.ask(m.ReclaimsProposed(tuple(reclaims)))
        return verdicts

    async def hold(self, holds: list[calls.Hold]) -> bool:
        """True once they are durable."""
        await self.loop.ask(m.HeldBack(tuple(holds)))
        return True

    @ray.method
    async def order(self, order: calls.Order) -> dict[str, Any]:
        """The direct door of commands: `{"done": …}` or `{"refused": …}`. Waits for the start."""
        await self._begun()
        self.intake.count(order)
        answer: dict[str, Any] = await self.loop.ask(await asked_of(self._reader, order))
        crash.at("command.answer")
        return answer

    def notice(self, entries: list[Entry]) -> None:
        """Another owner has committed them."""
        self.hub.committed(entries)

    @ray.method
    async def catch_up(self) -> None:
        """Returns when all that others have committed by now lies before whatever is decided next."""
        await self._begun()
        await self.hub.catch_up()

    @ray.method
    async def attach(self, name: str) -> int:
        """From now on the follower of that name is pushed what it asked for; the position pushes begin after."""

        def push(after: int, upto: int, entries: list[Entry]) -> None:
            self._lines.line(name).tell("follow", after, upto, entries)

        self.hub.attach(name, FOLLOWERS[name], push, at_once=name in AT_ONCE)
        return self.hub.cursor

    @ray.method
    async def describe(self) -> dict[str, Any]:
        return {
            **self._described.now(),
            "runs": sum(run.state is RunState.RUNNING for run in self.state.runs.values()) + len(self.state.away),
            "hosts": len(self.state.hosts),
            "workers": len(self.state.workers),
            "position": self.hub.cursor,
            "relayed": self.relay.published,
        }
