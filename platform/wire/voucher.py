"""The API's word for who sent an event, in headers of the record: only the platform can give it.

Whoever can write to a topic could claim to be anyone; so the principal travels with an HMAC over it and the
event it belongs to, under the platform's own secret. Without a good voucher the sender is the topic.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from .envelope import Event

PRINCIPAL: Final = "headwater-principal"
PROOF: Final = "headwater-proof"


def voucher(secret: bytes, principal: str, event: Event) -> list[tuple[str, bytes]]:
    """Headers that say, and prove, that `principal` sent `event`."""
    return [(PRINCIPAL, principal.encode()), (PROOF, _proof(secret, principal, event))]


def vouched(secret: bytes, headers: Sequence[tuple[str, bytes | None]], event: Event) -> str | None:
    """The principal that the headers prove; None where they claim none, or falsely."""
    found = {name: value or b"" for name, value in headers if name in (PRINCIPAL, PROOF)}
    if not found.get(PRINCIPAL) or not found.get(PROOF):
        return None
    try:
        principal = found[PRINCIPAL].decode()
    except UnicodeDecodeError:
        return None
    return principal if hmac.compare_digest(found[PROOF], _proof(secret, principal, event)) else None


def _proof(secret: bytes, principal: str, event: Event) -> bytes:
    words = "\0".join((principal, event.source, event.id, event.sha256))
    return hmac.new(secret, words.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest().encode()
