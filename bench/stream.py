"""How fast a table streams into a training process, beside pyiceberg and beside bare Parquet decoding.

The floor decodes the same row groups with the same number of threads and throws them away: no plan,
no order, no bound. Best of several passes each, alternating, warm file cache, one process.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.data import catalog as catalogs
from headwater.data.commit import Append, append_batches
from headwater.data.plan import Delivery
from headwater.data.scan import plan
from headwater.data.snapshot import Snapshot
from headwater.data.stream import stream

NAME, ROWS, BATCH, PASSES, THREADS, GOAL = "lake.bench", 4_194_304, 131_072, 5, 2, 1.25
SCHEMA = pa.schema([*(pa.field(f"x{i}", pa.float32()) for i in range(8)), ("id", pa.int64()), ("carrier", pa.string())])


def batches() -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(1)
    carriers = np.array([f"C{i:02}" for i in range(20)])
    for begin in range(0, ROWS, BATCH):
        columns = [pa.array(rng.random(BATCH, dtype=np.float32)) for _ in range(8)]
        ids = pa.array(np.arange(begin, begin + BATCH))
        yield pa.record_batch([*columns, ids, pa.array(carriers[rng.integers(0, 20, BATCH)])], schema=SCHEMA)


def by_stream(snapshot: Snapshot) -> int:
    return sum(batch.num_rows for batch in stream(plan(snapshot), Delivery(threads=THREADS)))


def by_pyiceberg(snapshot: Snapshot) -> int:
    return int(catalogs.open_snapshot(snapshot).scan().to_arrow().num_rows)


def by_parquet(snapshot: Snapshot) -> int:
    tasks = catalogs.open_snapshot(snapshot).scan().plan_files()
    paths = [task.file.file_path.removeprefix("file://") for task in tasks]
    files = [(path, pq.read_metadata(path)) for path in paths]
    units = [(path, footer, group) for path, footer in files for group in range(footer.num_row_groups)]
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(_decoded_rows, units))


def _decoded_rows(unit: tuple[str, pq.FileMetaData, int]) -> int:
    path, footer, group = unit
    with pq.ParquetFile(path, metadata=footer, pre_buffer=False) as file:
        return int(file.read_row_group(group, use_threads=False).num_rows)


def best(readers: dict[str, Callable[[Snapshot], int]], snapshot: Snapshot) -> dict[str, float]:
    """The shortest pass of each, in seconds, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(PASSES):
        for name, reader in readers.items():
            begin = time.perf_counter()
            assert reader(snapshot) == ROWS
            taken[name].append(time.perf_counter() - begin)
    return {name: min(times) for name, times in taken.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, catalogs.opened(catalogs.embedded(Path(folder))) as catalog:
        append_batches(catalog, Append(NAME, (), "bench"), SCHEMA, batches())
        snapshot = catalogs.resolve(catalog, NAME)
        seconds = best({"stream": by_stream, "pyiceberg": by_pyiceberg, "parquet": by_parquet}, snapshot)
    size_gb = ROWS * (8 * 4 + 8 + 4 + 3) / 1e9
    print(f"{'reader':<12}{'M rows/s':>10}{'GB/s':>8}")
    for name, second in seconds.items():
        print(f"{name:<12}{ROWS / second / 1e6:>10.1f}{size_gb / second:>8.2f}")
    ratio = seconds["stream"] / seconds["parquet"]
    result = {
        "bench": "stream",
        "value": round(ROWS / seconds["stream"]),
        "unit": "rows/s",
        "floor": round(ROWS / seconds["parquet"]),
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "holds": ratio <= GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
