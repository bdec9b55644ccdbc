"""MNIST and CIFAR-10 as torchvision's data sets hand them out: one PIL picture at a time, transformed on the way."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

FOLDER = Path(os.environ["DLGUIDE_DATA"])


class Pictures(Dataset):
    def __init__(self, pixels: np.ndarray, labels: np.ndarray, transform: Callable[[Any], Any]) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[i])), int(self.labels[i])


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 28, 28] and labels [N] of `train` or `t10k`."""
    def read(name: str, start: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((FOLDER / "mnist" / name).read_bytes()), np.uint8, offset=start)

    pixels, labels = read(f"{part}-images-idx3-ubyte.gz", 16), read(f"{part}-labels-idx1-ubyte.gz", 8)
    return pixels.reshape(-1, 28, 28), labels


def cifar10(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 32, 32, 3] and labels [N] of `train` or `test`."""
    sheets = range(50) if part == "train" else range(50, 60)
    pixels = [
        np.asarray(Image.open(FOLDER / f"cifar-10/b{sheet:02d}.webp").convert("RGB"))
        .reshape(25, 32, 40, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
        for sheet in sheets
    ]
    lines = lzma.decompress((FOLDER / "cifar-10/labels_names.txt.xz").read_bytes()).decode().splitlines()
    labels = np.array([int(line.split(" ", 1)[0]) for line in lines])
    return np.concatenate(pixels), labels[:50_000] if part == "train" else labels[50_000:]
