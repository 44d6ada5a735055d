"""Nothing that is needed goes, whatever the references look like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.collection import Kept, collectable, named_in, needed

NAMES = [f"{number:064x}" for number in range(12)]
NAME = st.sampled_from(NAMES)
GRAPH = st.dictionaries(NAME, st.sets(NAME))
FILES = st.lists(st.builds(Kept, NAME, st.integers(0, 100), st.integers(0, 100)), unique_by=lambda each: each.digest)


@given(GRAPH, st.sets(NAME), FILES, st.integers(0, 100))
def test_what_is_reachable_or_young_stays_and_the_rest_goes(
    graph: dict[str, set[str]], roots: set[str], there: list[Kept], before_us: int
) -> None:
    wanted = needed(roots, lambda digest: graph.get(digest, set()))
    gone = collectable(there, wanted, before_us=before_us)
    assert roots <= wanted
    assert all(graph.get(digest, set()) <= wanted for digest in wanted)
    for each in there:
        assert (each in gone) == (each.digest not in wanted and each.written_us < before_us)


@given(st.lists(NAME, max_size=5), st.binary(max_size=20))
def test_every_digest_in_packed_bytes_is_seen(names: list[str], noise: bytes) -> None:
    import msgspec

    packed = msgspec.msgpack.encode({"noise": noise, "deep": [{"digest": name} for name in names]})
    assert set(names) <= named_in(packed)
