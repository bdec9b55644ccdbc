"""The stamp at the foot of a page: when its outputs were recorded, with which versions, in how many seconds."""

from __future__ import annotations

import re

HEADER = re.compile(
    r"# recorded (?P<recorded>\d{4}-\d\d-\d\d) \| torch (?P<torch>\S+)"
    r" \| Python (?P<python>\S+) \| (?P<seconds>[\d.]+) s"
)


def read(recorded: str) -> dict[str, str] | None:
    """Return the parts of the first line of an .out file, or None if it is not a header."""
    match = HEADER.match(recorded.split("\n", 1)[0])
    return match.groupdict() if match else None
