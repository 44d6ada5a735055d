"""Tables: one line for a row, whole where there is no terminal, fitted where there is one."""

from __future__ import annotations

from typing import Any

from headwater.cli.forms import counted, metrics, number, reason, seconds, size
from headwater.cli.listings import Column
from headwater.cli.output import lines_of

ID = "0197c5d2-8a41-7c3e-9b1f-0c7d5a1e2f30"
COLUMNS = (Column("run", "id", "id"), Column("flow", "flow", rank=1), Column("rows", "rows", "number"),
           Column("why", "why"))  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"id": ID, "flow": "train_delay", "rows": 279_752, "why": "it waits for a device " * 5},
    {"id": ID[:5]},
]


def test_a_row_is_one_whole_line_where_there_is_no_terminal() -> None:
    head, first, second = (line.plain for line in lines_of(COLUMNS, ROWS, room=None))
    assert head == f"{'run':36}  {'flow':11}     rows  why"
    assert first == f"{ID}  train_delay  279,752  {ROWS[0]['why']}".rstrip()
    assert second == f"{ID[:5]:36}  {'-':11}        -  -"


def test_on_a_narrow_terminal_columns_of_low_rank_go_and_long_texts_end_in_an_ellipsis() -> None:
    lines = [line.plain for line in lines_of(COLUMNS, ROWS, room=80)]
    assert all(len(line) <= 80 for line in lines)
    assert "train_delay" not in lines[1]
    assert lines[1].startswith(ID)
    assert lines[1].endswith("…")


def test_ids_stay_whole_even_where_there_is_no_room() -> None:
    assert lines_of(COLUMNS, ROWS, room=20)[1].plain.startswith(f"{ID}  279,752  it waits fo…")


def test_a_cell_cannot_steer_the_terminal() -> None:
    (_, line) = lines_of((Column("why", "why"),), [{"why": "a\x1b[31m\nb"}], room=None)
    assert line.plain == "a [31m b"


def test_values_are_said_as_people_say_them() -> None:
    assert metrics({"mae": 11.403, "rows": 28618.0, "rate": 0.00012}) == "mae 11.40  rows 28,618  rate 0.00012"
    assert counted([["year", "long"], ["month", "long"]]) == "2: year, month"
    assert counted([[name, "long"] for name in "abcdef"]) == "6: a, b, c, d, …"
    assert [number(3), number(0.5), number(1234567)] == ["3", "0.50", "1,234,567"]
    assert [seconds(0.005), seconds(2.04), seconds(61), seconds(7_260)] == ["5 ms", "2.0 s", "1 min 01 s", "2 h 01 min"]
    assert [size(500), size(1536), size(1 << 30)] == ["500 B", "1.5 KiB", "1.0 GiB"]


def test_the_reason_of_a_dead_letter_begins_with_what_was_wrong() -> None:
    assert reason("Trigger eta/fit/event:x: The filter 'a > 1' cannot be evaluated") == (
        "The filter 'a > 1' cannot be evaluated"
    )
    assert reason("The body is no JSON: at 3") == "The body is no JSON: at 3"
