"""One run as lines for people: what it is, its steps with their attempts, what it made, how it failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rich.text import Text

from .forms import compact, duration, frames, metrics, moment, one_line, size, trigger
from .output import STATE_STYLE
from .quota_asked import when
from .run_tree import MARKS, amount

if TYPE_CHECKING:
    from ..wire.api.models import ModelView
    from ..wire.api.quota import StepExplained
    from ..wire.api.runs import RunDetail
    from ..wire.api.steps import AttemptView, StepView
    from ..wire.terms import Demand, Failure

LABEL_WIDTH: Final = 12


def lines(
    run: RunDetail, models: Iterable[ModelView] = (), explained: Mapping[str, StepExplained] = MappingProxyType({})
) -> Iterator[Text]:
    """`models` are those that the run registered, for their metrics and the tables they were made from; `explained`
    says by step who is ahead of it and when it should go.
    """
    yield Text.assemble((f"{run.project}/{run.flow} ", "bold"), (run.state, STATE_STYLE.get(run.state, "")),
                        f" {_length(run)}" if run.started_us else "")  # fmt: skip
    yield from _facts(run)
    yield Text("steps" if run.steps else "It has called no steps.", "bold" if run.steps else "dim")
    for step in run.steps:
        yield from _step(step, explained.get(step.id))
    if run.steps_total > len(run.steps):
        yield Text(f"… and {run.steps_total - len(run.steps):,} more steps", "dim")
    yield from _made(run, models)
    if run.failure is not None:
        yield from _failed(run.failure)


def _length(run: RunDetail) -> str:
    return f"after {duration(run.started_us, run.ended_us)}" if run.ended_us else f"since {moment(run.started_us or 0)}"


def _facts(run: RunDetail) -> Iterator[Text]:
    yield _fact("run", run.id)
    event = f"  (event {run.event_id} of {run.event_source})" if run.event_id else ""
    yield _fact("started by", f"{trigger(run.trigger)}{event}")
    yield _fact("principal", run.principal)
    yield _fact("code", f"{run.code_version[:12]}{_commit(run)}")
    yield from _provenance(run)
    yield _fact("created", moment(run.created_us))
    if run.ended_us:
        yield _fact("ended", moment(run.ended_us))
    if run.parent_id:
        yield _fact("part of", run.parent_id)
    if run.resumed_from:
        yield _fact("resumes", run.resumed_from)
    for pin in run.pins:
        yield _fact("sees", f"{pin.kind} {pin.name} at {pin.version}")
    if run.labels:
        yield _fact("labels", ", ".join(f"{name}={text}" for name, text in run.labels.items()))
    if run.parameters:
        yield _fact("parameters", compact(run.parameters))
    if run.cancel_reason:
        yield _fact("cancelled", run.cancel_reason)


def _provenance(run: RunDetail) -> Iterator[Text]:
    """Beside the commit: what was changed since, and what the code runs on. `--json` shows the diff itself."""
    known = run.provenance if isinstance(run.provenance, dict) else {}
    source, environment = known.get("source") or {}, known.get("environment") or {}
    diff = str(source.get("diff") or "").splitlines()
    files = [line.removeprefix("+++ b/") for line in diff if line.startswith("+++ ")]
    if files:
        more = sum(line.startswith("+") for line in diff) - len(files)
        less = sum(line.startswith("-") for line in diff) - len(files)
        yield _fact("changed", f"{', '.join(files)}  (+{more} -{less} since the commit)")
    if new := source.get("untracked"):
        yield _fact("new", f"{', '.join(new)}  (not in git)")
    if environment:
        packages = len(environment.get("packages") or {})
        yield _fact("runs on", f"Python {environment['python']}, {environment['platform']}, {packages} packages")


def _commit(run: RunDetail) -> str:
    source = run.provenance.get("source") if isinstance(run.provenance, dict) else None
    if not isinstance(source, dict) or not source.get("commit"):
        return ""
    return f"  (commit {source['commit'][:12]}{', with changes' if source.get('is_dirty') else ''})"


def _fact(name: str, text: str) -> Text:
    return Text.assemble((f"  {name:<{LABEL_WIDTH}}", "dim"), one_line(text))


def _step(step: StepView, explained: StepExplained | None) -> Iterator[Text]:
    last = step.attempts[-1] if step.attempts else None
    style = STATE_STYLE.get(step.state, "")
    line = Text.assemble("  ", (MARKS.get(step.state, "○"), style), f" {step.name} #{step.ordinal} ",
                         (step.state.lower(), style))  # fmt: skip
    for fact in _tried(last) if last else ():
        line.append(f"  {fact}")
    yield line
    if step.progress is not None:
        yield Text(f"      {one_line(amount(step.progress))}", "cyan")
    if step.state in ("WAITING", "BACKOFF") and (step.held_reason or step.waiting_us):
        why = explained.sentence if explained else step.held_reason or f"asks for {_asked(step.demand)}"
        yield Text(f"      waits since {moment(step.waiting_us or step.created_us)}: {one_line(why)}", "yellow")
        for words in when(explained) if explained else ():
            yield Text(f"        {words}", "yellow")
    if last is not None and last.preempting:
        yield Text(f"      makes way: {one_line(last.preempting)}", "yellow")
    if len(step.attempts) > 1:
        for attempt in step.attempts:
            yield _attempt(attempt)
    elif step.failure is not None:
        yield Text(f"      {cause(step.failure)}", "red")


def _attempt(attempt: AttemptView) -> Text:
    line = Text(f"      attempt {attempt.number} ").append(attempt.state.lower(), STATE_STYLE.get(attempt.state, ""))
    line.append("".join(f"  {fact}" for fact in _tried(attempt)))
    return line.append(f"  {cause(attempt.failure)}", "red") if attempt.failure is not None else line


def _tried(attempt: AttemptView) -> Iterator[str]:
    yield ", ".join(attempt.devices) or attempt.node
    if attempt.ended_us:
        yield duration(attempt.started_us or attempt.leased_us, attempt.ended_us)
    if attempt.rows:
        yield f"{attempt.rows:,} rows"
    if attempt.peak_memory_bytes:
        yield f"{size(attempt.peak_memory_bytes)} at most"


def _asked(demand: Demand) -> str:
    from ..quota.units import shown

    wanted = {demand.gpu_model or "gpu": demand.gpus_milli, "cpu": demand.cpus_milli, "memory": demand.memory_bytes}
    one = ", ".join(shown(flavour, amount) for flavour, amount in wanted.items() if amount) or "nothing"
    return one if demand.ranks == 1 else f"{demand.ranks} times {one}"


def _made(run: RunDetail, models: Iterable[ModelView]) -> Iterator[Text]:
    known = {(model.name, model.version): model for model in models}
    for each in run.models:
        model = known.get((each.name, each.version))
        yield Text(f"registered model {each.name} version {each.version}", "green").append(
            f"  {metrics(model.metrics)}" if model and model.metrics else "", "default"
        )
        tables = model.tables if model and isinstance(model.tables, dict) else {}
        for table, snapshot in tables.items():
            yield Text(f"  made from {table} at snapshot {snapshot}")
    if run.result is not None:
        yield Text.assemble(("result ", "bold"), compact(run.result))


def _failed(failure: Failure) -> Iterator[Text]:
    where = f" in step {failure.step}" if failure.step else ""
    yield Text(f"failed{where}: {cause(failure)}", "red")
    for line in frames(failure.frames):
        yield Text(f"  {line}")


def cause(failure: Failure) -> str:
    return one_line(
        f"{failure.cause_type}: {failure.message}" if failure.cause_type else failure.message or failure.kind
    )
