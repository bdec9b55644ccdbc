"""Grey pictures: scikit-learn's digits, and the idx files of MNIST and Fashion-MNIST.

An idx file is two zeros, the type of its values, the number of dimensions, each size as four bytes (big-endian), and
then the values. Every file is checked before it is used: its length, its header, and a checksum.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlguide.data.files import DataError, fetch, read_bytes
from dlguide.data.split import Examples


class IdxFile(NamedTuple):
    """What one idx file holds, its shape, and checksums: MD5 of the file as it is packed, CRC-32 of its content."""

    what: str
    shape: tuple[int, ...]
    md5: str
    crc: int | None = None


class IdxSet(NamedTuple):
    """A set of four idx files: its name, the folder that torchvision gives it, its own folder, classes, files."""

    title: str
    place: str
    folder: str
    classes: tuple[str, ...]
    files: dict[str, IdxFile]


_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_TRAIN_X, _TRAIN_Y = ("60,000 training pictures", (60_000, 28, 28)), ("60,000 training labels", (60_000,))
_TEST_X, _TEST_Y = ("10,000 test pictures", (10_000, 28, 28)), ("10,000 test labels", (10_000,))

# MD5 as in torchvision.datasets.MNIST.resources and FashionMNIST.resources.
IDX_SETS = {
    "mnist": IdxSet("MNIST", "MNIST", "mnist", _DIGITS, {
        "train-images-idx3-ubyte": IdxFile(*_TRAIN_X, "f68b3c2dcbeaaa9fbdd348bbdeb94873", 0xE9F4D8B3),
        "train-labels-idx1-ubyte": IdxFile(*_TRAIN_Y, "d53e105ee54ea40749a09fcbcd1e9432", 0xE0CB4AD2),
        "t10k-images-idx3-ubyte": IdxFile(*_TEST_X, "9fb629c4189551a2d022fa330f9573f3", 0x91373BDF),
        "t10k-labels-idx1-ubyte": IdxFile(*_TEST_Y, "ec29112dd5afa0611ce80d1b7f02629c", 0x4AB9EFF9),
    }),
    "fashion-mnist": IdxSet("Fashion-MNIST", "FashionMNIST", "fashion-mnist", _CLOTHES, {
        "train-images-idx3-ubyte": IdxFile(*_TRAIN_X, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        "train-labels-idx1-ubyte": IdxFile(*_TRAIN_Y, "25c81989df183df01b3e8a0aad5dffbe"),
        "t10k-images-idx3-ubyte": IdxFile(*_TEST_X, "bef4ecab320f06d8554ea6380940ec79"),
        "t10k-labels-idx1-ubyte": IdxFile(*_TEST_Y, "bb300cfdad3c16e7a12a480ee83cd310"),
    }),
}  # fmt: skip


def read_digits() -> Examples:
    """Read scikit-learn's 1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits  # here, because it takes a second to import and the others do not need it

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float() / 16  # [1797, 8, 8]; scikit-learn counts ink from 0 to 16
    return Examples(x.unsqueeze(1), torch.from_numpy(bunch.target).long(), _DIGITS)


def read_idx_set(name: str, folder: Path, download: bool) -> Examples:
    """Read MNIST or Fashion-MNIST from a folder; torchvision fetches it before, if asked to."""
    if download:
        fetch(IDX_SETS[name].place, folder)
    train_x, train_y, test_x, test_y = (_read_idx(folder, name, file) for file in IDX_SETS[name].files)
    x = torch.cat([train_x, test_x]).unsqueeze(1)  # one channel, because the pictures are grey
    return Examples(x, torch.cat([train_y, test_y]).long(), IDX_SETS[name].classes, test=len(test_y))


def find_idx_file(folder: Path, name: str, file: str) -> Path | None:
    """Find one file of a set, packed or not, in the place where torchvision puts it or in a folder of yours."""
    place = IDX_SETS[name].place
    places = [folder / place / "raw", folder / IDX_SETS[name].folder, folder / place, folder]
    found = (path / ending for path in places for ending in (f"{file}.gz", file) if (path / ending).is_file())
    return next(found, None)


def _read_idx(folder: Path, name: str, file: str) -> Tensor:
    """Read one file, uint8."""
    title, place, *_ = IDX_SETS[name]
    expected = IDX_SETS[name].files[file]
    remedy = f"load({name!r}, download=True) fetches {title}, or set DLGUIDE_DATA to a folder that holds it"
    what = f"{expected.what} of {title}"
    path = find_idx_file(folder, name, file)
    if path is None:
        raise FileNotFoundError(f"{folder / place / 'raw' / file}.gz ({what}) is missing: {remedy}")
    remedy = f"delete it, then {remedy}"
    raw = read_bytes(path, what, remedy)
    header = bytes([0, 0, 8, len(expected.shape)]) + b"".join(size.to_bytes(4, "big") for size in expected.shape)
    length = len(header) + math.prod(expected.shape)
    if len(raw) != length or not raw.startswith(header):
        raise DataError(
            f"{path} should hold the {what}, {length:,} bytes that begin with {header[:4].hex(' ')},"
            f" and holds {len(raw):,} bytes that begin with {raw[:4].hex(' ') or 'nothing'}; {remedy}"
        )
    values = torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=len(header)).copy()).view(expected.shape)
    if not _is_genuine(path, raw, values, expected):
        raise DataError(f"{path} ({what}) is damaged: its checksum is wrong; {remedy}")
    return values


def _is_genuine(path: Path, raw: bytes, values: Tensor, expected: IdxFile) -> bool:
    """Whether these are the bytes that were published; unpacked files without a known CRC-32 only have their range."""
    if expected.crc is not None:
        return zlib.crc32(raw) == expected.crc
    if path.suffix == ".gz":
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == expected.md5
    return values.ndim > 1 or int(values.max()) < 10
