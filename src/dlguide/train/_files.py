"""Files and folders that are there whole or not at all, and the names of checkpoints."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

# step-000000123.pt of one process, step-000000123 of several, .old while a new one takes its place
NAME = re.compile(r"step-(\d{9,})(\.pt|\.old)?")


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, the newest last."""
    found = [(path, match) for path in folder.glob("step-*") if (match := NAME.fullmatch(path.name))]
    return [path for path, _ in sorted(found, key=lambda item: (int(item[1][1]), item[0].stat().st_mtime_ns))]


def step_of(path: Path) -> int:
    """The step after which a checkpoint was saved."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all.

    Args:
        path: its name.
        state: tensors and plain values.

    Raises:
        TypeError: it holds something else, which `read` would refuse.
        OSError: the disk is full, or the folder cannot be written.
    """
    state = _plain(state, "state")
    with _whole(path) as file:
        torch.save(state, file)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 that is there whole or not at all; its folder is made if it is not there.

    Args:
        path: its name.
        text: what is in it.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write into; it gets its name when all of it is on the disk."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if (cause := _of_system(error)) is not None:
            raise OSError(cause.errno, f"{cause.strerror}, so it was not written", str(path)) from error
        raise


def _of_system(error: BaseException | None) -> OSError | None:
    """What the system said: torch's writer raises an error of its own after it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _plain(value: Any, where: str) -> Any:
    """Turn numbers of NumPy into plain ones, which `read` needs; refuse what it would refuse, while there is time."""
    if isinstance(value, Tensor) or type(value) in (bool, int, float, complex, str, bytes, type(None)):
        return value
    if isinstance(value, dict):
        items = {_plain(name, where): _plain(inner, f"{where}[{name!r}]") for name, inner in value.items()}
        return Counter(items) if isinstance(value, Counter) else items
    if type(value) in (list, tuple, set):
        return type(value)(_plain(inner, f"{where}[{i}]") for i, inner in enumerate(value))
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"expected tensors and plain values in a checkpoint, got {type(value).__name__} at {where}")


def put_in_place(part: Path, path: Path) -> None:
    """Give a complete file or folder its name; what had the name before stays readable until then."""
    if part.is_dir():
        _flush(part)
        if path.exists():  # a folder cannot take the place of another
            old = path.with_name(path.name + ".old")
            path.replace(old)
            part.replace(path)
            discard(old)
    if part.exists():
        part.replace(path)
    _flush(path.parent)  # the new name, too, must reach the disk


def discard(path: Path) -> None:
    """Delete a checkpoint; a folder loses its name first, so that half of one never looks like a whole."""
    if path.is_dir():
        if not path.name.endswith(".part"):
            path = path.replace(path.with_name(path.name + ".part"))
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def checksum(path: Path) -> int:
    """The CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found = zlib.crc32(piece, found)
    return found


def incomplete(path: Path, reason: str, whole: Path | None = None) -> ValueError:
    """The error for a damaged checkpoint; `whole` is what to delete, if the file is only a part of it."""
    what = "it" if whole is None else f"the folder {whole}"
    return ValueError(
        f"{path} is no complete checkpoint ({reason}): delete {what} to go on from the one before it, or from the"
        " beginning"
    )


def read(path: Path, whole: Path | None = None) -> dict[str, Any]:
    """Read a file of tensors and plain values; code in it is not run.

    Args:
        path: what `write` wrote.
        whole: the folder of the checkpoint, if the file is only a part of it.

    Returns:
        The state, its tensors on the CPU.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if not any(name.endswith("/data.pkl") for name in file.namelist()):
                raise zipfile.BadZipFile("it is another archive")
            if damaged := file.testzip():  # torch.load does not compare the sums of bytes
                raise zipfile.BadZipFile(f"the bytes of {damaged} have changed")
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own words advise to read it anyway
        raise ValueError(
            f"{path} holds more than tensors and plain values, such as code, so it was not opened: no checkpoint does"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n", 1)[0]
        raise incomplete(path, reason, whole) from error
    if not isinstance(saved, dict):
        raise ValueError(f"{path} should hold the state of a run and holds a {type(saved).__name__}: delete it")
    return saved


def _flush(folder: Path) -> None:
    """Let what a folder lists reach the disk."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
