"""runs, run start|show|cancel|resume|accept|retry|fail|logs."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput, NotFound, Unavailable, did_you_mean
from ..wire.labels import labels_of
from .forms import frames
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show, whole_id
from .output import console, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..sdk import Client
    from ..wire.api.quota import StepExplained
    from ..wire.api.runs import RunDetail
    from ..wire.terms import Failure

EXPLAINED_MAX = 3
LIST_EXAMPLES = example("headwater runs", "headwater runs --flow train_delay --state FAILED --since 2h")

run = typer.Typer(no_args_is_help=True, help="Start, show, cancel one run, or read its logs.")
RunId = Annotated[str, typer.Argument(metavar="ID", help="From `headwater runs`; its last characters are enough.")]

Labels = Annotated[list[str], typer.Option("--label", metavar="NAME=VALUE", help="To find it by. Repeatable.")]
Step = Annotated[str, typer.Option(help="Its name or key, where several steps need attention.")]


def register(app: typer.Typer) -> None:
    app.command("runs", help=LISTINGS["runs",].help, rich_help_panel="Look", epilog=LIST_EXAMPLES)(list_runs)
    app.add_typer(run, name="run", rich_help_panel="Look")


def list_runs(
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    flow: Annotated[str, typer.Option(help="Only of this flow.")] = "",
    state: Annotated[str, typer.Option(help="Only in this state, such as FAILED.")] = "",
    since: Annotated[str, typer.Option(help="Only newer than an age (15m, 2h, 3d) or a time.")] = "",
    parameter: Annotated[str, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Only with this one.")] = "",
    label: Annotated[str, typer.Option(metavar="NAME=VALUE", help="Only those that carry it.")] = "",
    error: Annotated[str, typer.Option(help="Only failed ones whose failure holds all these words.")] = "",
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    filters = {
        "project": project,
        "flow": flow,
        "state": state.upper(),
        "since": since,
        "parameter": parameter,
        "label": label,
        "error": error,
    }
    show(("runs",), filters, limit, as_json=as_json)


@run.command("start", epilog=example("headwater run start train_delay -p rounds=20 --key nightly-7"))
def start_run(
    flow: Annotated[str, typer.Argument(help="FLOW or PROJECT/FLOW.")],
    parameter: Annotated[list[str], typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Repeatable.")] = [],  # noqa: B006
    key: Annotated[str, typer.Option(help="The same key twice starts one run.")] = "",
    label: Labels = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Start a run of a flow with parameters; a value is JSON, or else text."""
    with client() as hw:
        started = hw.run(flow, dict(map(_parameter, parameter)), key=key or None, labels=labels_of(label))
    if as_json:
        print_json({"id": started.id})
    else:
        say(f"Started {flow}: run {started.id}. `headwater watch {started.id[-6:]}` shows it.")


@run.command("show", epilog=example("headwater run show 22bf82"))
def show_run(run_id: RunId, as_json: AsJson = False) -> None:
    """Show a run: its steps with their attempts, why one waits, what it made, how it failed."""
    from .run_show import lines

    with client() as hw:
        found = hw.runs[whole_id(("runs",), run_id)].detail()
        if as_json:
            print_json(found)
            return
        made = [model for model in hw.models() if model.run_id == found.id] if found.models else []
        explained = _explained(hw, found)
    out = console()
    for line in lines(found, made, explained):
        out.print(line)


def _explained(hw: Client, found: RunDetail) -> dict[str, StepExplained]:
    """By step, why the first of those that wait do, as the Scheduler sees it now; without it the rows say it."""
    explained: dict[str, StepExplained] = {}
    for step in [step for step in found.steps if step.state == "WAITING"][:EXPLAINED_MAX]:
        with suppress(NotFound, Unavailable):  # it has begun meanwhile, or the Scheduler is away
            explained[step.id] = hw.explain_step(step.id)
    return explained


@run.command("cancel", epilog=example("headwater run cancel 22bf82 --reason 'wrong month'"))
def cancel_run(run_id: RunId, reason: Annotated[str, typer.Option(help="Kept with the run.")] = "") -> None:
    """Cancel a run: its steps are stopped, its devices given back."""
    run_id = whole_id(("runs",), run_id)
    with client() as hw:
        hw.runs[run_id].cancel(reason)
    say(f"Run {run_id} is being cancelled")


