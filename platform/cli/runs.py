"""runs, run start|show|cancel|logs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ..errors import InvalidInput
from .listings import LISTINGS, Column
from .options import DEFAULT_LIMIT, AsJson, Limit, client, show
from .output import STATE_STYLE, console, duration, print_json, print_table

if TYPE_CHECKING:
    from ..wire.api import RunDetail, StepView

run = typer.Typer(no_args_is_help=True, help="Start, show, cancel one run, or read its logs.")
RunId = Annotated[str, typer.Argument(metavar="ID", help="From `headwater runs`.")]


def register(app: typer.Typer) -> None:
    app.command("runs", help=LISTINGS["runs",].help, rich_help_panel="Look")(list_runs)
    app.add_typer(run, name="run", rich_help_panel="Look")


def list_runs(
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    flow: Annotated[str, typer.Option(help="Only of this flow.")] = "",
    state: Annotated[str, typer.Option(help="Only in this state, such as FAILED.")] = "",
    since: Annotated[str, typer.Option(help="Only newer than an age (15m, 2h, 3d) or a time.")] = "",
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    filters = {"project": project, "flow": flow, "state": state.upper(), "since": since}
    show(("runs",), filters, limit, as_json=as_json)


@run.command("start")
def start_run(
    flow: Annotated[str, typer.Argument(help="FLOW or PROJECT/FLOW.")],
    parameter: Annotated[list[str], typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Repeatable.")] = [],  # noqa: B006
    key: Annotated[str, typer.Option(help="The same key twice starts one run.")] = "",
    as_json: AsJson = False,
) -> None:
    """Start a run of a flow with parameters. Example: headwater run start train_delay -p month=10"""
    with client() as hw:
        started = hw.run(flow, dict(map(_parameter, parameter)), key=key or None)
    if as_json:
        print_json({"id": started.id})
    else:
        console().print(f"Started {flow}: run {started.id}. `headwater watch {started.id}` shows it.", markup=False)


@run.command("show")
def show_run(run_id: RunId, as_json: AsJson = False) -> None:
    """Show a run: its steps with their attempts, why one waits, how it failed."""
    with client() as hw:
        found = hw.runs[run_id].detail()
    if as_json:
        print_json(found)
    else:
        _print(found)


@run.command("cancel")
def cancel_run(run_id: RunId, reason: Annotated[str, typer.Option(help="Kept with the run.")] = "") -> None:
    """Cancel a run: its steps are stopped, its devices given back."""
    with client() as hw:
        hw.runs[run_id].cancel(reason)
    console().print(f"Run {run_id} is being cancelled", markup=False)


@run.command("logs")
def read_logs(run_id: RunId, step: Annotated[str, typer.Option(help="Only of the steps of this name.")] = "") -> None:
    """Print what the flow and its steps wrote, and the traceback of what failed."""
    with client() as hw:
        detail, text = hw.runs[run_id].detail(), hw.runs[run_id].logs(step or None)
    sys.stdout.write(text)
    for frames in _failures(detail):
        if frames not in text:
            sys.stdout.write(frames.rstrip() + "\n")


def _print(found: RunDetail) -> None:
    out = console()
    out.print(Text(f"{found.project}/{found.flow} ") + Text(found.state, STATE_STYLE.get(found.state, "")))
    out.print(
        f"run {found.id}, {found.trigger or 'called'}, by {found.principal}, code {found.code_version[:12]}",
        markup=False,
    )
    out.print(
        f"parameters {json.dumps(found.parameters)}, took {duration(found.started_us, found.ended_us)}", markup=False
    )
    print_table(STEP_COLUMNS, [_row(step) for step in found.steps], empty="It has called no steps.")
    if found.steps_total > len(found.steps):
        out.print(f"… and {found.steps_total - len(found.steps):,} more steps")
    for model in found.models:
        out.print(f"registered model {model.name} version {model.version}", markup=False)
    if found.result is not None:
        out.print(f"result {json.dumps(found.result)}", markup=False)
    if found.failure is not None:
        out.print(
            f"{found.failure.cause_type or found.failure.kind}: {found.failure.message}", style="red", markup=False
        )
        out.print(found.failure.frames, markup=False)


STEP_COLUMNS = (
    Column("step", "step"), Column("state", "state", "state"), Column("attempts", "attempts", "number"),
    Column("took", "took"), Column("rows", "rows", "number"), Column("memory", "memory", "bytes"),
    Column("device", "device"), Column("why", "why"),
)  # fmt: skip


def _row(step: StepView) -> dict[str, Any]:
    last = step.attempts[-1] if step.attempts else None
    why = step.held_reason if step.state == "WAITING" else step.failure.message if step.failure else ""
    return {
        "step": f"{step.name} #{step.ordinal}",
        "state": step.state,
        "attempts": len(step.attempts),
        "took": duration(last.started_us or last.leased_us, last.ended_us) if last else "-",
        "rows": (last.rows or None) if last else None,
        "memory": (last.peak_memory_bytes or None) if last else None,
        "device": ", ".join(last.devices) or last.node if last else "",
        "why": why,
    }


def _failures(found: RunDetail) -> list[str]:
    every = [step.failure for step in found.steps] + [found.failure]
    return list(dict.fromkeys(failure.frames for failure in every if failure is not None and failure.frames))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"{text!r} is no parameter", remedy="Write it as NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
