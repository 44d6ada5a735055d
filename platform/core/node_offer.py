"""What a machine that joins says of itself, and how that travels: as labels of its Ray node.

A label of our own begins with `headwater.`; those that Ray adds begin with `ray.io/`; all others are the
machine's own words, of which `island`, `rack` and `block` say where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from ..errors import InvalidInput

OURS: Final = "headwater."
RAYS: Final = "ray.io/"
WORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Zero means what is found there. `gpus` are logical devices, used where the machine has no real ones;
    `gpu_model` and `gpu_memory_bytes` are what these are taken for.
    """

    name: str
    gpus: int = 0
    gpu_model: str = ""
    gpu_memory_bytes: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    labels: dict[str, str] = {}


def labels_of(offer: Offer) -> dict[str, str]:
    """Raises InvalidInput naming what cannot be a label."""
    for key, text in offer.labels.items():
        if key.startswith((OURS, RAYS)):
            raise InvalidInput(
                f"the label {key!r} is not yours to set", remedy=f"Names of {OURS}* and {RAYS}* are taken"
            )
        _check(key, "the label's name")
        _check(text, f"the label {key}")
    _check(offer.name, "the node's name")
    if offer.gpu_model:
        _check(offer.gpu_model, "the GPU model")
    told = {key: str(value) for key, value in msgspec.structs.asdict(offer).items() if key != "labels" and value}
    return {**offer.labels, **{f"{OURS}{key}": text for key, text in told.items()}}


def offer_of(labels: Mapping[str, str], *, name: str) -> Offer:
    """What the labels of a Ray node say; `name` where they give none."""
    told = {key.removeprefix(OURS): text for key, text in labels.items() if key.startswith(OURS)}
    theirs = {key: text for key, text in labels.items() if not key.startswith((OURS, RAYS))}
    return msgspec.convert({"name": name, **told, "labels": theirs}, Offer, strict=False)


def _check(word: str, what: str) -> None:
    if WORD.fullmatch(word) is None:
        remedy = "Use up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        raise InvalidInput(f"{what} is {word!r}", remedy=remedy)
