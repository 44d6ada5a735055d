"""The command `headwater`.

`headwater runs --json` and its like are answered from the table of listings with the standard library
alone. Everything else, help and completion included, is typer's.
"""

from __future__ import annotations

import os
import sys

from ..errors import HeadwaterError
from .listings import LISTINGS, Listing

DEBUG = "PYTHONDEVMODE"


def main() -> None:
    """Runs the command line and ends the process: 0 done, 1 refused or failed, 2 misused."""
    try:
        quick = parse(sys.argv[1:])
        sys.exit(answer(*quick) if quick is not None else _typer())
    except HeadwaterError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:  # the client alone is installed, or the package is broken
        if sys.flags.dev_mode or (error.name or "").startswith("headwater"):
            raise
        _fail(f"This needs the module {error.name!r}. Install the platform: pip install 'headwater[platform,examples]'")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        _fail(f"{type(error).__name__}: {error}. This is a fault of Headwater; {DEBUG}=1 shows where.")


def parse(words: list[str]) -> tuple[Listing, dict[str, str], int] | None:
    """The listing, filters and limit of a plain `--json` call; None for all that typer should read."""
    depth = 2 if tuple(words[:2]) in LISTINGS else 1
    listing = LISTINGS.get(tuple(words[:depth]))
    if listing is None or "--json" not in words:
        return None
    given: dict[str, str] = {}
    rest = iter([word for word in words[depth:] if word != "--json"])
    for word in rest:
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in (*listing.filters, "limit"):
            return None
        given[name] = text if equals else next(rest, "")
        if not given[name]:
            return None
    limit = given.pop("limit", "50")
    return (listing, given, int(limit)) if limit.isdigit() else None


def answer(listing: Listing, filters: dict[str, str], limit: int) -> int:
    """Prints the listing as JSON."""
    import json

    from .fetch import items

    sys.stdout.write(json.dumps(items(listing, filters, limit=limit), indent=2) + "\n")
    sys.stdout.flush()
    return 0


def _typer() -> int:
    from .app import app

    app()
    return 0


def _fail(sentence: str) -> None:
    sys.stdout.flush()
    print(f"headwater: {sentence}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
