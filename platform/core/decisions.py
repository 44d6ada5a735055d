"""What is decided about quota, nodes and devices, as something that starts a flow.

`on.event("headwater.node.left")`: the names are those of the messages on `headwater.quota` and `headwater.gpus`. They
are matched from the log. An event of such a name that comes from outside is none of them, whoever sends it.
"""

from __future__ import annotations

import typing
from typing import Final

from ..wire.types import AnyBody

PREFIX: Final = "headwater."
SAID: Final = "said"  # the kind of such a happening
_NOUNS: Final = frozenset({"quota", "node", "device"})


def _tags() -> frozenset[str]:
    tags = {str(body.__struct_config__.tag) for body in typing.get_args(AnyBody)}
    return frozenset(tag for tag in tags if tag.partition(".")[0] in _NOUNS)


DECISION_TYPES: Final = _tags()
NAMES: Final = frozenset(f"{PREFIX}{tag}" for tag in DECISION_TYPES)
