"""What a value may be, and which known name resembles one that is not known."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from dlguide._resembling import resembling

_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte of a file name that is not UTF-8: no file can hold it


def near(name: str, known: Iterable[str]) -> str:
    """Propose a known name that resembles one that is not.

    Args:
        name: what was given.
        known: what could have been meant.

    Returns:
        `"; did you mean 'cnn'?"`, or nothing if no name resembles it.

    Example:
        ```python
        from dlguide.config import near

        print("no model 'cnnn'" + near("cnnn", ["mlp", "cnn"]))
        ```

        ``` {.text .output}
        no model 'cnnn'; did you mean 'cnn'?
        ```
    """
    found = resembling(name, known)
    return f"; did you mean {found!r}?" if found else ""


def convert(kind: str, value: Any) -> Any:
    """The value in its type, None if it is of another; a text is read as a flag's."""
    if kind == "bool":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if kind == "str":
        return value if isinstance(value, str) and value and not _SURROGATE.search(value) else None
    if kind == "dict":
        return value if isinstance(value, dict) else None
    try:
        number = float(value) if isinstance(value, str | float) or type(value) is int else math.nan
        if kind == "float":
            return None if math.isnan(number) else number
        return int(value) if type(value) is int or isinstance(value, str) else None
    except ValueError:
        return None


def writable(value: Any) -> bool:
    """Whether TOML has a word for it: none is no value there, and a table would need a line of its own."""
    if isinstance(value, list | tuple):
        return all(map(writable, value))
    if isinstance(value, str):
        return not _SURROGATE.search(value)
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def inside(number: float, within: str) -> bool:
    """Whether a number lies in an interval such as `[0, 1)`."""
    low, high = (float(end) for end in within[1:-1].split(","))
    return (low <= number if within[0] == "[" else low < number) and (
        number <= high if within[-1] == "]" else number < high
    )
