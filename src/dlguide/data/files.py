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


def fetch(name: str, folder: Path) -> None:
    """Let torchvision fetch one of its data sets into a folder; a set that is there whole is not fetched again."""
    from torchvision import datasets  # here, because it takes a second to import

    try:
        getattr(datasets, name)(folder, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(f"torchvision cannot fetch {name} into {folder}: {reason}") from error


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
            f"{path} ({what}) is not {encoding} at byte {error.start:,} ({raw[error.start]:#x}); save it as UTF-8,"
            " or say load(..., encoding='latin-1'), or 'gb18030' for Chinese"
        ) from error


def plain_name(path: Path) -> str:
    """Return the name of a file without the endings of packing: `train.csv.xz` is `train.csv`."""
    return path.name.removesuffix(path.suffix) if path.suffix in (".gz", ".xz") else path.name


def visible(folder: Path, pattern: str = "*") -> list[Path]:
    """List what fits a pattern below a folder, sorted; what begins with a dot (.ipynb_checkpoints) is left out."""
    found = folder.glob(pattern)
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_PARTS |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")


def part_folders(folder: Path) -> dict[str, Path]:
    """Find what comes as training, validation and test part: folders or tables called train, val..., test.

    Returns `{"train": ..., "validation": ..., "test": ...}` with those that exist, or nothing if there is no "train".
    Without another part, but beside folders of other names, a folder "train" holds a class: pictures of trains.
    """
    entries = visible(folder)
    found: dict[str, Path] = {}
    for path in reversed(entries):
        part = _part(path.name)
        if part is not None and path.is_dir():
            if part in found:
                raise DataError(
                    f"{folder} holds {path.name!r} and {found[part].name!r}, and both say {part} part: move one away"
                )
            found[part] = path
    if len(found) == 1 and _strays(folder):
        found = {}
    for path in entries:
        stem, _, kind = plain_name(path).partition(".")
        part = _part(stem)
        if part is not None and kind in ("csv", "jsonl") and path.is_file():
            found.setdefault(part, path)
    return found if "train" in found else {}


def own_parts(folder: Path) -> dict[str, Path]:
    """Find the parts as `part_folders` does; refuse another folder beside them, which nobody would miss."""
    found = part_folders(folder)
    strays = _strays(folder)
    if strays and any(path.is_dir() for path in found.values()):
        names = " and ".join(path.name for path in found.values())
        raise DataError(
            f"{folder} should hold the parts {names}, and holds the folder {strays[0]!r} beside them: move it away"
        )
    return found


def _strays(folder: Path) -> list[str]:
    return [path.name for path in visible(folder) if path.is_dir() and _part(path.name) is None]


def _part(name: str) -> str | None:
    """Which part a folder or a table is called after, in small or capital letters."""
    return _PARTS.get(name.lower())
