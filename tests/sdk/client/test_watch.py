import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Conflict, Unavailable
from headwater.sdk.client.watch import BACKOFF_MAX_S, TRIES_MAX, EventParser, ServerEvent, Watch
from headwater.wire.entries.runs import RunStarted
from headwater.wire.types import Entry, encode_entry


def a_frame(position: int) -> bytes:
    body = RunStarted(flow="f", host="h")
    entry = Entry(position=position, body=body, subject="r", project="eta", principal="p", time_us=1, run_id="r", seq=1)
    return b"id: e1:%d\nevent: run.started\ndata: %b\n\n" % (position, encode_entry(entry))


STREAM = b"retry: 500\nid: e1:0\nevent: joined\ndata: {}\n\n: beat\n\n" + a_frame(1) + a_frame(2)


@given(st.lists(st.integers(1, len(STREAM)), max_size=20))
def test_however_the_bytes_are_cut_the_events_are_the_same(cuts: list[int]) -> None:
    parser, places = EventParser(), [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in itertools.pairwise(places)]
    events = [event for part in parts for event in parser.feed(part)]
    assert [(event.id, event.event) for event in events] == [
        ("e1:0", "joined"),
        ("e1:1", "run.started"),
        ("e1:2", "run.started"),
    ]


def test_lines_may_end_with_carriage_returns_and_data_may_have_several() -> None:
    assert EventParser().feed(b"data: a\r\ndata: b\r\n\r\n") == [ServerEvent("", "message", "a\nb")]


def test_a_repeat_after_a_lost_connection_is_dropped() -> None:
    watch = Watch("/v1/watch")
    assert len(watch.feed(STREAM)) == 2
    assert watch.connect()["Last-Event-ID"] == "e1:2"
    assert [told.position for told in watch.feed(a_frame(2) + a_frame(3)) if isinstance(told, Entry)] == [3]


def test_a_type_of_a_newer_version_is_passed_over_and_moves_the_cursor() -> None:
    watch = Watch("/v1/watch")
    assert watch.feed(b'id: e1:7\nevent: run.dreamt\ndata: {"position": 7, "body": {"type": "run.dreamt"}}\n\n') == []
    assert watch.since == "e1:7"


def test_a_stream_that_is_lost_again_and_again_is_given_up() -> None:
    watch = Watch("/v1/watch")
    watch.feed(a_frame(1))
    assert watch.lost() == 0.0
    for _ in range(TRIES_MAX - 1):
        watch.connect()
        watch.feed(b"id: e1:1\nevent: joined\ndata: {}\n\n")
        assert 0 < watch.lost() <= BACKOFF_MAX_S
    with pytest.raises(Unavailable, match="was lost"):
        watch.lost()


def test_a_rewound_store_ends_the_watch_with_a_sentence() -> None:
    with pytest.raises(Conflict, match="restored or made anew"):
        Watch("/v1/watch", since="e0:9").feed(b'event: rewound\ndata: {"store_epoch": "e1"}\n\n')