@run.command("resume", epilog=example("headwater run resume 22bf82"))
def resume_run(
    run_id: RunId,
    same_code: Annotated[bool, typer.Option("--same-code", help="The code of that run, not the newest.")] = False,
) -> None:
    """Start a run that reuses what a failed one has finished."""
    with client() as hw:
        resumed = hw.runs[whole_id(("runs",), run_id)].resume(same_code=same_code)
    say(f"Run {resumed.id} goes on from {run_id}. `headwater watch {resumed.id[-6:]}` shows it.")


@run.command("accept", epilog=example("headwater run accept 22bf82 --value '{\"paid\": true}'"))
def accept_run(
    run_id: RunId,
    value: Annotated[str, typer.Option(help="What the step gave, as JSON.")] = "null",
    step: Step = "",
) -> None:
    """Say that the lost attempt of a run that needs attention did its work."""
    try:
        given = json.loads(value)
    except ValueError as error:
        raise InvalidInput(f"--value {value!r} is no JSON ({error})", remedy="Write null, 3, or '\"text\"'") from None
    with client() as hw:
        hw.runs[whole_id(("runs",), run_id)].accept(given, step)
    say(f"Run {run_id} goes on with that value")


@run.command("retry", epilog=example("headwater run retry 22bf82 --force"))
def retry_run(
    run_id: RunId,
    step: Step = "",
    force: Annotated[bool, typer.Option("--force", help="Also while the lost process may be at work.")] = False,
) -> None:
    """Try a step again: the one that a run needs attention for, or one of a run that failed or was cancelled."""
    run_id = whole_id(("runs",), run_id)
    with client() as hw:
        again = hw.runs[run_id].retry(step, force=force)
    where = "" if again.id == run_id else f" as {again.id}. `headwater watch {again.id[-6:]}` shows it."
    say(f"Run {run_id} tries again{where}")


@run.command("fail", epilog=example("headwater run fail 22bf82 --reason 'the bank says no'"))
def fail_run(
    run_id: RunId, reason: Annotated[str, typer.Option(help="Kept with the run.")] = "", step: Step = ""
) -> None:
    """Say that the step that a run needs attention for has failed."""
    with client() as hw:
        hw.runs[whole_id(("runs",), run_id)].fail(reason, step)
    say(f"Run {run_id} goes on without it")


@run.command("logs", epilog=example("headwater run logs 22bf82", "headwater run logs 22bf82 --step fit --follow"))
def read_logs(
    run_id: RunId,
    step: Annotated[str, typer.Option(help="Only of the steps of this name.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while they write, until the run ends.")] = False,
) -> None:
    """Print what the flow and its steps wrote, and the traceback of what failed."""
    if follow:
        follow_logs(whole_id(("runs",), run_id), step)
        return
    with client() as hw:
        chosen = hw.runs[whole_id(("runs",), run_id)]
        failure, steps, text = chosen.detail().failure, chosen.steps, chosen.logs(step or None)
    if step and step not in steps:
        raise NotFound(f"Run {chosen.id} has called no step '{step}'", remedy=did_you_mean(step, set(steps)))
    sys.stdout.write(text)
    called = steps.get(step, []) if step else [each for some in steps.values() for each in some]
    failures = [each.failure for each in sorted(called, key=lambda each: each.ordinal)]
    traces = [trace for trace in _traces([*failures, None if step else failure]) if trace not in text]
    sys.stdout.writelines(f"{trace}\n" for trace in traces)
    if not text and not traces:
        print("Nothing was written.", file=sys.stderr)


def follow_logs(run_id: str, step: str) -> None:
    """Prints each line after the step that wrote it, as it comes."""
    with client() as hw:
        for text in hw.runs[run_id].logs(step or None, follow=True):
            source = text.name if text.ordinal < 0 else f"{text.name} #{text.ordinal}"
            if text.left_out:
                print(f"{source} | [... {text.left_out:,} bytes are left out here ...]")
            sys.stdout.writelines(f"{source} | {line}\n" for line in text.text.splitlines())
            sys.stdout.flush()


def _traces(failures: Iterable[Failure | None]) -> list[str]:
    """The tracebacks of what failed, each once."""
    told = ["\n".join(frames(failure.frames)) for failure in failures if failure is not None and failure.frames]
    return list(dict.fromkeys(told))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"{text!r} is no parameter", remedy="Write it as NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
