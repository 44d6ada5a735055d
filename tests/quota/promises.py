"""What the Scheduler promises, looked at from outside of its own arithmetic: each function asserts one promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from headwater.quota.holdings import Holding
from headwater.quota.messages import (
    AttemptCheckpointed,
    AttemptLeased,
    AttemptLeaving,
    AttemptReleased,
    DeviceFreed,
    DeviceQuarantined,
    Effect,
    Event,
    Grant,
    Reclaim,
    StepWaiting,
)
from headwater.quota.placement.inventory import Holder
from headwater.quota.reservations import Reservation
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import Tree
from headwater.quota.windows import next_change_us

S = 1_000_000
Mixed = Callable[[list[Any]], list[Any]]


def picture(scheduler: Scheduler) -> object:
    """All that decides, for comparison; a copy that later changes do not reach."""
    inventory, queues = scheduler._inventory, scheduler._queues
    nodes = {
        name: (node.spec, node.cpus_free, node.memory_free, node.whole_free, node.in_service, node.left)
        for name, node in inventory.nodes.items()
    }
    devices = {i: (d.node, d.total, d.free, d.quarantined, dict(d.holders)) for i, d in inventory.devices.items()}
    rooms = {model: list(rooms) for model, rooms in inventory.by_room.items() if rooms}
    partly = {model: list(rooms) for model, rooms in inventory.partly.items() if rooms}
    waiting = {key: list(line.turns) for key, line in queues.lines.items()}
    used = scheduler._usage.snapshot()
    told, held = dict(scheduler._telling.told), dict(scheduler._holdings.all)
    sharers = scheduler._holdings.sharers
    shared = (dict(sharers._place_of), dict(sharers._left), dict(sharers._kept))
    by_project = {name: dict(mine) for name, mine in scheduler._holdings.by_project.items() if mine}
    kept, away = dict(scheduler._reservations.kept), dict(inventory.departed)
    granting = scheduler._granting
    asked = (
        list(granting.due._sorted),
        list(granting.large._sorted),
        dict(granting.later.at),
        dict(scheduler._evicted),
    )
    more = (kept, away, asked, dict(scheduler._holdings.going), dict(queues.reserved), scheduler._now_us)
    grows = (scheduler._holdings.came_back, dict(granting._growing._small))
    inside = (more, grows, nodes, devices, rooms, partly, waiting, dict(queues.put_off), dict(queues.steps))
    return (inside, used, told, held, shared, by_project, scheduler._version)


# Quota.


def use_of(scheduler: Scheduler, node: int, flavour: str, *, without: Iterable[Holder] = ()) -> int:
    """What is granted or leased below the node of the tree, added up from the holdings."""
    gone, path = set(without), scheduler._usage.path
    return sum(
        holding.amounts.get(flavour, 0)
        for holder, holding in scheduler.holdings().items()
        if holder not in gone and not holding.released and node in path(holding.step.project)
    )


def grants_stay_within_every_bound(scheduler: Scheduler, effects: Iterable[Effect]) -> None:
    """After a grant nobody on its way to the root is beyond nominal and borrow limit, and no other has lent more than
    its lending limit.
    """
    usage, nodes = scheduler._usage, scheduler._usage.tree.nodes
    for grant in [effect for effect in effects if isinstance(effect, Grant)]:
        path = usage.path(grant.project)
        for flavour in filter(usage.governs, scheduler.holdings()[grant.step_id].amounts):
            for node in path:
                quota = nodes[node].quotas.get(flavour)
                nominal, limit = (quota.nominal, quota.borrow_limit) if quota else (0, None)
                limit = 0 if nodes[node].parent < 0 else limit
                assert limit is None or use_of(scheduler, node, flavour) <= nominal + limit
            root = nodes[path[-1]].quotas[flavour].nominal
            for node, each in enumerate(nodes):
                quota = each.quotas.get(flavour)
                if quota is None or quota.lend_limit is None or node in path or each.parent != path[-1]:
                    continue
                kept = max(0, quota.nominal - quota.lend_limit)
                others = use_of(scheduler, path[-1], flavour) - use_of(scheduler, node, flavour)
                assert others <= root - kept


def nobody_waits_within_a_guarantee(scheduler: Scheduler, since_us: int) -> None:
    """Where no window has opened or closed since, long enough for others to make way: whoever asks for one GPU and is
    within what its project, or a team above it, is guaranteed now has it. Of steps that may be ended, and of teams
    that keep nothing for windows below them.
    """
    usage, windows = scheduler._usage, scheduler.tree.windows
    change_us = next_change_us(windows, since_us)
    if change_us is not None and change_us <= scheduler._now_us:
        return
    for step in scheduler._queues.steps.values():
        path = usage.path(step.project)
        for node in () if step.once else path[:-1]:
            if not any(node in _above(usage.tree, each.node) for each in windows if each.node not in path):
                nominal = usage.tree.nodes[node].quotas["gpu"].nominal
                assert use_of(scheduler, node, "gpu") + step.demand.gpus_milli > nominal


def _above(tree: Tree, node: int) -> list[int]:
    found = []
    while (node := tree.nodes[node].parent) >= 0:
        found.append(node)
    return found


def use_is_what_is_granted_live_or_kept(scheduler: Scheduler) -> None:
    expected: dict[tuple[str, str], int] = {}
    kept = [reservation.holding() for reservation in scheduler._reservations.kept.values()]
    for holding in [*scheduler.holdings().values(), *kept]:
        if not holding.released:
            for flavour, amount in holding.amounts.items():
                key = (holding.step.project, flavour)
                expected[key] = expected.get(key, 0) + amount
    for node in scheduler.usage():
        if node.kind == "project":
            for flavour, usage in node.flavours.items():
                assert usage.used == expected.get((node.name, flavour), 0)


# Places.


def the_gang_is_placed_whole(scheduler: Scheduler, grant: Grant, step: StepWaiting) -> None:
    demand = step.demand
    assert (step.ranks_min or demand.ranks) <= len(grant.nodes) <= demand.ranks
    assert len(grant.devices) == len(grant.nodes)
    for node_id, devices in zip(grant.nodes, grant.devices, strict=True):
        node = scheduler.nodes()[node_id]
        assert node.in_service
        assert len(devices) == len(set(devices)) == -(-demand.gpus_milli // 1000)
        assert all(not node.devices[device].quarantined for device in devices)
        if demand.gpu_model and demand.gpus_milli:
            assert node.spec.gpu_model == demand.gpu_model


def held_and_free_are_the_total_of_every_device(scheduler: Scheduler) -> None:
    for device in scheduler._inventory.devices.values():
        assert device.free + sum(device.holders.values()) == device.total
        held = sum(amount for holder, amount in device.holders.items() if not str(holder).startswith("kept"))
        assert held <= device.total


# Victims.


def victims_may_be_ended(scheduler: Scheduler, reclaims: list[Reclaim], before: set[Holder], now_us: int) -> None:
    """None under its min_runtime, none that may run only once; and each, with those before it gone, of a project that
    is beyond its own guarantee, or of the claimant's own project and of less priority. `before`: what was leaving.
    """
    gone = before - {reclaim.fence for reclaim in reclaims}  # what is asked for again was refused meanwhile
    for reclaim in reclaims:
        holding = scheduler.holdings()[reclaim.fence]
        assert holding.leaving
        assert not holding.step.once
        assert now_us >= holding.leased_us + holding.step.min_runtime_s * S
        _has_a_reason(scheduler, reclaim, holding, gone)
        gone.add(reclaim.fence)


def _has_a_reason(scheduler: Scheduler, reclaim: Reclaim, holding: Holding, gone: set[Holder]) -> None:
    if reclaim.for_step == reclaim.step_id:  # it begins again with more ranks
        assert 0 < holding.step.ranks_min <= len(holding.seats) < holding.step.demand.ranks
        return
    claimant = scheduler._queues.steps[reclaim.for_step]
    if reclaim.reason.startswith("Moved"):  # it has another place
        assert len(holding.seats) == 1
        assert holding.step.priority <= claimant.priority
    elif claimant.project == holding.step.project:
        assert claimant.priority > holding.step.priority
    else:
        usage = scheduler._usage
        node = usage.path(holding.step.project)[0]
        quotas = usage.tree.nodes[node].quotas
        nominal = {flavour: quota.nominal for flavour, quota in quotas.items()}
        governed = [flavour for flavour in holding.amounts if usage.governs(flavour)]
        assert any(use_of(scheduler, node, each, without=gone) > nominal.get(each, 0) for each in governed)


# Dates.


def dates_are_kept(scheduler: Scheduler, granted_us: Mapping[str, int]) -> None:
    """Whoever is on the place of a gang that has a date has declared to be gone by then, is being emptied or ended."""
    for kept in scheduler._reservations.kept.values():
        if kept.at_us is not None and not kept.victims:
            for seat in kept.placed.seats:
                for device in seat.devices:
                    holders = scheduler._inventory.devices[device].holders
                    assert all(_is_gone_by(scheduler, holder, kept, granted_us) for holder in holders)


def _is_gone_by(scheduler: Scheduler, holder: Holder, kept: Reservation, granted_us: Mapping[str, int]) -> bool:
    if str(holder).startswith("kept for"):
        return holder == kept.holder()
    holding = scheduler.holdings()[holder]
    if holding.released or holding.leaving:
        return True
    runtime_s = holding.step.max_runtime_s
    assert kept.at_us is not None
    return runtime_s is not None and granted_us[holding.step.step_id] + runtime_s * S <= kept.at_us


def dates_of(scheduler: Scheduler) -> dict[str, int]:
    kept = scheduler._reservations.kept
    return {name: each.at_us for name, each in kept.items() if each.at_us is not None and not each.victims}


def no_date_is_later(scheduler: Scheduler, before: Mapping[str, int]) -> None:
    """Of those that still wait each has its date, or an earlier one."""
    after = dates_of(scheduler)
    for step_id, at_us in before.items():
        kept = scheduler._reservations.kept.get(step_id)
        if step_id in scheduler._queues.steps and not (kept is not None and kept.victims):
            assert after.get(step_id, at_us + 1) <= at_us


# Restart.


def begun_anew(
    scheduler: Scheduler,
    leaving: Iterable[AttemptLeaving],
    version: int,
    mixed: Callable[[list[Any]], list[Any]] = list,
) -> Scheduler:
    """A Scheduler as the rows would have it: what was proposed and not leased waits again. `mixed`: the rows of a
    table in another order.
    """
    inventory = scheduler._inventory
    nodes = [
        msgspec.structs.replace(node.spec, drained=not node.in_service)
        for node in inventory.nodes.values()
        if not node.left
    ]
    held = [(fence, holding) for fence, holding in scheduler.holdings().items() if isinstance(fence, int)]
    events = [event for fence, holding in mixed(held) for event in _history(scheduler, fence, holding)]
    quarantined = tuple(
        device.id
        for node in inventory.nodes.values()
        for device in node.devices.values()
        if device.quarantined and device.id in {each.id for each in node.spec.devices}
    )
    pending = [holding.step for holder, holding in scheduler.holdings().items() if isinstance(holder, str)]
    machine = Scheduler.load(
        scheduler.tree,
        version,
        nodes=mixed(nodes),
        history=[*events, DeviceQuarantined(quarantined)],
        waiting=mixed([*scheduler._queues.steps.values(), *pending]),
        leaving=mixed(list(leaving)),
        away=mixed(list(inventory.departed.values())),
    )
    machine.workload.give(dict(mixed(scheduler.workload.common())))
    return machine


def _history(scheduler: Scheduler, fence: int, holding: Holding) -> list[Event]:
    step, seats = holding.step, holding.seats
    devices = tuple(seat.devices for seat in seats)
    leased = AttemptLeased(
        step.step_id, fence, seats[0].node, devices, step.demand, tuple(seat.node for seat in seats),
        holding.leased_us, step.project, step.run_id, step.name, step.max_runtime_s, step.priority,
        step.min_runtime_s, step.once, step.ranks_min, step.evictions,
    )  # fmt: skip
    known = scheduler._inventory.devices
    freed = tuple(i for seat in seats for i in seat.devices if i not in known or fence not in known[i].holders)
    saved: list[Event] = [AttemptCheckpointed(fence, holding.checkpoint_us)] if holding.checkpoint_us else []
    ended: list[Event] = [AttemptReleased(fence), DeviceFreed(freed, fence)] if holding.released else []
    return [leased, *saved, *ended]
