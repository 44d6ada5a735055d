"""Pages and searches of a store with a million runs, at the top and deep down, beside a look by primary key.

The rows are made as a Conductor would leave them: 50 flows of 10 projects, one run in 100 failed, a parameter of
365 values. Each listing is asked for its first page and for one far down. Goal: every p50 at most 50 ms.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from lab import p50, p99, verdict
from speed import loop_s

from headwater.core.records import Run, RunState
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.queries import Queries
from headwater.store.rows import codecs
from headwater.store.run_search import RunFilter
from headwater.store.run_terms import terms_of
from headwater.store.session import Session
from headwater.store.statements import Statements
from headwater.wire.ids import RANDOM_BYTES, uuid7
from headwater.wire.types import Failure

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
SAMPLES, GROUP = 40, 10_000
T0: Final = 1_760_000_000_000_000
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
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        url = sqlite_url(Path(folder) / "store.db")
        began = time.perf_counter()
        fill(url)
        print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS} runs stored in {time.perf_counter() - began:.0f} s")
        queries = Queries(open_engine(url, read_only=True))
        by_key = [timed(lambda n=n: queries.run_project(id_of(n * 7_919 % RUNS))) for n in range(SAMPLES)]
        print(f"{'':24}{'p50 ms':>9}{'p99 ms':>9}\n{'by primary key':24}{p50(by_key):9.2f}{p99(by_key):9.2f}")
        slowest = max(p50(shown(name, place, queries, one)) for name, one in LISTINGS.items() for place in (None, 0.9))
    verdict("list_runs", value=slowest, unit="ms", floor=p50(by_key), goal=50, holds=slowest <= 50)


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
    create(url, store_epoch="bench")
    engine = open_engine(url)
    session, sql, codec = Session(engine), Statements(engine.dialect), codecs()["runs"]
    numbers = iter(range(RUNS))
    while runs := [a_run(number) for number in itertools.islice(numbers, GROUP)]:
        with session.transaction() as work:
            work.many(sql.upsert("runs"), [codec.values(run) for run in runs])
            work.many(sql.insert_terms, list(term_rows(runs)))
    engine.dispose()


def term_rows(runs: list[Run]) -> Iterator[tuple[str, str]]:
    for run in runs:
        yield from ((run.id, term) for term in terms_of(run.parameters, run.failure))


def id_of(number: int) -> str:
    return uuid7(T0 + number * 1_000, number.to_bytes(8).ljust(RANDOM_BYTES, b"\0"))


def a_run(number: int) -> Run:
    failed = number % 100 == 0
    fields: dict[str, Any] = {"id": id_of(number), "root_id": id_of(number)}
    if failed:
        fields["failure"] = Failure(kind="exception", message="There is no column 'speed'.", cause_type="KeyError")
    return Run(
        project=f"team-{number % 10}",
        flow=f"flow-{number % 50}",
        code_version="v1",
        state=RunState.FAILED if failed else RunState.SUCCEEDED,
        idempotency_key=f"k{number}",
        principal="bench",
        parameters={"day": number % 365},
        created_us=T0 + number * 1_000,
        started_us=T0 + number * 1_000,
        ended_us=T0 + number * 1_000 + 500,
        **fields,
    )


if __name__ == "__main__":
    main()
