"""The bounds of the policy, and the four tiers: what matters more, and who may take from whom."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InvalidInput
from .written import refuse_unknown, table

TIERS = (1, 2, 3, 4)
TIER_DEFAULT = 3
PRIORITY_OF_TIER = {1: 200, 2: 100, 3: 0, 4: -100}
TAKES_FROM = {1: (3, 4), 2: (4,), 3: (), 4: ()}  # beyond its own guarantee, what those have borrowed
SECONDS_MAX = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Policy:
    """`[quota.policy]`: whole numbers, and seconds where the name says so."""

    grace_s: int = 30  # from the signal to the end of a victim
    urgent_grace_s: int = 5  # the same where the claimant is of tier 1
    evictions_per_hour: int = 120  # of one project's gangs, for others; 0: nobody is ended for another
    settle_s: int = 300  # what each eviction adds to the time in which a step is safe once it runs again
    grow_after_s: int = 300  # how long an elastic gang runs with fewer ranks before it begins again with more
    move_after_s: int = 60  # how long a step waits for a whole place before small jobs are moved for it
    reserve_after_s: int = 0  # how long a gang waits for a place before one is kept for it
    half_life_s: int = 0  # after which what was borrowed counts half in who goes first; 0: only the present counts
    return_s: int = 600  # how long after a node left a step that asks for its like waits for it, and is not refused
    window_lead_s: int = 3600  # how long before a window its part is not lent to what declares no end


def policy_of(written: object, where: str) -> Policy:
    """The policy that a table describes. Raises InvalidInput naming the key."""
    found = table(written, where)
    refuse_unknown(found, tuple(field.name for field in fields(Policy)), where)
    return Policy(**{key: seconds_in(value, f"{where}.{key}") for key, value in found.items()})


def written_policy(policy: Policy) -> dict[str, int]:
    """What differs from the defaults."""
    return {field.name: value for field in fields(Policy) if (value := getattr(policy, field.name)) != field.default}


def tier_of(written: object, where: str) -> int:
    """A tier; 0 where none is given."""
    if written is None:
        return 0
    if isinstance(written, bool) or written not in TIERS:
        raise InvalidInput(f"{where}.tier is {written!r}", remedy="Write 1 (matters most), 2, 3 or 4")
    return int(str(written))


def seconds_in(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SECONDS_MAX:
        raise InvalidInput(f"{where} is {value!r}", remedy=f"Write a whole number from 0 to {SECONDS_MAX}")
    return value
