r"""Labelled pictures as tensors, cut once into training, validation and test parts.

`load("digits")` needs no network: scikit-learn brings 1,797 pictures of 8 x 8 pixels. `load("mnist")` is the same call
on the 70,000 pictures of MNIST, read from a folder of yours (`data_folder`). Each part is a `TensorDataset` that lies
in memory as two tensors: the trainer indexes it directly, and an ordinary `DataLoader` takes it too.
"""

from __future__ import annotations

import gzip
import math
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

# The four files of MNIST: what each one holds, its shape, and the CRC-32 of its unpacked bytes.
_MNIST_FILES: dict[str, tuple[str, tuple[int, ...], int]] = {
    "train-images-idx3-ubyte": ("60,000 training pictures", (60_000, 28, 28), 0xE9F4D8B3),
    "train-labels-idx1-ubyte": ("60,000 training labels", (60_000,), 0xE0CB4AD2),
    "t10k-images-idx3-ubyte": ("10,000 test pictures", (10_000, 28, 28), 0x91373BDF),
    "t10k-labels-idx1-ubyte": ("10,000 test labels", (10_000,), 0x4AB9EFF9),
}


@dataclass(frozen=True)
class Splits:
    """Three parts of one data set that share no example.

    Args:
        train: the examples to learn from; `train.tensors` is `(x [N, ...], y [N])`.
        validation: the examples that choose between models (the best epoch, the learning rate).
        test: the examples that are looked at once, at the end.
        classes: the name of each class; `y` holds indices into it, int64, in `[0, len(classes))`.
        mean: what was subtracted from the pixels, 0.0 if nothing was.
        std: what the pixels were divided by, 1.0 if they were not.

    Example:
        ```python
        from dlguide.data import load

        data = load("digits")
        x, y = data.train.tensors
        print(x.shape, x.dtype, y.dtype)
        print(len(data.train), len(data.validation), len(data.test))
        ```

        ``` {.text .output}
        torch.Size([1257, 1, 8, 8]) torch.float32 torch.int64
        1257 180 360
        ```
    """

    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    classes: tuple[str, ...]
    mean: float = 0.0
    std: float = 1.0


