"""dlq: what could not be taken in; replayed after a fix, or discarded."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from .fetch import items
from .forms import NONE, moment, one_line, size
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show, whole_id
from .output import print_json, say

SHOWN_BYTES = 4_096
AT_ONCE = 100
LETTERS_MAX = 100_000
Code = Annotated[str, typer.Option(help="Those with this code, such as bad_parameters.")]
Trigger = Annotated[str, typer.Option(help="Those of this trigger: project/flow/name.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="From `headwater dlq list`.")]
Every = Annotated[bool, typer.Option("--all", help="All that are open; --code and --trigger narrow them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many it would be, and do nothing.")]
Rate = Annotated[int, typer.Option(min=1, max=10_000, help="How many in a second at most.")]

letters = typer.Typer(no_args_is_help=True, help="Dead letters: what came and could not be taken in.")


def register(app: typer.Typer) -> None:
    app.add_typer(letters, name="dlq", rich_help_panel="Look")


@letters.command("list", help=LISTINGS["dlq", "list"].help, epilog=example("headwater dlq list --limit 10"))
def list_letters(
    state: Annotated[str, typer.Option(help="open, replayed or discarded.")] = "",
    code: Code = "",
    trigger: Trigger = "",
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    show(("dlq", "list"), {"state": state, "code": code, "trigger": trigger}, limit, as_json=as_json)


@letters.command("show", epilog=example("headwater dlq show 3f2a91"))
def show_letter(
    letter_id: str = typer.Argument(metavar="ID", help="From `headwater dlq list`; its last characters are enough."),
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its raw bytes."""
    with client() as hw:
        letter = hw.dead_letter(whole_id(("dlq", "list"), letter_id))
    if as_json:
        print_json(letter)
        return
    say(f"{letter.code}: {letter.reason}", style="bold red")
    place = f"{letter.topic}, partition {letter.partition}, offset {letter.offset}" if letter.topic else "HTTP"
    for name, text in (
        ("received", moment(letter.received_us)),
        ("from", place),
        ("event", f"{letter.event_type or NONE}, id {letter.event_id or NONE}, of {letter.event_source or NONE}"),
        ("trigger", letter.trigger),
        ("by", letter.principal),
    ):
        if text:
            say(f"{name:<9} {one_line(text)}")
    say(f"What came, {size(len(letter.raw))}:", style="bold")
    sys.stdout.write(_shown(letter.raw) + "\n")


@letters.command("replay", epilog=example("headwater dlq replay --all --code bad_parameters --dry-run"))
def replay(
    ids: Ids = None,
    every: Every = False,
    code: Code = "",
    trigger: Trigger = "",
    dry_run: DryRun = False,
    rate: Rate = 50,
) -> None:
    """Take dead letters up again after a fix; what still does not fit stays, with the reason."""
    _resolve("replay", _chosen(ids, every, code, trigger), dry_run=dry_run, rate=rate)


@letters.command("discard", epilog=example("headwater dlq discard 3f2a91"))
def discard(
    ids: Ids = None, every: Every = False, code: Code = "", trigger: Trigger = "", dry_run: DryRun = False
) -> None:
    """Put dead letters away for good; their bytes are dropped."""
    _resolve("discard", _chosen(ids, every, code, trigger), dry_run=dry_run, rate=10_000)


def _chosen(ids: list[str] | None, every: bool, code: str, trigger: str) -> list[str]:
    if bool(ids) == every or (ids and (code or trigger)):
        raise InvalidInput("Name dead letters by id, or choose them", remedy="--all takes --code and --trigger.")
    if ids:
        return [whole_id(("dlq", "list"), each) for each in ids]
    filters = {name: text for name, text in (("code", code), ("trigger", trigger)) if text}
    found = items(LISTINGS["dlq", "list"], filters, limit=LETTERS_MAX)
    return [str(letter["id"]) for letter in reversed(found)]  # the oldest first


def _resolve(verb: str, ids: list[str], *, dry_run: bool, rate: int) -> None:
    if dry_run:
        say(f"{len(ids):,} dead letters to {verb}")
        return
    resolved, left = 0, list[Any]()
    size = min(rate, AT_ONCE)
    with client() as hw:
        for start in range(0, len(ids), size):
            until = time.monotonic() + size / rate
            some = ids[start : start + size]
            answer = hw.replay(*some) if verb == "replay" else hw.discard(*some)
            resolved, left = resolved + len(answer.resolved), [*left, *answer.left]
            if start + size < len(ids):
                time.sleep(max(0.0, until - time.monotonic()))
    say(f"{verb}: {resolved:,} of {len(ids):,} dead letters")
    for one in left[:AT_ONCE]:
        say(f"{one.id} stays: {one.reason}", style="yellow")


def _shown(raw: bytes) -> str:
    """As text; what is no text as escapes, so that nothing can steer the terminal."""
    text = raw[:SHOWN_BYTES].decode(errors="backslashreplace")
    safe = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
    return safe if len(raw) <= SHOWN_BYTES else f"{safe}… (--json has it all)"
