"""predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput
from .listings import Column
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example
from .output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping


def register(app: typer.Typer) -> None:
    epilog = example("headwater predict delay --file flights.csv", "headwater predict delay --file rows.json --json")
    app.command(rich_help_panel="Act", epilog=epilog)(predict)


def predict(
    model: Annotated[str, typer.Argument(help="The model's name, from `headwater models`.")],
    file: Annotated[Path, typer.Option(help="The features: .json (columns, or rows), .csv, .parquet or .arrow.")],
    limit: Limit = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Predict with a served model over HTTP."""
    features = _features(file)
    with client() as hw:
        outputs = hw.models[model].predict(features)
    columns = {name: array.tolist() for name, array in outputs.items()}
    if as_json:
        print_json(columns)
        return
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    print_table([Column(name, name) for name in columns], rows[:limit], empty="There are no rows.")


def _features(file: Path) -> Any:
    try:
        return _READERS[file.suffix](file)
    except KeyError:
        known = ", ".join(_READERS)
        raise InvalidInput(f"{file} is of no kind that can be read", remedy=f"Give one of {known}.") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", remedy="Check the path and its content.") from None


def _json(file: Path) -> Any:
    import json

    said = json.loads(file.read_text())
    if isinstance(said, list) and said and all(isinstance(row, dict) for row in said):
        return {name: [row.get(name) for row in said] for name in said[0]}
    if isinstance(said, dict):
        return {name: values if isinstance(values, list) else [values] for name, values in said.items()}
    raise ValueError("it holds neither columns {name: [values]} nor rows [{name: value}]")


def _csv(file: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(file)


def _parquet(file: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(file)


def _arrow(file: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


_READERS: Mapping[str, Any] = {".json": _json, ".csv": _csv, ".parquet": _parquet, ".arrow": _arrow}
