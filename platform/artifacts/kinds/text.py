"""Text as UTF-8, which anyone reads."""

from __future__ import annotations

from typing import Any, Final

from ..encoded import Encoded, of_parts

LEAST_CHARACTERS: Final = 4_096


class TextCodec:
    """Takes long texts: a short one is shown by its preview as well."""

    name = "text"

    def encode(self, value: Any) -> Encoded | None:
        if type(value) is not str or len(value) < LEAST_CHARACTERS:
            return None
        try:
            content = value.encode()
        except UnicodeEncodeError:  # half a surrogate pair: pickled
            return None
        return of_parts(self.name, content, about={"type": "str", "characters": len(value)})

    def decode(self, content: memoryview) -> str:
        return str(content, "utf-8")
