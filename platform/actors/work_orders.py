"""What hosts and workers are sent, put together from what the Conductor knows."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.conductor.state import State
from ..core.conductor.steps.members import seat_of
from ..wire import calls


def run_order(state: State, run_id: str, fence: int) -> calls.RunOrder:
    """What a host needs to execute the run, or to take it up again."""
    run = state.runs[run_id]
    record = [state.commands[run_id, ordinal] for ordinal in state.commands_of.of(run_id)]
    return calls.RunOrder(
        run_id=run.id,
        fence=fence,
        project=run.project,
        flow=run.flow,
        function=state.functions[run.code_version, run.project, run.flow],
        code_version=run.code_version,
        bundle=state.bundles[run.code_version],
        parameters=run.parameters,
        principal=run.principal,
        secret=state.secret_of("run", run.id, str(fence)),
        record=tuple(calls.Recorded(command=row.command, outcome=row.outcome, answered=row.answered) for row in record),
    )


def attempt_orders(state: State, worker: str, fences: Iterable[int]) -> list[calls.AttemptOrder]:
    """What this worker needs to run these attempts, as far as they live."""
    orders = (attempt_order(state, worker, fence) for fence in fences)
    return [order for order in orders if order is not None]


def attempt_order(state: State, worker: str, fence: int) -> calls.AttemptOrder | None:
    """What this worker needs to run the attempt, of a gang its rank; None where it has ended meanwhile."""
    attempt = state.attempts.get(fence)
    if attempt is None:
        return None
    step, run = state.steps[attempt.step_id], state.runs[attempt.run_id]
    seat = seat_of(attempt, worker)
    inputs = {ordinal: state.commands[run.id, ordinal].outcome for ordinal in step.needs}
    return calls.AttemptOrder(
        fence=fence,
        run_id=run.id,
        step_id=step.id,
        ordinal=step.ordinal,
        name=step.name,
        attempt=attempt.number,
        project=run.project,
        principal=run.principal,
        function=step.function,
        code_version=step.code_version,
        bundle=state.bundles[step.code_version],
        arguments=step.arguments,
        inputs={ordinal: outcome.payload for ordinal, outcome in inputs.items() if outcome and outcome.payload},
        node=seat.node if seat is not None else attempt.node,
        devices=seat.devices if seat is not None else attempt.devices,
        effect=step.effect,
        timeout_s=min((limit for limit in (step.timeout_s, step.max_runtime_s) if limit is not None), default=None),
        secret=attempt.secret,
        checkpoint=step.checkpoint,
        secrets=step.secrets,
        env=step.env,
        memory_bytes=step.demand.memory_bytes,
        gpus_milli=step.demand.gpus_milli,
        gang=seat,
    )
