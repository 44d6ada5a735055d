"""The Scheduler as a pure machine: the quota engine behind an inbox, told by the log, answered by the Conductor.

    step.waiting ─► engine ─► Propose ─► the Conductor leases it ─► step.leased ─► engine
                       ▲                    └ refuses ─► TickLater ─► decided again
                 └─► Reclaim ─► the Conductor tells the attempt ─► step.preempting, step.failed ─► engine
    quota.apply ─► parsed whole ─► a new version of the tree, its row, quota.changed

It writes only trees and its inbox: a step that waits becomes a proposal without any transaction. What
the engine decides goes back with the machine's book, because each decision notes the way back there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...core.inbox import Arrived, Inbox, Ordered, TopicGap
from ...core.inventory import QuotaNote, QuotaTree
from ...core.ledger import Book, Ledger
from ...core.storage import limits_in
from ...core.turn import Turn
from ...errors import InvalidInput
from ...quota import messages as q
from ...quota.runtimes import KINDS_MAX, Kind, Lasted, kind_of, with_one_more
from ...quota.scheduler import Scheduler
from ...quota.simulate import losses_of
from ...quota.tree import Tree, parse_tree
from ...wire import calls
from ...wire.api.quota import StepExplained
from ...wire.entries.events import CommandDone, CommandRefused
from ...wire.entries.nodes import NodeDrained, NodeJoined, NodeLeft
from ...wire.entries.quota import QuotaChanged
from ...wire.entries.steps import StepEnded, StepLeased, StepSucceeded
from ...wire.terms import JSON
from ...wire.types import Entry, Said
from . import quota_words as words
from .quota_notes import QuotaNotes, priority_in

OWNER: Final = "scheduler"
UNANSWERED: Final = "the Conductor did not answer"
FIRST_VERSION: Final = 1
APPLY: Final = "quota.apply"
PRIORITY: Final = "quota.priority"
KINDS: Final = (APPLY, PRIORITY)


class Seeded(Struct, frozen=True):
    """The first event of an empty store: the tree that the machine was made with becomes version 1."""


class Followed(Struct, frozen=True):
    entries: tuple[Entry, ...]


class Answered(Struct, frozen=True):
    """The Conductor's word on the proposals of `number`; none where it could not be reached."""

    number: int
    verdicts: tuple[calls.Verdict, ...]


class ReclaimsAnswered(Struct, frozen=True):
    """The Conductor's word on attempts that were to make way."""

    verdicts: tuple[calls.Verdict, ...]


class Ticked(Struct, frozen=True):
    pass


class Propose(Struct, frozen=True):
    """Effect: to the Conductor, answered by `Answered` under the same number."""

    number: int
    grants: tuple[calls.Grant, ...]


class ProposeReclaims(Struct, frozen=True):
    """Effect: to the Conductor, again until it answers; then `ReclaimsAnswered`."""

    reclaims: tuple[calls.Reclaim, ...]


class SayHeld(Struct, frozen=True):
    """Effect: why steps wait, or why they never go."""

    holds: tuple[calls.Hold, ...]


class TickLater(Struct, frozen=True):
    """Effect: something was put off; a `Ticked` is due at `at_us`, or in a while where that is sooner or none."""

    at_us: int = 0


Event = Seeded | Followed | Answered | ReclaimsAnswered | Ticked | Ordered | Arrived | TopicGap


