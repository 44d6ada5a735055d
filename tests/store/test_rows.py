"""Every struct that an owner remembers survives its table."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.rows import codecs
from headwater.store.writer import Writer
from headwater.wire import calls
from headwater.wire.terms import JSON

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.sampled_from([calls.NowCall(), calls.SleepCall(duration_us=5), calls.PublishCall(event_type="x", data={})])


def strategy_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    plain = {int: NUMBERS, str: TEXT, bytes: st.binary(max_size=20), bool: st.booleans(), JSON: VALUES}
    if hint in plain:
        return plain[hint]
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if hint == calls.Call:
        return CALLS
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        return st.dictionaries(*map(strategy_of, arguments), max_size=3)
    if origin is tuple:
        return st.lists(strategy_of(arguments[0]), max_size=3).map(tuple)
    if arguments and origin is not typing.Literal:
        return st.one_of(*(st.none() if one is type(None) else strategy_of(one) for one in arguments))
    return st.sampled_from(arguments or list(hint))


def structs(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(struct)
    return st.builds(struct, **{name: strategy_of(hints[name]) for name in struct.__struct_fields__})


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        url = sqlite_url(Path(tmp_path_factory.mktemp("rows")) / "store.db")
    else:
        url = request.getfixturevalue("postgres").migrated()
    create(url, store_epoch="one")
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def writer(engine: sa.Engine) -> Writer:
    writer = Writer(engine, "conductor")
    writer.take_epoch()
    return writer


@pytest.mark.parametrize("table", sorted(codecs()))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_row_comes_back_as_it_was(writer: Writer, engine: sa.Engine, table: str, data: st.DataObject) -> None:
    codec = codecs()[table]
    row = data.draw(structs(codec.struct))
    key = tuple(getattr(row, column.name) for column in codec.table.primary_key)
    writer.commit({table: {key: row}})
    with Reader(engine).picture() as picture:
        assert picture.rows(table) == [row]
    writer.commit({table: {key: None}})
    with Reader(engine).picture() as picture:
        assert picture.rows(table) == []
