"""What is written stays; what is old goes; the rest fits, and the oldest of it went first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.log_keeping import Log, expendable

TIMES = st.integers(0, 50)
LOGS = st.lists(
    st.builds(Log, st.sampled_from("abc"), st.text("123", max_size=2), TIMES, TIMES, st.none() | TIMES, st.booleans()),
    max_size=12,
    unique_by=lambda log: (log.run_id, log.name),
)


@given(LOGS, TIMES, st.integers(0, 200))
def test_logs_are_bounded_by_age_and_in_sum(logs: list[Log], before_us: int, total_max_bytes: int) -> None:
    gone = expendable(logs, before_us=before_us, total_max_bytes=total_max_bytes)
    kept = [log for log in logs if log not in gone]
    assert not any(log.at_work for log in gone)
    assert all(log.at_work or log.ended_us is None or log.ended_us >= before_us for log in kept)
    left = [log for log in kept if not log.at_work]
    assert sum(log.size_bytes for log in kept) <= total_max_bytes or not left
    needless = [log for log in gone if log.ended_us is None or log.ended_us >= before_us]
    if needless:
        assert sum(log.size_bytes for log in kept) + needless[-1].size_bytes > total_max_bytes
    if any(log.ended_us is None for log in gone):
        assert all(log.ended_us is None for log in left)
