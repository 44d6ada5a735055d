"""Exact amounts: GPUs and CPUs in thousandths, memory in bytes. Read from what people write, and written back."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from ..errors import InvalidInput

MILLI = 1000
AMOUNT_MAX = 1 << 62
_NUMBER = re.compile(r"^\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*$")
BYTES = {"": 1, "B": 1} | {
    prefix + suffix: base ** (power + 1)
    for suffix, base in (("B", 1000), ("iB", 1024))
    for power, prefix in enumerate(("k" if base == 1000 else "K", "M", "G", "T", "P"))
}


def amount(flavour: str, written: object, *, where: str) -> int:
    """`written` in base units of the flavour: bytes for memory, thousandths for everything else.

    Raises InvalidInput naming `where` for what is negative, finer than the base unit, or no amount.
    """
    if isinstance(written, bool) or not isinstance(written, int | float | str | Decimal):
        raise InvalidInput(f"{where} is {written!r}, which is no amount", remedy=_example(flavour))
    if flavour == "memory":
        return _exact(*_split(written, BYTES, where, flavour), where=where, written=written, finest="one byte")
    scales = {"": MILLI, "m": 1}
    return _exact(*_split(written, scales, where, flavour), where=where, written=written, finest="a thousandth")


def shown(flavour: str, value: int) -> str:
    """An amount as people say it: `1 H100`, `0.5 GPUs`, `8 GiB of memory`."""
    if flavour == "memory":
        return f"{_bytes(value)} of memory"
    number = f"{value // MILLI}" if value % MILLI == 0 else f"{Decimal(value) / MILLI:f}".rstrip("0")
    noun = {"gpu": "GPU", "cpu": "CPU"}.get(flavour, f"{flavour} GPU")
    return f"{number} {noun}" if value == MILLI else f"{number} {noun}s"


def stored(flavour: str, value: int) -> int | str:
    """An amount in the exact form that `amount` reads back."""
    return value if flavour == "memory" else f"{value}m"


def _split(
    written: int | float | str | Decimal, scales: dict[str, int], where: str, flavour: str
) -> tuple[Decimal, int]:
    if not isinstance(written, str):
        try:
            return Decimal(str(written)), scales[""]
        except InvalidOperation:
            raise InvalidInput(f"{where} is {written!r}, which is no amount", remedy=_example(flavour)) from None
    if written.strip().startswith("-"):
        raise InvalidInput(f"{where} is {written!r}, which is negative", remedy=_example(flavour))
    found = _NUMBER.match(written)
    if found is None or found[2] not in scales:
        units = ", ".join(unit for unit in scales if unit)
        raise InvalidInput(f"{where} is {written!r}, which is no amount", remedy=f"{_example(flavour)} Units: {units}")
    return Decimal(found[1]), scales[found[2]]


def _exact(number: Decimal, scale: int, *, where: str, written: object, finest: str) -> int:
    if not number.is_finite():
        raise InvalidInput(f"{where} is {written!r}, which is no amount", remedy="Write a number")
    if number < 0:
        raise InvalidInput(f"{where} is {written!r}, which is negative", remedy="Write 0 or more")
    if number > AMOUNT_MAX:
        raise InvalidInput(f"{where} is {written!r}, which is more than can be counted", remedy="Write less")
    exact = number * scale
    if exact != exact.to_integral_value():
        raise InvalidInput(f"{where} is {written!r}, finer than {finest}", remedy=f"Write a multiple of {finest}")
    return int(exact)


def _bytes(value: int) -> str:
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        size = 1 << (10 * power)
        if value >= size:
            number = f"{value // size}" if value % size == 0 else f"{Decimal(value) / size:.1f}"
            return f"{number} {unit}"
    return f"{value} B"


def _example(flavour: str) -> str:
    return (
        'Write bytes, or for example "8GiB"' if flavour == "memory" else "Write for example 2, 0.5 or 1500m in quotes"
    )
