"""Whether a device is well enough to be lent. Pure.

What has gone wrong for good (memory errors that could not be corrected, critical XID errors, a device that does not
answer) waits for a person, who is taken at their word: what was counted until then counts no more. A device that is
only hot comes back by itself once it is cool.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

HOT: Final = "hot"


class DeviceHealth(Struct, frozen=True, kw_only=True):
    """What a device says of itself. Errors are counted since its driver, or what watches it, started; `xids` are the
    numbers of the critical ones, newest last; `silent` is why it does not answer."""

    device: str
    temperature_c: int | None = None
    ecc_uncorrected: int = 0
    xids: tuple[int, ...] = ()
    silent: str = ""


class HealthBounds(Struct, frozen=True, kw_only=True):
    """`xids_ignored` are those that programs cause. A node that has left `flaps_max` times within `flap_window_us` is
    drained when it comes back."""

    temperature_max_c: int = 90
    temperature_back_c: int = 80
    ecc_uncorrected_max: int = 0
    xids_ignored: Collection[int] = (13, 31, 43, 45, 68, 109)
    flaps_max: int = 3
    flap_window_us: int = 600_000_000


class Forgiven(Struct, frozen=True):
    """How many errors a device had when a person took it back."""

    ecc_uncorrected: int = 0
    xids: int = 0


class Illness(Struct, frozen=True):
    """`kind` is silent, xid, ecc or hot."""

    kind: str
    reason: str


def illness_of(health: DeviceHealth, bounds: HealthBounds, forgiven: Forgiven) -> Illness | None:
    """Why the device must not be lent; None where it may."""
    if health.silent:
        return Illness("silent", f"it does not answer: {health.silent}")
    if severe := [xid for xid in health.xids[forgiven.xids :] if xid not in bounds.xids_ignored]:
        return Illness("xid", f"XID error {', '.join(map(str, severe))}")
    errors = health.ecc_uncorrected - forgiven.ecc_uncorrected
    if errors > bounds.ecc_uncorrected_max:
        noun = "error" if errors == 1 else "errors"
        return Illness("ecc", f"{errors} memory {noun} (ECC) could not be corrected")
    if health.temperature_c is not None and health.temperature_c >= bounds.temperature_max_c:
        return Illness(HOT, f"it has {health.temperature_c} °C, and {bounds.temperature_max_c} °C is the limit")
    return None


def is_cool(health: DeviceHealth, bounds: HealthBounds) -> bool:
    """Whether a device that was hot may be lent again."""
    return health.temperature_c is not None and health.temperature_c <= bounds.temperature_back_c


def still_forgiven(health: DeviceHealth, forgiven: Forgiven) -> Forgiven:
    """What is forgiven of errors that are counted from 0 again since the driver, or what watches, has started anew."""
    xids = forgiven.xids if len(health.xids) >= forgiven.xids else 0
    ecc = forgiven.ecc_uncorrected if health.ecc_uncorrected >= forgiven.ecc_uncorrected else 0
    return Forgiven(ecc, xids)


def forgiving(health: DeviceHealth | None) -> Forgiven:
    """That whatever was counted until now counts no more."""
    return Forgiven() if health is None else Forgiven(health.ecc_uncorrected, len(health.xids))


def lately(leaves_us: Collection[int], now_us: int, bounds: HealthBounds) -> tuple[int, ...]:
    """The times of leaving that count at this time."""
    return tuple(at_us for at_us in leaves_us if at_us > now_us - bounds.flap_window_us)


def flapping(leaves_us: Collection[int], bounds: HealthBounds) -> str:
    """Why a node that comes back is not to be trusted; empty where it is."""
    if not bounds.flaps_max or len(leaves_us) < bounds.flaps_max:
        return ""
    window_s = bounds.flap_window_us / 1e6
    return f"it left {len(leaves_us)} times within {window_s:g} s; `headwater node restore` takes it back"
