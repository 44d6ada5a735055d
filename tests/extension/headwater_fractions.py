"""Fractions as text that anyone reads, and a count of the calls of each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from headwater.artifacts.encoded import Encoded, of_parts
from headwater.sdk.context import Current


class FractionCodec:
    name = "fraction"

    def encode(self, value: Any) -> Encoded | None:
        if type(value) is not Fraction:
            return None
        return of_parts(self.name, str(value).encode(), about={"type": "fractions.Fraction"})

    def decode(self, content: memoryview) -> Fraction:
        return Fraction(bytes(content).decode())


class Counted:
    name = "counted"

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def around(self, call: Callable[[], Any], place: Current) -> Any:
        self.calls[place.step] += 1
        return call()


CODEC = FractionCodec()
COUNTED = Counted()
