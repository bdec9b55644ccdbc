"""Where data lies, and files that say what is wrong with them.

A file that is missing raises `FileNotFoundError`, one that holds something else raises `DataError`; both say in one
sentence which file, what was expected, what came, and how to mend it. Packed files (`.gz`, `.xz`) are unpacked in
memory. Nothing is written: what a set needs is read again each time, in seconds.
"""

from __future__ import annotations

import gzip
import lzma
import os
import sys
import zlib
from pathlib import Path


class DataError(ValueError):
    """A file or a folder that does not hold what it should; the message says which one and how to mend it."""


def data_folder() -> Path:
    """Say where data that is not bundled lies: the variable `DLGUIDE_DATA`, or else the cache folder of the platform.

    Returns:
        The folder; it need not exist.

    Example:
        ```python
        from unittest.mock import patch

        from dlguide.data import data_folder

        with patch.dict("os.environ", DLGUIDE_DATA="my-data"):  # as if the shell had set it
            print(data_folder())
        ```

        ``` {.text .output}
        my-data
        ```
    """
    if chosen := os.environ.get("DLGUIDE_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "dlguide"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dlguide"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dlguide"


def read_bytes(path: Path, what: str, remedy: str) -> bytes:
    """Read a file and unpack it if its name ends in .gz or .xz; `what` it holds and the `remedy` go into the error."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} ({what}) cannot be read, {error.strerror or error}; {remedy}") from error
    try:
        if path.suffix == ".gz":
            return gzip.decompress(raw)
        return lzma.decompress(raw) if path.suffix == ".xz" else raw
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} ({what}) cannot be unpacked, {error}; {remedy}") from error


def read_text(path: Path, encoding: str, what: str, remedy: str) -> str:
    """Read a file as text; a mark at the beginning that says UTF-8 is left out."""
    raw = read_bytes(path, what, remedy)
    try:
        return raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} ({what}) is not {encoding} at byte {error.start:,} ({raw[error.start]:#x}); say how it was"
            " written, e.g. encoding='latin-1', or 'gb18030' for Chinese"
        ) from error


def plain_name(path: Path) -> str:
    """Return the name of a file without the endings of packing: `train.csv.xz` is `train.csv`."""
    return path.name.removesuffix(path.suffix) if path.suffix in (".gz", ".xz") else path.name


def part_folders(folder: Path) -> dict[str, Path]:
    """Find what comes as training, validation and test part: folders or tables called train, val..., test.

    Returns `{"train": ..., "validation": ..., "test": ...}` with those that exist, or nothing if there is no "train".
    Beside folders of other names, a folder "train" holds a class: pictures of trains.
    """
    spelled = {"train": "train", "training": "train", "test": "test", "testing": "test"}
    spelled |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
    found: dict[str, Path] = {}
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    classes = any(path.is_dir() and path.name not in spelled for path in entries)
    for path in entries:
        stem, _, kind = plain_name(path).partition(".")
        if stem in spelled and (not classes if path.is_dir() else kind in ("csv", "jsonl")):
            found.setdefault(spelled[stem], path)
    return found if "train" in found else {}