class QuotaDesk:
    """Owned by the one loop that calls `decide`. `engine` is as the rows have it; `stored` is the newest tree's row."""

    def __init__(
        self, engine: Scheduler, stored: QuotaTree | None, *, nodes: tuple[q.NodeSpec, ...] = (), tree: Any = None
    ) -> None:
        self.book = Book()
        self.engine = engine
        self.mail = Inbox(self.book, OWNER)
        self.trees: Ledger[int, QuotaTree] = Ledger(self.book, "quota_trees")
        self.nodes: Ledger[str, q.NodeSpec] = Ledger(self.book)
        self.proposed: Ledger[str, int] = Ledger(self.book)  # step → the number of its newest proposal
        self.asked: Ledger[int, tuple[str, ...]] = Ledger(self.book)  # number → the steps of a proposal not answered
        self.not_ended: Ledger[int, str] = Ledger(self.book)  # reclaims that were refused, until the next tick
        self.notes = QuotaNotes(self.book)
        self.runtimes: Ledger[Kind, Lasted] = Ledger(self.book)  # of attempts that succeeded, as the rows have them
        self._tree: Ledger[str, Any] = Ledger(self.book)
        self._tree.load("now", stored.tree if stored is not None else tree)
        self.unseeded = stored is None
        self.stored: dict[str, int] = {}  # bytes by project as they were read last; only told, nothing follows
        self._number = 0
        for node in nodes:
            self.nodes.load(node.id, node)
        engine.mark()

    def remember(self, notes: Iterable[QuotaNote]) -> None:
        """Before the first event: what was noted in an earlier life."""
        self.notes.load(notes, self.engine)

    def decide(self, event: Event, now_us: int) -> Turn:
        turn = Turn(now_us)
        match event:
            case Followed(entries):
                self._tell(turn, [message for entry in entries for message in self._messages_of(entry)])
            case Answered(number, verdicts):
                self._answered(turn, number, verdicts)
            case ReclaimsAnswered(verdicts):
                self._reclaims_answered(turn, verdicts)
            case Ticked():
                self._tell(turn, [*self._refused_reclaims(), q.Ticked(now_us)])
            case Seeded():
                self._store(turn, FIRST_VERSION, self._tree["now"], "headwater")
            case Ordered():
                self.mail.ordered(turn, event, lambda order: self._obey(turn, order))
            case Arrived():
                self.mail.command_record(turn, event, lambda order: self._obey(turn, order))
            case TopicGap():
                self.mail.halt(turn, event)
        return turn

    def set_aside(self, event: Event, now_us: int, error: Exception) -> Turn:
        """A record becomes a dead letter; whoever asked gets the error, and a follower that fails must be rebuilt."""
        return self.mail.undecided(event, now_us, error, who="The Scheduler")

    def objected(self, event: Event, now_us: int, reason: str) -> Turn:
        return self.set_aside(event, now_us, RuntimeError(reason))

    def settle(self) -> None:
        self.book.settle()
        self.engine.mark()
        self.mail.tidy()
        for version in list(self.trees):
            self.trees.forget(version)

    def _tell(self, turn: Turn, events: list[q.Event]) -> None:
        """The engine hears `events` at once; what it decides becomes one effect of each kind."""
        grants: list[q.Grant] = []
        holds: list[calls.Hold] = []
        reclaims: list[calls.Reclaim] = []
        depth = self.engine.depth()
        effects = self.engine.decide_all(list(map(self.notes.prioritised, events)), turn.now_us)
        self.book.note(lambda: self.engine.back_to(depth))
        for effect in effects:
            if isinstance(effect, q.Waiting | q.Impossible):
                holds.append(words.hold_of(effect))
            elif isinstance(effect, q.Reclaim):
                reclaims.append(words.reclaim_of(effect, self.engine.tree_version))
            else:
                grants.append(effect)
        self.notes.keep(self.engine, turn.now_us)
        if grants:
            self._propose(turn, grants)
        if reclaims:
            turn.effects.append(ProposeReclaims(tuple(reclaims)))
        if holds:
            turn.effects.append(SayHeld(tuple(holds)))
        wakes_us = self.engine.wakes_us()
        if wakes_us is not None:
            _tick_later(turn, wakes_us)

    def _propose(self, turn: Turn, grants: list[q.Grant]) -> None:
        self._number += 1
        for grant in grants:
            self.proposed.put(grant.step_id, self._number)
        self.asked.put(self._number, tuple(grant.step_id for grant in grants))
        turn.effects.append(Propose(self._number, tuple(words.proposal_of(grant) for grant in grants)))

    def _answered(self, turn: Turn, number: int, verdicts: tuple[calls.Verdict, ...]) -> None:
        """A grant that was taken is heard of from the log; one that was refused is decided again at the next tick."""
        told = {verdict.step_id: verdict.reason for verdict in verdicts}
        answers = {step_id: told.get(step_id, UNANSWERED) for step_id in self.asked.get(number) or ()}
        self.asked.remove(number)
        alike = len(answers) > 1 and len(set(answers.values())) == 1  # one guard spoke for the whole proposal
        for step_id, reason in answers.items():
            if reason and self.proposed.get(step_id) == number:
                self.proposed.remove(step_id)
                said = f"refused together: {reason}" if alike else reason
                self._tell(turn, [q.GrantRefused(step_id, said)])
                _tick_later(turn, 0)

    def _reclaims_answered(self, turn: Turn, verdicts: tuple[calls.Verdict, ...]) -> None:
        """What does not make way is looked at again at the next tick, so that a refusal repeated is no loop."""
        for verdict in verdicts:
            if verdict.reason and verdict.fence is not None:
                self.not_ended.put(verdict.fence, verdict.reason)
                _tick_later(turn, 0)

    def _refused_reclaims(self) -> list[q.Event]:
        refused: list[q.Event] = []
        for fence in sorted(self.not_ended):
            refused.append(q.ReclaimRefused(fence, self.not_ended[fence]))
            self.not_ended.remove(fence)
        return refused

    def _messages_of(self, entry: Entry) -> list[q.Event]:
        """What an entry of the log means to the engine."""
        match entry.body:
            case StepLeased(step_id=step_id):
                self.proposed.remove(step_id)
                return [words.leased_of(entry, entry.body)]
            case StepEnded(step_id=step_id):
                self.proposed.remove(step_id)
                self.notes.forget(step_id)
                return [q.StepGone(step_id)]
            case NodeJoined():
                spec = words.node_of(entry.body)
                self.nodes.put(spec.id, spec)
                return [q.NodeJoined(spec)]
            case NodeLeft(node=node):
                self.nodes.remove(node)
                return [q.NodeLeft(node)]
            case NodeDrained(node=node, drained=drained):
                spec_now = self.nodes.get(node)
                return [q.NodeDrained(node)] if drained else [q.NodeJoined(spec_now)] if spec_now else []
            case StepSucceeded(fence=fence):
                self._took(fence, entry.time_us)
            case QuotaChanged(version=version, tree=tree) if version > self.engine.tree_version:
                self._tree.put("now", tree)
                return [q.TreeChanged(parse_tree(tree), version)]
        return words.messages_of(entry)

    def _took(self, fence: int, ended_us: int) -> None:
        holding = self.engine.holdings().get(fence)
        kind = None if holding is None else kind_of(holding)
        if holding is not None and kind is not None and (kind in self.runtimes or len(self.runtimes) < KINDS_MAX):
            self.runtimes.put(kind, with_one_more(self.runtimes.get(kind), ended_us - holding.leased_us))

    def explained(self, step_id: str) -> StepExplained | None:
        """Everything about why the step waits, and when it should go; None where it does not wait."""
        return self.engine.explained(step_id, self.runtimes.get)

    def _obey(self, turn: Turn, order: calls.Order) -> CommandDone | CommandRefused:
        if order.kind not in KINDS:
            reason = f"The Scheduler knows {' and '.join(KINDS)}, not {order.kind!r}"
            return CommandRefused(command=order.id, code="unknown_command", reason=reason)
        try:
            if order.kind == PRIORITY:
                return self._prioritise(turn, order)
            tree, dry_run = tree_in(order.data)
        except InvalidInput as error:
            return CommandRefused(command=order.id, code="invalid_quota", reason=str(error))
        return CommandDone(command=order.id, result=self._apply(turn, tree, order, dry_run=dry_run))

    def _prioritise(self, turn: Turn, order: calls.Order) -> CommandDone | CommandRefused:
        step_id, priority = priority_in(order.data)
        step = self.engine.waiting(step_id)
        if step is None:
            return CommandRefused(command=order.id, code="not_waiting", reason=f"No step {step_id!r:.120} waits")
        self.notes.prioritise(step, priority, order.principal, turn.now_us)
        self._tell(turn, [step])
        result: JSON = {"step": step_id, "before": step.priority, "after": priority}
        return CommandDone(command=order.id, result=result)

    def _apply(self, turn: Turn, tree: Tree, order: calls.Order, *, dry_run: bool) -> dict[str, Any]:
        """The version in force afterwards, and who holds more than is still guaranteed; a tree like that in force
        makes no new one.
        """
        written, version, before = tree.to_mapping(), self.engine.tree_version, self.engine.tree
        changed = written != self._tree["now"]
        if changed and not dry_run:
            version += 1
            self._tell(turn, [q.TreeChanged(tree, version)])
            self._store(turn, version, written, order.principal)
        losses = losses_of(before, tree, list(self.engine.holdings().values()))
        lost = msgspec.to_builtins(losses)
        said = {"version": version, "changed": changed, "dry_run": dry_run, "tree": written, "losses": lost}
        return {**said, "over_storage": self._over_storage(tree)}

    def _over_storage(self, tree: Tree) -> list[dict[str, JSON]]:
        """Projects that store more than the tree lets them: they keep it, and may write nothing more."""
        limits = limits_in(tree.to_mapping())
        return [
            {"project": project, "stored_bytes": self.stored[project], "limit_bytes": limit_bytes}
            for project, limit_bytes in limits.items()
            if self.stored.get(project, 0) > limit_bytes
        ]

    def _store(self, turn: Turn, version: int, tree: Any, principal: str) -> None:
        row = QuotaTree(version=version, tree=tree, principal=principal, applied_us=turn.now_us)
        self.trees.put(version, row)
        self._tree.put("now", tree)
        turn.said.append(
            Said(
                body=QuotaChanged(version=version, tree=tree),
                subject="quota",
                project=self.mail.default_project,
                principal=principal,
                time_us=turn.now_us,
            )
        )


def _tick_later(turn: Turn, at_us: int) -> None:
    later = TickLater(at_us if at_us > turn.now_us else 0)
    if later not in turn.effects:
        turn.effects.append(later)


def tree_in(data: Any) -> tuple[Tree, bool]:
    """The tree of a `quota.apply`, and whether it is only tried. The tree lies under `tree`, or is the data itself.

    Raises InvalidInput naming what does not fit.
    """
    if not isinstance(data, dict):
        raise InvalidInput(f"quota.apply came with {data!r:.80}", remedy='Send {"tree": {"cohort": …}}')
    rest = {key: value for key, value in data.items() if key != "dry_run"}
    written = rest["tree"] if set(rest) == {"tree"} and isinstance(rest["tree"], dict) else rest
    tree = parse_tree(written)
    if not tree.projects:
        raise InvalidInput("The tree names no project", remedy="Name at least one under [quota.cohort.NAME.projects]")
    return tree, data.get("dry_run") is True
