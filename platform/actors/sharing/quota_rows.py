"""Steps that wait and attempts that hold a place, read for the engine straight from the driver's tuples.

There may be a hundred thousand of each. Of a step's row only what says where it may go is read: what it is called
with may be large, and stays where it is. Demands are few and repeat, so each is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ...core.inventory import QuotaNote
from ...core.records.attempts import AttemptState, Member
from ...core.records.leases import LeaseState
from ...core.records.steps import StepState
from ...quota import messages as q
from ...store.reader import Picture
from ...store.schema import ATTEMPTS, LEASES, RUNS, STEPS
from ...wire.terms import Demand
from . import quota_words as words
from .quota_notes import PRIORITY

LIVE: Final = (AttemptState.LEASED, AttemptState.RUNNING)
_KEPT: Final = (LeaseState.RELEASING, LeaseState.QUARANTINED)

_DEVICES: Final = msgspec.json.Decoder(tuple[str, ...])
_MEMBERS: Final = msgspec.json.Decoder(tuple[Member, ...])
_ASKED: Final = (
    STEPS.c.id,
    STEPS.c.run_id,
    STEPS.c.project,
    STEPS.c.name,
    STEPS.c.demand,
    STEPS.c.priority,
    STEPS.c.max_runtime_s,
    STEPS.c.min_runtime_s,
    STEPS.c.ranks_min,
    STEPS.c.effect,
    STEPS.c.evictions,
    STEPS.c.tier,
)
_HELD: Final = (
    ATTEMPTS.c.fence,
    ATTEMPTS.c.state,
    ATTEMPTS.c.node,
    ATTEMPTS.c.devices,
    ATTEMPTS.c.demand,
    ATTEMPTS.c.members,
    ATTEMPTS.c.leased_us,
    ATTEMPTS.c.place,
    STEPS.c.checkpoint_us,
)


class Held(NamedTuple):
    """An attempt that lives, or has ended on devices which are not free yet; its step's last checkpoint."""

    leased: q.AttemptLeased
    live: bool
    checkpoint_us: int | None


class Rows:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._demands = _Demands()
        self._flows = _flows(picture)

    def waiting(self, notes: Mapping[str, QuotaNote]) -> Iterator[q.StepWaiting]:
        """Every step that waits, with the priority that was given to it since."""
        which = sa.select(*_ASKED, STEPS.c.waiting_us, STEPS.c.created_us).where(STEPS.c.state == StepState.WAITING)
        demands, flows, seconds_of = self._demands, self._flows, words.seconds_of
        given = {name.removeprefix(PRIORITY): note for name, note in notes.items() if name.startswith(PRIORITY)}
        with self._picture.driven(which) as rows:
            for (
                step_id, run_id, project, name, demand, priority, longest, shortest, fewest, effect, evictions, tier,
                waiting_us, created_us,
            ) in rows:  # fmt: skip
                yield q.StepWaiting(
                    step_id,
                    run_id,
                    project,
                    name,
                    demands[demand],
                    waiting_us or created_us,
                    given[step_id].note if step_id in given else priority,
                    seconds_of(longest),
                    seconds_of(shortest) or 0,
                    fewest,
                    effect == "once",
                    evictions,
                    flows.get(run_id, ""),
                    tier,
                )

    def held(self) -> list[Held]:
        """By fence: the first of those that share a place comes first."""
        kept = sa.select(LEASES.c.fence).where(LEASES.c.state.in_(_KEPT))
        found = {each.leased.fence: each for each in self._held(ATTEMPTS.c.state.in_(LIVE))}
        found.update({each.leased.fence: each for each in self._held(ATTEMPTS.c.fence.in_(kept))})
        return [found[fence] for fence in sorted(found)]

    def freed(self) -> dict[int, tuple[str, ...]]:
        """Of attempts that have ended on devices which are not all free yet: those that are."""
        kept = sa.select(LEASES.c.fence).where(LEASES.c.state.in_(_KEPT))
        free = (LEASES.c.state == LeaseState.FREE) & LEASES.c.fence.in_(kept)
        found: dict[int, tuple[str, ...]] = {}
        which = sa.select(LEASES.c.fence, LEASES.c.device).where(free).order_by(LEASES.c.fence, LEASES.c.device)
        for row in self._picture.select(which):
            found[row.fence] = (*found.get(row.fence, ()), row.device)
        return found

    def _held(self, which: sa.ColumnElement[bool]) -> Iterator[Held]:
        of_step = STEPS.c.id == ATTEMPTS.c.step_id
        statement = sa.select(*_ASKED, *_HELD).join_from(ATTEMPTS, STEPS, of_step).where(which)
        demands, flows, seconds_of = self._demands, self._flows, words.seconds_of
        with self._picture.driven(statement) as rows:
            for (
                step_id, run_id, project, name, demand, priority, longest, shortest, fewest, effect, evictions, tier,
                fence, state, node, devices, given, members, leased_us, place, checkpoint_us,
            ) in rows:  # fmt: skip
                nodes = () if members == "[]" else tuple(member.node for member in _MEMBERS.decode(members))
                leased = q.AttemptLeased(
                    step_id,
                    fence,
                    node,
                    words.by_rank(_DEVICES.decode(devices), demands[given].ranks),
                    demands[demand],  # the step's, also where an elastic gang was given fewer ranks
                    nodes,
                    leased_us,
                    project,
                    run_id,
                    name,
                    seconds_of(longest),
                    priority,
                    seconds_of(shortest) or 0,
                    effect == "once",
                    fewest,
                    evictions,
                    place,
                    flows.get(run_id, ""),
                    tier,
                )
                yield Held(leased, state in LIVE, checkpoint_us)


class _Demands(dict[str, q.Demand]):
    """By what the rows have for them."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Demand)

    def __missing__(self, text: str) -> q.Demand:
        found = self[text] = words.demand_of(self._decoder.decode(text))
        return found


def _flows(picture: Picture) -> dict[str, str]:
    """By run, of those that have a step which waits or runs."""
    of = sa.select(STEPS.c.run_id).where(STEPS.c.state.in_((StepState.WAITING, StepState.LEASED, StepState.RUNNING)))
    return {run.id: run.flow for run in picture.select(sa.select(RUNS.c.id, RUNS.c.flow).where(RUNS.c.id.in_(of)))}
