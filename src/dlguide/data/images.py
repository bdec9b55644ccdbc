"""Picture folders: one folder for each class, read with Pillow into one tensor."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlguide.data.files import DataError, own_parts, visible
from dlguide.data.split import Examples

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"}
_GREY, _COLOUR = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}


def read_image_folder(folder: Path, size: int | tuple[int, int] | None) -> Examples:
    """Read folder/CLASS/picture files, or folder/train/CLASS and folder/test/CLASS, with folder/val if there is one."""
    parts = own_parts(folder) or {"train": folder}
    classes = _class_names(parts["train"])
    found = {part: _files(place, classes) for part, place in parts.items()}
    order = [part for part in ("train", "validation", "test") if part in found]
    files = [file for part in order for file in found[part]]
    x = _decode([path for path, _ in files], size)
    y = torch.tensor([label for _, label in files])
    validation, test = len(found.get("validation", [])), len(found.get("test", []))
    return Examples(x, y, classes, validation=validation, test=test)


def _class_names(folder: Path) -> tuple[str, ...]:
    classes = tuple(path.name for path in visible(folder) if path.is_dir())
    if len(classes) < 2:
        raise DataError(f"{folder} should hold a folder for each of at least two classes, and holds {len(classes)}")
    return classes


def _files(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """List the picture files below each class folder with the number of the class."""
    if extra := set(_class_names(folder)) - set(classes):
        raise DataError(f"{folder} holds the class {min(extra)!r}, which the training part does not have")
    found = []
    for label, name in enumerate(classes):
        pictures = [path for path in visible(folder / name, "**/*") if path.suffix.lower() in ENDINGS]
        if not pictures:
            raise DataError(f"{folder / name} should hold pictures ({', '.join(sorted(ENDINGS))}), and holds none")
        found += [(path, label) for path in pictures]
    return found


def _decode(files: list[Path], size: int | tuple[int, int] | None) -> Tensor:
    """Decode pictures into one tensor, uint8 [N, C, H, W]; C is 1 if all are grey, else 3."""
    if size is not None:
        _check_memory(len(files), *((size, size) if isinstance(size, int) else size))
    pictures: list[Any] = [open_picture(files[0], size)]
    _check_memory(len(files), *pictures[0].shape)
    pictures += [open_picture(path, size) for path in files[1:]]
    shapes = [picture.shape[:2] for picture in pictures]
    for path, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            raise DataError(
                f"{path} is {shape[1]} x {shape[0]} pixels and {files[0]} is {shapes[0][1]} x {shapes[0][0]}: one"
                " tensor needs one size, so say load(..., size=64) to scale and crop all of them to 64 x 64"
            )
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [p if p.ndim == 3 else np.repeat(p[:, :, None], 3, axis=2) for p in pictures]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


def _check_memory(pictures: int, height: int, width: int, channels: int = 1) -> None:
    """Say it before the system ends the process: a value takes 1 byte as it is read and 4 as float32."""
    needed = 5 * pictures * height * width * channels
    if needed > memory():
        raise DataError(
            f"{pictures:,} pictures of {height:,} x {width:,} need at least {needed / 1e9:,.0f} GB of memory and this"
            f" machine has {memory() / 1e9:,.0f} GB: give a smaller size, or take fewer pictures"
        )


def memory() -> float:
    """Bytes of memory of this machine; infinity where Python cannot ask."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return math.inf


def open_picture(path: Path, size: int | tuple[int, int] | None, mode: str | None = None) -> Any:
    """Decode one picture: [H, W] in mode "L", [H, W, 3] in mode "RGB"; without a mode, as the file is."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            if file.mode not in _GREY | _COLOUR:
                raise DataError(f"{path} has pixels of kind {file.mode!r}: save it with 8 bits for each channel")
            picture = ImageOps.exif_transpose(file)  # cameras store a turned picture and a note which side is up
            picture = picture.convert(mode or ("L" if file.mode in _GREY else "RGB"))
            if size is not None:  # scale the shorter side, then crop the middle
                height, width = (size, size) if isinstance(size, int) else size
                picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
            return np.array(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be decoded as a picture, {error}; take it out or get it again") from error
