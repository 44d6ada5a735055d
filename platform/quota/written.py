"""What a person wrote: refused by name where it is no table, or has a key that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import InvalidInput, did_you_mean

MODELS_STAND = "GPU models stand in quota.gpu_models"


def table(written: object, where: str) -> Mapping[str, object]:
    if not isinstance(written, Mapping) or not all(isinstance(key, str) for key in written):
        raise InvalidInput(f"{where} is {written!r}, not a table", remedy=f"Write [{where}]")
    return written


def refuse_unknown(written: Iterable[str], known: tuple[str, ...], where: str, *, hint: str = "") -> None:
    """`hint` is said in place of the known keys."""
    for key in written:
        if key not in known:
            remedy = f"{did_you_mean(key, known)} {hint or 'Keys: ' + ', '.join(known)}".strip()
            raise InvalidInput(f"{where} has an unknown key '{key}'", remedy=remedy)
