"""Where a run is executed: its host, while it does something; nowhere, while it waits.

    place ──► host ──waited for a while──► parked ──what it waits for happened──► place
                └──died──► place, alone where it died together with others

A parked run is only rows and its part of this machine's memory. It comes back by replay, under a new fence.
"""

from __future__ import annotations

import msgspec

from ....wire.entries.runs import RunStarted
from ...records.runs import Run, RunState
from ...turn import Turn
from .. import messages as m
from ..state import Host, State
from .keeping import leave

replace = msgspec.structs.replace


def place(state: State, turn: Turn, run: Run) -> None:
    """The run goes to a host of its code version, to a blank one, or waits until one has started."""
    host = _host_for(state, run)
    if host is None:
        state.homeless.add(run.code_version, run.id)
        if len(state.hosts) < state.limits.hosts_max:
            turn.effects.append(m.StartHost())
        return
    if host.code_version is None:
        turn.effects.append(m.StartHost())  # the next blank one
    alone = run.id if run.id in state.suspects else None
    state.hosts.put(host.id, replace(host, code_version=run.code_version, alone=alone, idle_since_us=None))
    state.runs_on.add(host.id, run.id)
    fence = run.host_fence + 1
    placed = replace(run, state=RunState.RUNNING, host=host.id, host_fence=fence, parked=())
    if run.state is RunState.RUNNING and run.parked:
        state.runs.put(run.id, placed)  # it was only away: nothing has happened that is worth a word
    else:
        placed = replace(placed, started_us=run.started_us or turn.now_us)
        state.say(turn, placed, RunStarted(flow=run.flow, host=host.id))
    turn.effects.append(m.Execute(host.id, run.id, fence))


def _host_for(state: State, run: Run) -> Host | None:
    most = 1 if run.id in state.suspects else state.limits.runs_a_host
    hosts = _hosts(state)
    for host in hosts:
        if host.code_version == run.code_version and not host.alone and state.runs_on.count(host.id) < most:
            return host
    return next((host for host in hosts if host.code_version is None), None)


def _hosts(state: State) -> list[Host]:
    return sorted(state.hosts.values(), key=lambda host: host.id)


def settle_down(state: State, turn: Turn, version: str) -> None:
    """Runs of the version that wait for a host go to those with room."""
    for run_id in state.homeless.of(version):
        run = state.runs.get(run_id)
        if run is None or run.state not in (RunState.PENDING, RunState.RUNNING):
            state.homeless.discard(version, run_id)
        elif _host_for(state, run) is None:
            return
        else:
            state.homeless.discard(version, run_id)
            place(state, turn, run)


def host_joined(state: State, turn: Turn, event: m.HostJoined) -> None:
    state.hosts.put(event.host, Host(event.host))
    for version in state.homeless.groups():
        settle_down(state, turn, version)


def parked(state: State, turn: Turn, event: m.Parked) -> None:
    """The answer is empty where the host may let go of the run; otherwise why not."""
    run = state.runs.get(event.run_id)
    if run is None or run.state is not RunState.RUNNING or run.host_fence != event.fence or run.host is None:
        turn.answer = "the run moved on"
        return
    rows = [state.commands.get((run.id, ordinal)) for ordinal in event.waits]
    if not rows or any(row is None or row.outcome is not None for row in rows):
        turn.answer = "answered"
        return
    leave_host(state, turn, run)
    state.runs.put(run.id, replace(state.runs[run.id], parked=event.waits, host_fence=run.host_fence + 1))
    turn.answer = ""


def leave_host(state: State, turn: Turn, run: Run) -> None:
    leave(state, turn, run)
    state.homeless.discard(run.code_version, run.id)
    state.suspects.remove(run.id)
    if run.host is None:
        return
    state.runs_on.discard(run.host, run.id)
    state.runs.put(run.id, replace(run, host=None))
    host = state.hosts.get(run.host)
    if host is None:
        return
    idle = None if state.runs_on.count(host.id) else turn.now_us
    state.hosts.put(host.id, replace(host, alone=None, idle_since_us=idle))
    settle_down(state, turn, run.code_version)
    if state.runs_on.count(host.id) == 0:
        state.wake(turn, turn.now_us + state.limits.host_idle_us)


def let_go_of_hosts(state: State, turn: Turn) -> None:
    """Hosts that had nothing to do for a while end; the next wake comes for those that are not idle long enough."""
    for host in _hosts(state):
        if host.idle_since_us is None or state.runs_on.count(host.id):
            continue
        due_us = host.idle_since_us + state.limits.host_idle_us
        if due_us <= turn.now_us:
            state.hosts.remove(host.id)
            turn.effects.append(m.EndHost(host.id))
            if state.homeless.groups():
                turn.effects.append(m.StartHost())  # there is room again for what waits
        else:
            state.wake(turn, due_us)
