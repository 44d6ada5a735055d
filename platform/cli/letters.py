"""dlq: what could not be taken in."""

from __future__ import annotations

import sys

import typer

from .forms import NONE, moment, one_line, size
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show, whole_id
from .output import print_json, say

SHOWN_BYTES = 4_096

letters = typer.Typer(no_args_is_help=True, help="Look at dead letters: records that could not be taken in.")


def register(app: typer.Typer) -> None:
    app.add_typer(letters, name="dlq", rich_help_panel="Look")


@letters.command("list", help=LISTINGS["dlq", "list"].help, epilog=example("headwater dlq list --limit 10"))
def list_letters(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(("dlq", "list"), {}, limit, as_json=as_json)


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


def _shown(raw: bytes) -> str:
    """As text; what is no text as escapes, so that nothing can steer the terminal."""
    text = raw[:SHOWN_BYTES].decode(errors="backslashreplace")
    safe = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
    return safe if len(raw) <= SHOWN_BYTES else f"{safe}… (--json has it all)"
