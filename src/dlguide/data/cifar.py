"""CIFAR-10: 60,000 colour pictures of 32 x 32 pixels, from torchvision's files or from lossless WebP sheets.

torchvision's files are pickles. A pickle is a program: opened the usual way, it may call anything. Here each file must
have the published MD5, and it is opened by a reader that builds lists, strings and arrays and calls nothing.

A sheet is a picture of 25 x 40 tiles; 60 of them, b00.webp to b59.webp, hold the pictures in the official order, and
labels_names.txt.xz holds a line "label name" for each. Decoding them takes about four seconds.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlguide.data.files import DataError, fetch, read_bytes
from dlguide.data.split import Examples

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEST = 10_000  # pictures in the test part, and in each of the five training files
# MD5 as in torchvision.datasets.CIFAR10.train_list and test_list.
PICKLES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SHEETS, ROWS, COLUMNS, SIDE = 60, 25, 40, 32
CHECKSUM = 0x2D1FD4C6  # CRC-32 of all pictures [60000, 3, 32, 32] and then of all labels, one byte each
_REMEDY = "load('cifar10', download=True) fetches CIFAR-10, or set DLGUIDE_DATA to a folder that holds it"


def read_cifar10(folder: Path, download: bool) -> Examples:
    """Read CIFAR-10 from a folder; torchvision fetches it before, if asked to."""
    if download:
        fetch("CIFAR10", folder)
    place = find_cifar10(folder)
    if place is None:
        missing = folder / "cifar-10-batches-py" / "data_batch_1"
        raise FileNotFoundError(f"{missing} (training pictures of CIFAR-10) is missing: {_REMEDY}")
    x, y = _read_sheets(place) if (place / "labels_names.txt.xz").is_file() else _read_pickles(place)
    return Examples(x, y.long(), CLASSES, test=TEST)


def find_cifar10(folder: Path) -> Path | None:
    """Find the folder with torchvision's files or with the sheets."""
    places = [folder / "cifar-10-batches-py", folder / "cifar-10", folder / "cifar10", folder]
    marks = ("data_batch_1", "labels_names.txt.xz")
    return next((place for place in places if any((place / mark).is_file() for mark in marks)), None)


def _read_pickles(place: Path) -> tuple[Tensor, Tensor]:
    remedy = f"delete it, then {_REMEDY}"
    pictures, labels = [], bytearray()
    for name, md5 in PICKLES.items():
        path, what = place / name, "pictures of CIFAR-10"
        if not path.is_file():
            raise FileNotFoundError(f"{path} ({what}) is missing: {_REMEDY}")
        raw = read_bytes(path, what, remedy)
        if hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
            raise DataError(
                f"{path} ({what}, {len(raw):,} bytes) is damaged or incomplete: its checksum is wrong; {remedy}"
            )
        content = unpickle(raw, path)
        pictures.append(np.frombuffer(content[b"data"].raw, dtype=np.uint8).reshape(-1, 3, SIDE, SIDE))
        labels += bytes(content[b"labels"])
    return torch.from_numpy(np.concatenate(pictures)), torch.frombuffer(labels, dtype=torch.uint8)


class _Array:
    """Takes the place of a NumPy array in a pickle and keeps its bytes."""

    raw = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if isinstance(state[-1], bytes):  # (version, shape, dtype, order, bytes); a dtype's state ends with a number
            self.raw = state[-1]


def _array(*_: object) -> _Array:
    return _Array()


class _Unpickler(pickle.Unpickler):
    """Opens lists, dictionaries, strings, numbers and arrays, and nothing that runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {
            ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"), ("numpy", "dtype"),
        }:  # fmt: skip
            return _array
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}")


def unpickle(raw: bytes, path: Path) -> dict[bytes, Any]:
    """Open a pickle of Python 2 without running anything in it."""
    try:
        content = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path} is no file of CIFAR-10, {error}; delete it, then {_REMEDY}") from error
    if not isinstance(content, dict) or not isinstance(content.get(b"data"), _Array) or b"labels" not in content:
        raise DataError(f"{path} should hold b'data' and b'labels' of CIFAR-10; delete it, then {_REMEDY}")
    return content


def _read_sheets(place: Path) -> tuple[Tensor, Tensor]:
    from PIL import Image

    remedy = "copy the folder again"
    raw = read_bytes(place / "labels_names.txt.xz", "labels of CIFAR-10", remedy)
    try:
        labels = bytearray(int(line.split(b" ")[0]) for line in raw.splitlines())
    except ValueError as error:
        raise DataError(f"{place / 'labels_names.txt.xz'} should hold lines 'label name', {error}; {remedy}") from error
    each = ROWS * COLUMNS
    x = np.empty((SHEETS * each, 3, SIDE, SIDE), dtype=np.uint8)
    for number in range(SHEETS):
        path = place / f"b{number:02d}.webp"
        if not path.is_file():
            raise FileNotFoundError(f"{path} ({each:,} pictures of CIFAR-10) is missing: {remedy}, or {_REMEDY}")
        try:
            with Image.open(path) as picture:
                sheet = np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path} cannot be decoded, {error}; {remedy}") from error
        if sheet.shape != (ROWS * SIDE, COLUMNS * SIDE, 3):
            raise DataError(
                f"{path} should be {COLUMNS * SIDE} x {ROWS * SIDE} pixels, {COLUMNS} x {ROWS} pictures,"
                f" and is {sheet.shape[1]} x {sheet.shape[0]}; {remedy}"
            )
        tiles = sheet.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 4, 1, 3)  # [rows, columns, 3, 32, 32]
        x[number * each : (number + 1) * each] = tiles.reshape(each, 3, SIDE, SIDE)
    if zlib.crc32(labels, zlib.crc32(x.data)) != CHECKSUM:
        raise DataError(f"the sheets and labels in {place} are not those of CIFAR-10: a checksum is wrong; {remedy}")
    return torch.from_numpy(x), torch.frombuffer(labels, dtype=torch.uint8)
