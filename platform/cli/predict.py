"""predict."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..errors import InvalidInput
from .listings import Column
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example
from .output import print_json, print_table


def register(app: typer.Typer) -> None:
    epilog = example("headwater predict delay --file flights.csv", "headwater predict delay --file rows.json --json")
    app.command(rich_help_panel="Act", epilog=epilog)(predict)


def predict(
    model: Annotated[str, typer.Argument(help="The model's name, from `headwater models`.")],
    file: Annotated[Path, typer.Option(help="The features: .json (columns or rows), .jsonl, .csv, .parquet, .arrow.")],
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Predict with a served model over HTTP."""
    given = features(file)
    with client() as hw:
        outputs = hw.models[model].predict(given)
    columns = {name: array.tolist() for name, array in outputs.items()}
    if as_json:
        print_json(columns)
        return
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    print_table([Column(name, name, "figure") for name in columns], rows[:limit], empty="There are no rows.")


def features(file: Path) -> Any:
    """The columns of a file: a dict, or an Arrow table. Raises InvalidInput where it cannot be read."""
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{file} is of no kind that can be read", remedy=f"Give one of {', '.join(READERS)}.")
    try:
        return reader(file)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InvalidInput(f"{file} cannot be read: {reason}", remedy="Check the path.") from None
    except ValueError as error:
        raise InvalidInput(f"{file} cannot be read: {error}", remedy="Check its content.") from None


def _json(file: Path) -> Any:
    said = json.loads(file.read_text())
    if isinstance(said, list):
        return _columns(said)
    if isinstance(said, dict):
        return {name: values if isinstance(values, list) else [values] for name, values in said.items()}
    raise ValueError("it holds neither columns {name: [values]} nor rows [{name: value}]")


def _json_lines(file: Path) -> Any:
    return _columns([json.loads(line) for line in file.read_text().splitlines() if line.strip()])


def _columns(rows: list[Any]) -> dict[str, list[Any]]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is {row!r:.40}, not an object {{name: value}}")
        if missing := rows[0].keys() ^ row.keys():
            raise ValueError(f"rows 1 and {number} differ in {', '.join(map(repr, sorted(missing)))}")
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _csv(file: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(file)


def _parquet(file: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(file)


def _arrow(file: Path) -> Any:
    """An IPC file, or a stream of the same batches."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


READERS: Final[Mapping[str, Callable[[Path], Any]]] = {
    ".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet,
    ".arrow": _arrow, ".arrows": _arrow, ".feather": _arrow,
}  # fmt: skip
