"""quota explain|simulate|usage: why a step waits, what would happen if, what was used and what lay idle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..errors import InvalidInput
from .fetch import UNITS_S, since_us
from .forms import moment
from .listings import Column
from .options import AsJson, client, example
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from ..sdk import Client
    from ..wire.api.quota import Lack, Simulated, StepExplained, Used

USAGE: Final = (
    Column("project", "project"), Column("from", "from_us", "time"), Column("leased", "leased"),
    Column("running", "running"), Column("idle", "idle"), Column("used", "used"), Column("attempts", "attempts"),
)  # fmt: skip
NAMED: Final = 10
REASONS: Final = {
    "drained": "out of service", "model": "of another GPU model", "cpus": "short of CPUs", "memory": "short of memory",
    "devices": "without enough free GPU", "fragmented": "with enough free GPU only in pieces",
}  # fmt: skip


def register(group: typer.Typer) -> None:
    group.command(epilog=example("headwater quota explain fit", "headwater quota explain 0197c5d2-…/3"))(explain)
    group.command(epilog=example("headwater quota simulate what-if.toml"))(simulate)
    group.command(epilog=example("headwater quota priority fit 50"))(priority)
    group.command(epilog=example("headwater quota usage --since 7d --bucket 1d"))(usage)


def explain(
    step: Annotated[str, typer.Argument(metavar="STEP", help="RUN/ORDINAL, its last characters, or its name.")],
    as_json: AsJson = False,
) -> None:
    """Say why a step waits: what is short and by how much, who is ahead, what is kept for it, and when it may go."""
    with client() as hw:
        found = hw.explain_step(_whole_step(hw, step))
    if as_json:
        print_json(found)
        return
    say(found.sentence, style="bold")
    for line in told(found):
        say(f"  {line}")


def priority(
    step: Annotated[str, typer.Argument(metavar="STEP", help="RUN/ORDINAL, its last characters, or its name.")],
    value: Annotated[int, typer.Argument(metavar="PRIORITY", help="The higher goes first; 0 by itself.")],
) -> None:
    """Change the priority of a step that waits."""
    with client() as hw:
        step_id = _whole_step(hw, step)
        hw.order("quota.priority", {"step": step_id, "priority": value})
    say(f"{step_id} waits with priority {value}")


def told(found: StepExplained) -> Iterator[str]:
    """What there is to say beside the sentence, a line each."""
    for lack in found.lacks:
        yield from _lack(lack)
    yield from when(found)


def when(found: StepExplained) -> Iterator[str]:
    """Who is ahead, what is kept for the step, and when it should go."""
    if found.ahead:
        more = f" and {len(found.ahead) - NAMED} more" if len(found.ahead) > NAMED else ""
        yield f"ahead of it: {', '.join(found.ahead[:NAMED])}{more}"
    if found.kept is not None:
        yield f"kept for it: {', '.join(found.kept.devices or found.kept.nodes)}"
    if found.eta is not None:
        yield f"should go at {moment(found.eta.at_us)}: {found.eta.basis}"
    else:
        yield "when it should go nobody can say: what runs has declared no end, and too few like it have ended before"


def _lack(lack: Lack) -> Iterator[str]:
    from ..quota.units import shown

    if lack.bound_by:
        yield (
            f"{lack.flavour}: needs {shown(lack.flavour, lack.needed)}, may take {shown(lack.flavour, lack.room)}"
            f" (bounded by {lack.bound_by}); uses {shown(lack.flavour, lack.used)}"
            f" of {shown(lack.flavour, lack.nominal)} guaranteed"
        )
    elif lack.nodes:
        short = "; ".join(f"{lack.short[name]} {words}" for name, words in REASONS.items() if lack.short.get(name))
        yield f"{lack.flavour or 'nodes'}: of {lack.nodes} nodes {short or 'none is short by itself'}"
        yield f"now {lack.ranks} ranks would fit; the largest for one is {shown('gpu', lack.largest_milli)}"


def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario in TOML: quota, nodes, lost, steps.")],
    as_json: AsJson = False,
) -> None:
    """Say what would happen if: another tree, more work, nodes that come or go. Nothing is changed."""
    scenario = toml_of(file, remedy="Give a TOML file with steps, nodes, lost, drained or quota.")
    with client() as hw:
        found = hw.simulate_quota(scenario)
    if as_json:
        print_json(found)
        return
    for line in outcome(found):
        say(line)


def outcome(found: Simulated) -> Iterator[str]:
    """What a scenario would lead to, a line each."""
    from ..quota.units import shown

    for verb, steps in (
        ("would start", found.starts), ("would be ended for others", found.ends),
        ("would lose their node", found.homeless), ("would be refused", found.refused),
    ):  # fmt: skip
        if steps:
            more = f" and {len(steps) - NAMED} more" if len(steps) > NAMED else ""
            yield f"{len(steps)} {verb}: {', '.join(steps[:NAMED])}{more}"
    if found.waits:
        yield f"{len(found.waits)} would wait, the first because: {found.waits[0].sentence}"
    for loss in found.losses:
        yield (
            f"{loss.project} would hold {shown(loss.flavour, loss.amount)} beyond its guarantee of "
            f"{shown(loss.flavour, loss.guaranteed_after)} (it was {shown(loss.flavour, loss.guaranteed_before)})"
        )
    if not (found.starts or found.ends or found.homeless or found.refused or found.waits or found.losses):
        yield "Nothing would change."


def usage(
    since: Annotated[str, typer.Option(help="From an age (15m, 2h, 3d) or a time.")] = "1d",
    until: Annotated[str, typer.Option(help="To an age or a time; now if not given.")] = "",
    bucket: Annotated[str, typer.Option(help="Stretches of this length (15m, 1h, 1d); one if not given.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how long each project had GPUs, and how much of that they lay idle."""
    with client() as hw:
        found = hw.quota_usage(
            from_us=since_us(since),
            to_us=since_us(until) if until else None,
            bucket_s=_seconds(bucket) if bucket else None,
            project=project or None,
        )
    if as_json:
        print_json(found)
    else:
        print_table(USAGE, [_row(each) for each in found.items], empty="No device was leased in that time.")


def toml_of(path: Path, *, remedy: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", remedy=remedy) from None


def _row(used: Used) -> Mapping[str, Any]:
    share = f"{100 * used.running_gpu_ms / used.leased_gpu_ms:.0f} %" if used.leased_gpu_ms else ""
    times = {name: _gpu_time(getattr(used, f"{name}_gpu_ms")) for name in ("leased", "running", "idle")}
    return {**times, "project": used.project, "from_us": used.from_us, "used": share, "attempts": used.attempts}


def _gpu_time(gpu_ms: int) -> str:
    hours, rest = divmod(gpu_ms // 1000, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02} GPU h"


def _seconds(text: str) -> int:
    if not (text[:-1].isdigit() and text[-1:] in UNITS_S):
        raise InvalidInput(f"{text!r} is no length of time", remedy="Give for example 15m, 1h or 1d.")
    return int(text[:-1]) * UNITS_S[text[-1]]


def _whole_step(hw: Client, given: str) -> str:
    """The id of the waiting step that is meant. Raises InvalidInput where several are."""
    waiting = hw.quota().waiting
    found = [each.step_id for each in waiting if each.step_id.endswith(given)] or [
        each.step_id for each in waiting if each.name == given
    ]
    if len(found) > 1 and given not in found:
        some = ", ".join(found[:3])
        raise InvalidInput(f"{given!r} may be {len(found)} waiting steps: {some}", remedy="Give RUN/ORDINAL.")
    return given if not found or given in found else found[0]