def load(
    name: str = "digits",
    *,
    layout: str = "pictures",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool = False,
    folder: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Splits:
    r"""Load a set of labelled pictures, scaled to $[0, 1]$ and cut into three parts that share no example.

    With `standardize=True` each pixel $p$ becomes $(p - \mu) / \sigma$. Mean $\mu$ and standard deviation $\sigma$ are
    two numbers for all pixels, taken from the training part alone, so that nothing is learned from the other two.

    Args:
        name: `"digits"` (scikit-learn's 1,797 pictures, 8 x 8) or `"mnist"` (70,000 pictures, 28 x 28).
        layout: `"pictures"` for `[N, 1, H, W]`, or `"rows"` for `[N, H, W]`: a sequence of H steps with W pixels each.
        validation: share of the examples in the validation part, in (0, 1).
        test: share in the test part, in (0, 1); ignored for MNIST, which comes with 10,000 test pictures of its own.
        seed: chooses who goes into which part; the same seed gives the same parts on every machine.
        standardize: subtract the mean and divide by the standard deviation of the training pixels.
        folder: where MNIST lies; `data_folder()` if not given.
        download: let torchvision fetch MNIST into the folder if it is not there yet (needs a network).

    Returns:
        The parts as a `Splits`; x is float32, y is int64.

    Raises:
        ValueError: an unknown name or layout, shares that leave no training part, or a damaged file.
        FileNotFoundError: a file of MNIST is missing; the message says where it belongs and how to get it.

    Example:
        ```python
        from dlguide.data import load

        rows = load("digits", layout="rows", standardize=True)
        x, y = rows.train.tensors
        print(x.shape)
        print(f"mean {x.mean().abs():.4f}, standard deviation {x.std():.4f}")
        ```

        ``` {.text .output}
        torch.Size([1257, 8, 8])
        mean 0.0000, standard deviation 1.0000
        ```

    References:
        - [sklearn.datasets.load_digits](https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html)
        - [torchvision.datasets.MNIST](https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.MNIST.html)
        - [torch.utils.data.TensorDataset](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.TensorDataset)
    """
    if layout not in ("pictures", "rows"):
        raise ValueError(f"expected layout 'pictures' or 'rows', got {layout!r}")
    generator = torch.Generator().manual_seed(seed)
    if name == "digits":
        x, y = _digits()
        parts = _cut(torch.randperm(len(y), generator=generator), validation, test)
    elif name == "mnist":
        x, y = _mnist(data_folder() if folder is None else Path(folder), download)
        rest, last = torch.arange(60_000), torch.arange(60_000, len(y))  # the test pictures stay what they are
        train_part, validation_part, _ = _cut(rest[torch.randperm(len(rest), generator=generator)], validation, 0.0)
        parts = (train_part, validation_part, last)
    else:
        raise ValueError(f"expected the name 'digits' or 'mnist', got {name!r}")

    mean, std = 0.0, 1.0
    if standardize:
        pixels = x[parts[0]].double()
        mean, std = pixels.mean().item(), pixels.std().item()
        x = (x - mean) / std
    if layout == "pictures":
        x = x.unsqueeze(1)  # [N, H, W] -> [N, 1, H, W]: one channel, because the pictures are grey
    train, held_out, final = (TensorDataset(x[part], y[part]) for part in parts)
    return Splits(train, held_out, final, tuple(str(digit) for digit in range(10)), mean, std)


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


def _cut(order: Tensor, validation: float, test: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cut shuffled indices [N] into a training, a validation and a test part; the training part gets the rest."""
    if not (0 < validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ValueError(f"expected shares above 0 with a sum below 1, got validation={validation}, test={test}")
    held_out, final = round(validation * len(order)), math.ceil(test * len(order))
    if not 0 < held_out < len(order) - final:
        raise ValueError(f"validation={validation} and test={test} leave a part of {len(order)} examples empty")
    final_part, held_out_part, train_part = order.split([final, held_out, len(order) - final - held_out])
    return train_part, held_out_part, final_part


def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # here, because it takes a second to import and MNIST does not need it

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float() / 16  # [1797, 8, 8]; scikit-learn counts ink from 0 to 16
    return x, torch.from_numpy(bunch.target).long()


def _mnist(folder: Path, download: bool) -> tuple[Tensor, Tensor]:
    if download:
        from torchvision.datasets import MNIST

        MNIST(folder, download=True)
    parts = {name: _read_idx(folder, name) for name in _MNIST_FILES}
    x = torch.cat([parts["train-images-idx3-ubyte"], parts["t10k-images-idx3-ubyte"]])  # [70000, 28, 28], uint8
    y = torch.cat([parts["train-labels-idx1-ubyte"], parts["t10k-labels-idx1-ubyte"]])
    return x.float() / 255, y.long()


def _read_idx(folder: Path, name: str) -> Tensor:
    """Read one file of MNIST, packed or not: two zeros, type, number of dimensions, sizes (big-endian), then bytes."""
    content, shape, checksum = _MNIST_FILES[name]
    places = [folder / "MNIST" / "raw", folder / "mnist", folder / "MNIST", folder]  # torchvision's place first
    found = [place / file for place in places for file in (f"{name}.gz", name) if (place / file).is_file()]
    remedy = "load('mnist', download=True) fetches MNIST, or set DLGUIDE_DATA to a folder that holds it"
    if not found:
        raise FileNotFoundError(f"{places[0] / name}.gz ({content} of MNIST) is missing: {remedy}")
    remedy = f"delete it, then {remedy}"
    path = found[0]
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} ({content} of MNIST) cannot be unpacked, {error}; {remedy}") from error
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    expected = len(header) + math.prod(shape)
    if len(raw) != expected or not raw.startswith(header):
        raise ValueError(
            f"{path} should hold the {content} of MNIST, {expected:,} bytes that begin with {header[:4].hex(' ')},"
            f" and holds {len(raw):,} bytes that begin with {raw[:4].hex(' ') or 'nothing'}; {remedy}"
        )
    if zlib.crc32(raw) != checksum:
        raise ValueError(f"{path} ({content} of MNIST) is damaged: its checksum is wrong; {remedy}")
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=len(header)).copy()).view(shape)

from dlguide.data.batches import BatchOrder, TensorBatches  # noqa: E402

__all__ = ["BatchOrder", "Splits", "TensorBatches", "data_folder", "load"]
