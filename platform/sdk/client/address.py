"""Where the platform is: its address and token, from the caller, the environment or a home folder.

A home folder holds `state.json` (written by `headwater up`) and `token`. It is `$HEADWATER_HOME`,
otherwise the nearest `.headwater` in the current folder or one above. Standard library only: the
command line's fast path stands on this.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from ...errors import Unavailable

HOME_NAME = ".headwater"
STATE_NAME = "state.json"
TOKEN_NAME = "token"
_REMEDY = "Start the platform with `headwater up`, or set HEADWATER_URL and HEADWATER_TOKEN."


class Address(NamedTuple):
    url: str
    token: str


def find(url: str | None = None, token: str | None = None) -> Address:
    """What is given, else HEADWATER_URL and HEADWATER_TOKEN, else the home folder; raises Unavailable."""
    url = url or os.environ.get("HEADWATER_URL")
    token = token or os.environ.get("HEADWATER_TOKEN")
    home = home_folder()
    if not url:
        url = _url_of(home)
    if not token:
        token = _text(home, TOKEN_NAME).strip() if home else ""
    return Address(url.rstrip("/"), token)


def home_folder() -> str | None:
    """The nearest home folder that a platform was started in; None where there is none."""
    named = os.environ.get("HEADWATER_HOME")
    if named:
        return os.path.abspath(named)
    folder = os.getcwd()
    while True:
        home = os.path.join(folder, HOME_NAME)
        if os.path.exists(os.path.join(home, STATE_NAME)):
            return home
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def state_of(home: str) -> dict[str, Any]:
    """What `up` wrote of the platform of a home folder; empty where it is not there or not whole."""
    try:
        state = json.loads(_text(home, STATE_NAME) or "{}")
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _url_of(home: str | None) -> str:
    if home is None:
        raise Unavailable("There is no platform in this folder or one above", remedy=_REMEDY)
    url = state_of(home).get("url")
    if not isinstance(url, str) or not url:
        raise Unavailable(f"No platform runs in {home}", remedy=_REMEDY)
    return url


def _text(home: str, name: str) -> str:
    try:
        with open(os.path.join(home, name), encoding="utf-8") as source:
            return source.read()
    except OSError:
        return ""
