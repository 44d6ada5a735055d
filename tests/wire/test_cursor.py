import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidInput
from headwater.wire.cursor import POSITION_MAX, Cursor, parse


@given(st.text(min_size=1), st.integers(0, POSITION_MAX))
def test_a_cursor_survives_its_text(epoch: str, position: int) -> None:
    assert parse(str(Cursor(epoch, position))) == Cursor(epoch, position)


@pytest.mark.parametrize("text", ["", "7", ":7", "e1:", "e1:-1", "e1:x", "e1:٣", f"e1:{POSITION_MAX + 1}"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no cursor"):
        parse(text)
