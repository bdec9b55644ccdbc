"""Which known name resembles one that is not known: for messages that say how to mend a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def resembling(name: str, known: Iterable[str]) -> str | None:
    """The known name that resembles the given one most, in either case; none if no name does."""
    spelled = {word.lower(): word for word in known}
    found = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.5)
    return spelled[found[0]] if found else None
