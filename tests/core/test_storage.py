"""How much is stored by whom, in whole bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.records.storage import StorageUse
from headwater.core.storage import FULL, OK, WARNED, charged, level_of, levelled, limits_in, moved, refusal, said

SHARES = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1 << 50), max_size=4)
BYTES = st.integers(0, 1 << 50)


def use(artifacts: int = 0, tables: int = 0, logs: int = 0) -> StorageUse:
    return StorageUse(project="eta", artifacts_bytes=artifacts, tables_bytes=tables, logs_bytes=logs)


def test_a_project_is_warned_at_four_fifths_and_full_at_its_limit() -> None:
    levels = [level_of(use(artifacts=used), 1000) for used in (0, 799, 800, 999, 1000, 1001)]
    assert levels == [OK, OK, WARNED, WARNED, FULL, FULL]
    assert level_of(use(artifacts=1 << 60), None) == OK
    assert level_of(use(), 0) == FULL


def test_what_just_fits_is_not_refused_and_one_byte_more_is() -> None:
    assert refusal(use(tables=900), 1000, "rows of table lake.trips", 100) == ""
    why = refusal(use(artifacts=600, tables=290, logs=10), 1000, "rows of table lake.trips", 101)
    assert why == (
        "Project eta may store 1,000 bytes and has 900 bytes (artifacts 600 bytes, tables 290 bytes, logs 10 bytes): "
        "there is no room for rows of table lake.trips of 101 bytes"
    )
    assert refusal(use(tables=2000), 1000, "nothing", 0) == ""


def test_bytes_are_said_with_a_unit_and_exactly() -> None:
    assert [said(size) for size in (0, 1023, 1536, 1 << 40)] == [
        "0 bytes",
        "1,023 bytes",
        "1.5 KiB (1,536 bytes)",
        "1 TiB (1,099,511,627,776 bytes)",
    ]


def test_limits_are_found_at_any_depth_of_the_tree() -> None:
    vision = {"projects": {"eyes": {"storage": 7}}, "teams": {"deep": {"projects": {"net": {"storage": 9}}}}}
    tree = {"cohort": {"lab": {"projects": {"eta": {}}, "teams": {"vision": vision}}}}
    assert limits_in(tree) == {"eyes": 7, "net": 9}
    assert limits_in(None) == {}


@given(SHARES, BYTES, BYTES)
def test_the_shares_of_a_table_add_up_to_what_it_has(shares: dict[str, int], added: int, removed: int) -> None:
    before = sum(shares.values())
    after = charged(shares, "a", added=added, removed=removed)
    assert sum(after.values()) == max(0, before + added - removed)
    assert min(after.values()) >= 0
    assert sum(moved(shares, after).values()) == sum(after.values()) - before


@given(SHARES, BYTES)
def test_a_table_whose_line_was_broken_is_shared_out_whole(shares: dict[str, int], total: int) -> None:
    assert sum(levelled(shares, total, "d").values()) == total


def test_what_a_project_removes_is_its_own_first() -> None:
    assert charged({"a": 5, "b": 9}, "a", added=1, removed=8) == {"a": 0, "b": 7}
