from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.node_offer import Offer, labels_of, offer_of
from headwater.errors import InvalidInput

WORDS = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,20}[A-Za-z0-9])?", fullmatch=True)
COUNTS = st.integers(0, 1 << 50)
OFFERS = st.builds(
    Offer,
    name=WORDS,
    gpus=COUNTS,
    gpu_model=st.just("") | WORDS,
    gpu_memory_bytes=COUNTS,
    cpus=COUNTS,
    memory_bytes=COUNTS,
    labels=st.dictionaries(WORDS.filter(lambda word: not word.startswith("headwater.")), WORDS, max_size=4),
)


@given(OFFERS)
def test_an_offer_comes_back_from_its_labels(offer: Offer) -> None:
    with_rays = {**labels_of(offer), "ray.io/node-id": "abc"}
    assert offer_of(with_rays, name="host") == offer


def test_a_node_that_nobody_named_has_its_hosts_name() -> None:
    assert offer_of({"ray.io/node-id": "abc"}, name="host") == Offer(name="host")


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (Offer(name="n 1"), "the node's name is 'n 1'"),
        (Offer(name="n", gpu_model="NVIDIA H100"), "the GPU model is 'NVIDIA H100'"),
        (Offer(name="n", labels={"rack": ""}), "the label rack is ''"),
        (Offer(name="n", labels={"headwater.gpus": "9"}), "not yours to set"),
    ],
)
def test_what_cannot_be_a_label_is_named(offer: Offer, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        labels_of(offer)
