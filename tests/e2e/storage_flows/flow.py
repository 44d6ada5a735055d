"""A project that keeps what it makes."""

from __future__ import annotations

import os

from headwater.sdk import Table, flow, on, step


@flow(project="hoard")
def keep(size: int) -> int:
    return len(make(size).result())


@step(retries=2, backoff=0)
def make(size: int) -> bytes:
    return os.urandom(size)


@flow(project="hoard")
def write(rows: int) -> int:
    return int(write_rows(rows).result())


@step
def write_rows(rows: int) -> int:
    import pyarrow as pa

    noise = pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(os.urandom(8 * rows))])
    Table("lake.hoard").append(pa.table({"n": noise}))
    return rows


@flow(project="hoard", on=on.event("headwater.quota.storage", where="data.project == 'hoard' && data.level != 'ok'"))
def clear_up(level: str) -> str:
    return level
