"""artifacts list|show|get: what steps gave back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from .fetch import items
from .forms import moment, size
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show, whole_id
from .output import print_json, say

SHOWN_MAX = 4_000
SEARCHED = 10_000
DIGEST_LENGTH = 64

artifacts = typer.Typer(no_args_is_help=True, help="Look at the results of steps, and fetch them.")
Digest = Annotated[str, typer.Argument(help="From `headwater artifacts list`; a part of it from either end is enough.")]


def register(app: typer.Typer) -> None:
    app.add_typer(artifacts, name="artifacts", rich_help_panel="Look")


@artifacts.command("list", help=LISTINGS["artifacts", "list"].help, epilog=example("headwater artifacts list"))
def list_artifacts(
    run: Annotated[str, typer.Option(help="Only of this run; its last characters are enough.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    step: Annotated[str, typer.Option(help="Only of the steps of this name.")] = "",
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    filters = {"run": whole_id(("runs",), run), "project": project, "step": step}
    show(("artifacts", "list"), filters, limit, as_json=as_json)


@artifacts.command("show", epilog=example("headwater artifacts show 0f00a08"))
def show_artifact(
    digest: Digest,
    rows: Annotated[int, typer.Option(min=0, max=1_000, help="How many of its first rows.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what an artifact is, which step made it, and how it begins. It is never unpickled."""
    with client() as hw:
        found = hw.artifacts[_whole(digest)]
        head = found.head(rows)
    view = found.view
    if as_json:
        print_json({**_fields(view), "head": head})
        return
    say(f"{found.about.get('type', view.codec)}, {size(view.size_bytes)}", style="bold")
    say(f"digest   {view.digest}")
    say(f"of       step {view.name} #{view.ordinal}, attempt {view.attempt}, run {view.run_id}, project {view.project}")
    say(f"made     {moment(view.created_us)}")
    say(f"codec    {view.codec}")
    if found.schema is not None:
        say(f"schema   {_short(found.schema)}")
    for line in _shown(head):
        say(line)


@artifacts.command("get", epilog=example("headwater artifacts get 0f00a08 trips.arrow"))
def get_artifact(digest: Digest, path: Annotated[Path, typer.Argument(help="Where it goes; - is the output.")]) -> None:
    """Fetch an artifact as it is kept: an Arrow, .npy or safetensors file, a text, a pickle."""
    with client() as hw:
        found = hw.artifacts[_whole(digest)]
        content = found.content()
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        return
    path.write_bytes(content)
    say(f"{path}: {size(len(content))}, {found.codec}")


@artifacts.command("collect", epilog=example("headwater artifacts collect --dry-run"))
def collect_artifacts(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and take nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take away what no kept run, model, code version or cache entry needs. The platform does so now and then."""
    with client() as hw:
        taken = hw.collect_artifacts(dry_run=dry_run)
    if as_json:
        print_json(taken)
        return
    say(f"{'Would take' if dry_run else 'Took'} {taken.count:,} artifacts, {size(taken.size_bytes)}")
    for digest in taken.largest if dry_run else ():
        say(f"  {digest}")


def _whole(digest: str) -> str:
    """The digest that begins or ends with what was given; raises InvalidInput where several do."""
    if len(digest) == DIGEST_LENGTH:
        return digest
    known = {str(item["digest"]) for item in items(LISTINGS["artifacts", "list"], {}, limit=SEARCHED)}
    found = [each for each in known if each.startswith(digest) or each.endswith(digest)]
    if len(found) > 1:
        raise InvalidInput(f"{digest!r} may be {len(found)} artifacts", remedy="Give more of its characters.")
    return found[0] if found else digest


def _fields(view: Any) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(view)
    return fields


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}… (--json has it all)"


def _shown(head: object) -> list[str]:
    if head is None:
        return ["It is kept as a pickle, which is not opened here: `headwater artifacts get` fetches it."]
    rows = head if isinstance(head, list) else [head]
    return ["begins with", *(f"  {_short(row)}" for row in rows)]
