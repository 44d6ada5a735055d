"""Pages and searches of a store with a million runs, at the top and deep down, beside a look by primary key.

The rows are as a Conductor would leave them, made by the database itself: 50 flows of 10 projects, one run in 100
failed, a parameter of 365 values. Each listing is asked for its first page and for one far down. Goal: every p50 at
most 50 ms. PostgreSQL is measured where Debian's package is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec
import sqlalchemy as sa
from lab import p50, p99, verdict
from speed import loop_s
from stores import ABSENT, stores

from headwater.core.records.runs import Run, RunState
from headwater.store.engine import create, open_engine
from headwater.store.queries import Queries
from headwater.store.rows import codecs
from headwater.store.run_search import RunFilter
from headwater.store.run_terms import terms_of
from headwater.store.schema import RUNS as RUNS_TABLE
from headwater.wire.ids import RANDOM_BYTES, uuid7
from headwater.wire.terms import Failure

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
SAMPLES = 40
T0: Final = 1_760_000_000_000_000
FAILURE: Final = Failure(kind="exception", message="There is no column 'speed'.", cause_type="KeyError")
VARIED: Final = {
    "project": "'team-' || (i % 10)",
    "flow": "'flow-' || (i % 50)",
    "state": "CASE WHEN i % 100 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END",
    "failure": "CASE WHEN i % 100 = 0 THEN :failure END",
    "idempotency_key": "'k' || i",
    "parameters": """'{"day":' || (i % 365) || '}'""",
    **dict.fromkeys(("created_us", "started_us", "ended_us"), f"{T0} + i * 1000"),
}
_DIALECTS: Final = {
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last)",
        "printf('%012x', {})",
    ),
    "postgresql": (
        "WITH n AS (SELECT i FROM generate_series(CAST(0 AS bigint), CAST(:last AS bigint)) i)",
        "lpad(to_hex({}), 12, '0')",
    ),
}
"""For each database: the numbers from 0 to :last, and twelve hexadecimal digits of a number."""
LISTINGS: Final = {
    "all": RunFilter(),
    "a project": RunFilter(project="team-3"),
    "a flow": RunFilter(flow="flow-7"),
    "failed": RunFilter(state="FAILED"),
    "a day": RunFilter(since_us=T0 + RUNS // 2 * 1_000, until_us=T0 + (RUNS // 2 + 86_400) * 1_000),
    "a parameter": RunFilter(parameters=("day=17",)),
    "words of an error": RunFilter(error="KeyError speed"),
}


def main() -> None:
    print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS} runs")
    found = {}
    with stores() as fresh:
        for store, make in fresh.items():
            url = make()
            began = time.perf_counter()
            fill(url)
            print(f"{store}, filled in {time.perf_counter() - began:.0f} s\n{'':24}{'p50 ms':>9}{'p99 ms':>9}")
            found[store] = measured(Queries(open_engine(url, read_only=True)))
    slowest = max(found.values())
    verdict("list_runs", value=slowest[0], unit="ms", floor=slowest[1], goal=50, holds=slowest[0] <= 50,
            runs=RUNS, stores={store: round(taken[0], 2) for store, taken in found.items()})  # fmt: skip
    if ABSENT:
        print(ABSENT)


def measured(queries: Queries) -> tuple[float, float]:
    """The p50 of the slowest listing, and of a look by primary key."""
    by_key = [timed(lambda n=n: queries.run_project(id_of(n * 7_919 % RUNS))) for n in range(SAMPLES)]
    assert queries.run_project(id_of(RUNS - 1)) == f"team-{(RUNS - 1) % 10}"
    print(f"{'by primary key':24}{p50(by_key):9.2f}{p99(by_key):9.2f}")
    slowest = max(p50(shown(name, place, queries, one)) for name, one in LISTINGS.items() for place in (None, 0.9))
    return slowest, p50(by_key)


def shown(name: str, depth: float | None, queries: Queries, chosen: RunFilter) -> list[float]:
    """Times of a page, at the top or so deep that the share `depth` of all runs is newer."""
    after = None if depth is None else msgspec.json.encode((id_of(int(RUNS * (1 - depth))),)).decode()
    taken = [timed(lambda: queries.runs(chosen, after=after, limit=50)) for _ in range(SAMPLES)]
    print(f"{name + (', deep' if depth else ', top'):24}{p50(taken):9.2f}{p99(taken):9.2f}")
    return taken


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def fill(url: str) -> None:
    """A run of each number with the terms that it is found by, written by one statement each."""
    create(url, store_epoch="bench")
    engine = open_engine(url)
    numbers, hexadecimal = _DIALECTS[engine.dialect.name]
    varied = {**VARIED, "id": _id(hexadecimal), "root_id": _id(hexadecimal)}
    same = dict(zip(RUNS_TABLE.columns.keys(), codecs()["runs"].values(a_run()), strict=True))
    same = {name: value for name, value in same.items() if name not in varied and value is not None}
    chosen = ", ".join([*varied.values(), *(f":{name}" for name in same)])
    insert = f"INSERT INTO runs ({', '.join([*varied, *same])}) {numbers} SELECT {chosen} FROM n"
    about = f"INSERT INTO run_terms (run_id, term) {numbers} SELECT {varied['id']}"
    with engine.begin() as connection:
        bounds = {"last": RUNS - 1, "failure": msgspec.json.encode(FAILURE).decode()}
        connection.execute(sa.text(insert), {**same, **bounds})
        connection.execute(sa.text(f"{about}, 'parameter:day=' || (i % 365) FROM n"), {"last": RUNS - 1})
        for term in terms_of(None, FAILURE):
            connection.execute(sa.text(f"{about}, :term FROM n WHERE i % 100 = 0"), {"last": RUNS - 1, "term": term})
    if engine.dialect.name == "postgresql":  # as autovacuum does in its time
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE runs"))
            connection.execute(sa.text("VACUUM ANALYZE run_terms"))
    engine.dispose()


def _id(hexadecimal: str) -> str:
    """What `id_of` gives, in SQL."""
    time_ms, number = (hexadecimal.format(value) for value in (f"{T0 // 1_000} + i", "i"))
    return f"substr({time_ms}, 1, 8) || '-' || substr({time_ms}, 9, 4) || '-7000-8000-' || {number}"


def id_of(number: int) -> str:
    return uuid7(T0 + number * 1_000, number.to_bytes(8).ljust(RANDOM_BYTES, b"\0"))


def a_run() -> Run:
    """What all of them have in common."""
    return Run(
        id="", root_id="", project="", flow="", code_version="v1", state=RunState.SUCCEEDED, idempotency_key="",
        principal="bench", parameters={}, created_us=0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
