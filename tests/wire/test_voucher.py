from __future__ import annotations

import msgspec

from headwater.wire.envelope import Event
from headwater.wire.voucher import vouched, voucher

EVENT = Event(id="e1", source="/cli", type="go", data={"day": 1})


def test_the_principal_is_proved_by_the_platforms_secret() -> None:
    assert vouched(b"secret", voucher(b"secret", "token:local", EVENT), EVENT) == "token:local"


def test_a_voucher_under_another_secret_proves_nothing() -> None:
    assert vouched(b"secret", voucher(b"guess", "token:local", EVENT), EVENT) is None


def test_a_voucher_is_good_for_its_event_alone() -> None:
    other = msgspec.structs.replace(EVENT, data={"day": 2})
    assert vouched(b"secret", voucher(b"secret", "token:local", EVENT), other) is None


def test_a_principal_without_proof_is_nobody() -> None:
    assert vouched(b"secret", [("headwater-principal", b"token:admin")], EVENT) is None
    assert vouched(b"secret", [], EVENT) is None
    assert vouched(b"secret", [("headwater-principal", b"\xff"), ("headwater-proof", None)], EVENT) is None
