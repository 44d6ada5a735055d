"""dlq: what could not be taken in."""

from __future__ import annotations

import typer

from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, show
from .output import console, moment, print_json

SHOWN_BYTES = 4_096

letters = typer.Typer(no_args_is_help=True, help="Look at dead letters: records that could not be taken in.")


def register(app: typer.Typer) -> None:
    app.add_typer(letters, name="dlq", rich_help_panel="Look")


@letters.command("list", help=LISTINGS["dlq", "list"].help)
def list_letters(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(("dlq", "list"), {}, limit, as_json=as_json)


@letters.command("show")
def show_letter(
    letter_id: str = typer.Argument(metavar="ID", help="From `headwater dlq list`."), as_json: AsJson = False
) -> None:
    """Show one dead letter with its raw bytes."""
    with client() as hw:
        letter = hw.dead_letter(letter_id)
    if as_json:
        print_json(letter)
        return
    out = console()
    out.print(f"{letter.code}: {letter.reason}", style="bold", markup=False)
    out.print(
        f"from {letter.topic}, partition {letter.partition}, offset {letter.offset}, {moment(letter.received_us)}"
    )
    out.print(
        f"event {letter.event_type or '-'} {letter.event_id or '-'} of {letter.event_source or '-'}", markup=False
    )
    out.print(f"trigger {letter.trigger or '-'}", markup=False)
    out.print(letter.raw[:SHOWN_BYTES].decode(errors="backslashreplace"), markup=False)
