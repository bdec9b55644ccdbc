"""The words of the setting `augment`."""

from __future__ import annotations

NAMES = {"flip": None, "shift": 2, "cutout": 8}  # name: the number that it takes if none is given


def parse_augment(text: str) -> list[tuple[str, int | None]]:
    """Read `flip,shift=4` as `[("flip", None), ("shift", 4)]`."""
    found: list[tuple[str, int | None]] = []
    for word in text.split(","):
        name, equal, number = word.strip().partition("=")
        if name not in NAMES or (equal and (NAMES[name] is None or not number.isdecimal())):
            raise ValueError(f"expected flip, shift=PIXELS and cutout=SIDE, joined by commas, got {text!r}")
        found.append((name, int(number) if equal else NAMES[name]))
    return found
