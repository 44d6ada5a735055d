"""A run as it happens: a tree of its steps for a terminal, or one line for each entry.

`RunTree` is told entries and progress and can be shown by rich at any time (`rich.live.Live(tree)`);
`line_of` gives the plain line. Both only read what they are told: nothing here asks the platform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..wire.calls import Progress
from ..wire.entries.events import CommandRefused, EventRejected
from ..wire.entries.models import DeploymentReady, ModelRegistered
from ..wire.entries.quota import QuotaReclaimed
from ..wire.entries.runs import (
    RunAccepted,
    RunCancelled,
    RunCancelling,
    RunFailed,
    RunModelRegistered,
    RunNeedsAttention,
    RunStarted,
    RunSucceeded,
)
from ..wire.entries.steps import (
    StepEnded,
    StepFailed,
    StepHeld,
    StepLeased,
    StepPreempting,
    StepStarted,
    StepSucceeded,
    StepWaiting,
)
from ..wire.entries.tables import TableCommitted
from ..wire.terms import Failure
from ..wire.types import AnyBody, Entry
from .forms import clock, frames, one_line, seconds
from .output import STATE_STYLE

BAR_WIDTH: Final = 24
STEPS_SHOWN_MAX: Final = 40
MARKS: Final = {"SUCCEEDED": "✓", "FAILED": "✗", "RUNNING": "●", "LEASED": "◐", "CANCELLED": "⊘", "SKIPPED": "⊘"}
LIVE: Final = ("RUNNING", "LEASED")

Told = Entry | Progress


@dataclass(slots=True)
class StepLine:
    """What is known of one step."""

    name: str
    state: str = "WAITING"
    attempt: int = 0
    words: str = ""
    devices: tuple[str, ...] = ()
    rows: int = 0
    duration_us: int = 0
    progress: Progress | None = None


@dataclass(slots=True)
class RunLine:
    """What is known of one run; `steps` are by id, in the order they were first heard of."""

    run_id: str
    project: str = ""
    flow: str = ""
    state: str = "PENDING"
    words: str = ""
    frames: str = ""
    duration_us: int = 0
    models: list[str] = field(default_factory=list)
    steps: dict[str, StepLine] = field(default_factory=dict)


class RunTree:
    """Every run it hears of, each with its steps."""

    def __init__(self) -> None:
        self.runs: dict[str, RunLine] = {}

    def hear(self, told: Told) -> None:
        if isinstance(told, Progress):
            run = self.runs.get(told.run_id)
            if run is not None and told.step_id in run.steps:
                run.steps[told.step_id].progress = told
        elif told.run_id is not None:
            run = self.runs.setdefault(told.run_id, RunLine(told.run_id))
            run.project = told.project
            _tell_run(run, told.body)
            _tell_step(run, told.body)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for run in self.runs.values():
            yield _tree(run)


def _tell_run(run: RunLine, body: AnyBody) -> None:
    match body:
        case RunAccepted(flow=flow, trigger=trigger):
            run.flow, run.words = flow, trigger
        case RunStarted(flow=flow):
            run.flow, run.state = flow, "RUNNING"
        case RunSucceeded(flow=flow, duration_us=took):
            run.flow, run.state, run.duration_us, run.words = flow, "SUCCEEDED", took, ""
        case RunFailed(flow=flow, duration_us=took, failure=failure):
            run.flow, run.state, run.duration_us = flow, "FAILED", took
            run.words, run.frames = _cause(failure), failure.frames
        case RunCancelling(reason=reason):
            run.state, run.words = "CANCELLING", reason
        case RunCancelled(duration_us=took, reason=reason):
            run.state, run.duration_us, run.words = "CANCELLED", took, reason
        case RunNeedsAttention(failure=failure):
            run.state, run.words, run.frames = "NEEDS_ATTENTION", _cause(failure), failure.frames
        case RunModelRegistered(name=name, version=version):
            run.models.append(f"{name} version {version}")
        case _:
            return


def _tell_step(run: RunLine, body: AnyBody) -> None:
    if not isinstance(body, _OF_STEPS):
        return
    step = run.steps.setdefault(body.step_id, StepLine(body.name))
    match body:
        case StepWaiting():
            step.state, step.words = "WAITING", ""
        case StepHeld(reason=reason):
            step.state, step.words = "WAITING", reason
        case StepLeased(attempt=attempt, devices=devices, node=node):
            step.state, step.attempt, step.devices, step.words = "LEASED", attempt, devices or (node,), ""
        case StepStarted(attempt=attempt):
            step.state, step.attempt = "RUNNING", attempt
        case StepPreempting(reason=reason):
            step.words = f"makes way: {reason}"
        case StepSucceeded(rows=rows, duration_us=took):
            step.state, step.rows, step.duration_us, step.progress = "SUCCEEDED", rows, took, None
        case StepFailed(final=final, failure=failure, duration_us=took):
            step.state = "FAILED" if final else "BACKOFF"
            step.words, step.duration_us, step.progress = _cause(failure), took, None
        case StepEnded(state=state, reason=reason):
            step.state, step.words, step.progress = state.upper(), reason, None


_OF_STEPS: Final = (
    StepWaiting, StepHeld, StepLeased, StepStarted, StepSucceeded, StepFailed,
    StepEnded, StepPreempting,
)  # fmt: skip


# For a terminal


def _tree(run: RunLine) -> Tree:
    head = Text.assemble((f"{run.project}/{run.flow} ", "bold"), (run.state, STATE_STYLE.get(run.state, "")))
    head.append(f"  {run.run_id}", "dim")
    if run.duration_us:
        head.append(f"  {_seconds(run.duration_us)}")
    if run.words:
        head.append(f"  {run.words}", "red" if run.state == "FAILED" else "dim")
    tree = Tree(head, guide_style="dim")
    for step in _shown(run):
        tree.add(_step(step))
    hidden = len(run.steps) - STEPS_SHOWN_MAX
    if hidden > 0:
        tree.add(Text(f"… and {hidden:,} more steps", "dim"))
    for model in run.models:
        tree.add(Text(f"registered model {model}", "green"))
    if run.frames:
        tree.add(Text("\n".join(frames(run.frames)), "red"))
    return tree


def _shown(run: RunLine) -> Iterator[StepLine]:
    """At most STEPS_SHOWN_MAX steps, in order: the live ones and the newest."""
    steps = list(run.steps.values())
    surplus = len(steps) - STEPS_SHOWN_MAX
    for step in steps:
        if surplus > 0 and step.state not in LIVE:
            surplus -= 1
        else:
            yield step


def _step(step: StepLine) -> RenderableType:
    line = Text.assemble((MARKS.get(step.state, "○"), STATE_STYLE.get(step.state, "")), f" {step.name} ")
    line.append(step.state.lower(), STATE_STYLE.get(step.state, ""))
    if step.attempt > 1:
        line.append(f"  attempt {step.attempt}", "yellow")
    if step.devices:
        line.append(f"  {', '.join(step.devices)}", "dim")
    if step.duration_us:
        line.append(f"  {_seconds(step.duration_us)}")
    if step.rows:
        line.append(f"  {step.rows:,} rows")
    if step.words:
        line.append(f"  {step.words}", "red" if step.state == "FAILED" else "yellow")
    return Group(line, _bar(step.progress)) if step.progress is not None else line


def _bar(progress: Progress) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=progress.total, completed=progress.done, width=BAR_WIDTH), amount(progress))
    return row


# Line by line


def line_of(told: Told) -> str:
    """What was told in one line without control characters."""
    if isinstance(told, Progress):
        return f"           {told.name}: {amount(told)}" if told.done else ""
    words = _words(told.body)
    about = f"{told.project} " + (f"{told.run_id[-6:]} " if told.run_id else f"{told.subject} ")
    line = f"{clock(told.time_us)} {about}{told.type}" + (f" {words}" if words else "")
    return one_line(line)


def _words(body: AnyBody) -> str:
    match body:
        case RunAccepted(flow=flow, trigger=trigger):
            return f"{flow} by {trigger or 'a call'}"
        case RunSucceeded(flow=flow, duration_us=took) | RunCancelled(flow=flow, duration_us=took):
            return f"{flow} after {_seconds(took)}"
        case RunFailed(flow=flow, failure=failure) | RunNeedsAttention(flow=flow, failure=failure):
            return f"{flow}: {_cause(failure)}"
        case (
            StepHeld(name=name, reason=reason)
            | StepEnded(name=name, reason=reason)
            | StepPreempting(name=name, reason=reason)
        ):
            return f"{name}: {reason}"
        case StepLeased(name=name, node=node, devices=devices):
            return f"{name} on {', '.join(devices) or node}"
        case StepSucceeded(name=name, duration_us=took, rows=rows):
            return f"{name} after {_seconds(took)}" + (f", {rows:,} rows" if rows else "")
        case StepFailed(name=name, failure=failure):
            return f"{name}: {_cause(failure)}"
        case ModelRegistered(name=name, version=version) | RunModelRegistered(name=name, version=version):
            return f"{name} version {version}"
        case DeploymentReady(name=name, version=version, url=url):
            return f"{name} version {version} at {url}"
        case TableCommitted(table=table, rows_added=rows):
            return f"{table}, {rows:,} rows more"
        case QuotaReclaimed(step_id=step_id, reason=reason):
            return f"{step_id}: {reason}"
        case CommandRefused(reason=reason) | EventRejected(reason=reason):
            return reason
        case _:
            return str(getattr(body, "name", "") or getattr(body, "flow", ""))


def amount(progress: Progress) -> str:
    done = f"{progress.done:,.0f}" + (f" of {progress.total:,.0f}" if progress.total else "")
    facts = [f"{done} {progress.unit}".rstrip()]
    if progress.percent is not None:
        facts.append(f"{progress.percent:.0f} %")
    if progress.rate:
        facts.append(f"{progress.rate:,.0f} {progress.unit}/s" if progress.unit else f"{progress.rate:,.1f}/s")
    if progress.left_s:
        facts.append(f"{seconds(progress.left_s)} left")
    return ", ".join([*facts, progress.note] if progress.note else facts)


def _cause(failure: Failure) -> str:
    return f"{failure.cause_type}: {failure.message}" if failure.cause_type else failure.message or failure.kind


def _seconds(duration_us: int) -> str:
    return f"{duration_us / 1e6:.1f} s"
