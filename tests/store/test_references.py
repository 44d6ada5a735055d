"""Which runs are kept for others, on both databases."""

from __future__ import annotations

from pathlib import Path

from scenes.store import T0, Story, a_run, run_id

from headwater.store.aged import aged_runs
from headwater.store.reader import Reader
from headwater.store.references import kept_runs

OLD, YOUNG = T0 + 1_000, T0 + 5_000


def test_a_run_is_kept_with_what_it_called_and_what_it_resumes(bare_url: str, tmp_path: Path) -> None:
    story = Story(tmp_path, url=bare_url)
    over = {"state": "FAILED", "ended_us": OLD}
    for run in (
        a_run(1, **over),
        a_run(2, **over, resumed_from=run_id(1)),
        a_run(3, state="RUNNING", resumed_from=run_id(2)),
        a_run(4, **over, parent_id=run_id(2)),
        a_run(5, **over, parent_id=run_id(6)),
        a_run(6, state="SUCCEEDED", ended_us=YOUNG + 1),
        a_run(7, **over),
        a_run(8, **over, parent_id=run_id(7)),
    ):
        story.put("runs", run)
    engine = story.reader()
    reader = Reader(engine)
    assert sorted(row.id for row in reader.select(kept_runs(YOUNG))) == [run_id(n) for n in range(1, 7)]
    assert run_id(2) not in {run.id for run in aged_runs(reader, YOUNG, 10)}
    engine.dispose()
    story.close()
