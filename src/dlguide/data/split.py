r"""Three parts that share no example: `Splits`, and how the readers' examples become one.

A reader returns `Examples`: everything it found, in one piece. Here the piece is cut by a seed, pictures are scaled to
$[0, 1]$ and standardised, texts become numbers. What is learned from data on the way, the mean, the deviation and the
vocabulary, is learned from the training part alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from dlguide.data.vocabulary import Vocabulary, pad


@dataclass(frozen=True)
class Splits:
    """Three parts of one data set that share no example.

    Args:
        train: the examples to learn from; `train.tensors` is `(x [N, ...], y [N])` for pictures and
            `(ids [N, T], lengths [N], y [N])` for texts, ids and lengths int64, padded with 0 behind the end.
        validation: the examples that choose between models (the best epoch, the learning rate).
        test: the examples that are looked at once, at the end.
        classes: the name of each class; `y` holds indices into it, int64, in `[0, len(classes))`.
        mean: what was subtracted from the pixels, one number for each channel if there are several; 0 for nothing.
        std: what the pixels were divided by, one number for each channel if there are several; 1 for nothing.
        vocabulary: which word has which number; None for pictures.

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
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True)
class Examples:
    """What a reader found: first the examples to learn from, then those that come as validation, then those as test."""

    x: Tensor | list[str]  # pictures [N, C, H, W], uint8 or float32 in [0, 1]; or texts
    y: Tensor  # [N], int64
    classes: tuple[str, ...]
    validation: int = 0  # how many come as a validation part of their own; 0: it is cut from the others
    test: int = 0  # the same for the test part
    together: int = 1  # so many neighbours must not be torn apart


def cut(examples: Examples, validation: float, test: float, seed: int) -> list[Tensor]:
    """Choose the rows of the training, the validation and the test part.

    A part that the set brings along stays what it is; the shares count for the others.
    """
    total, size = len(examples.y), examples.together
    free = (total - examples.validation - examples.test) // size
    shares = [share for share, own in ((validation, examples.validation), (test, examples.test)) if not own]
    if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
        raise ValueError(f"expected shares above 0 with a sum below 1, got validation={validation}, test={test}")
    held_out = 0 if examples.validation else round(validation * free)
    final = 0 if examples.test else math.ceil(test * free)
    if held_out + final >= free or not (examples.validation or held_out):
        raise ValueError(f"validation={validation} and test={test} leave a part of {free * size} examples empty")
    order = torch.randperm(free, generator=torch.Generator().manual_seed(seed))
    rows = (order.unsqueeze(1) * size + torch.arange(size)).split([final, held_out, free - held_out - final])
    test_rows, validation_rows, train_rows = (part.flatten() for part in rows)
    own = torch.arange(free * size, total)
    return [
        train_rows,
        own[: examples.validation] if examples.validation else validation_rows,
        own[examples.validation :] if examples.test else test_rows,
    ]


def picture_splits(examples: Examples, rows: list[Tensor], layout: str, standardize: bool) -> Splits:
    """Scale, standardise and lay out pictures."""
    assert isinstance(examples.x, Tensor)
    pictures = [examples.x[part] for part in rows]  # uint8 stays uint8 until here: a quarter of the memory
    pictures = [x.float().div_(255) if x.dtype == torch.uint8 else x for x in pictures]
    count = pictures[0].shape[1]
    means, stds = (0.0,) * count, (1.0,) * count
    if standardize:
        channels = [pictures[0][:, c].double() for c in range(count)]
        means = tuple(channel.mean().item() for channel in channels)
        stds = tuple(channel.std().item() or 1.0 for channel in channels)  # a channel that never changes stays at 0
        for x in pictures:
            for c, (m, s) in enumerate(zip(means, stds, strict=True)):
                x[:, c].sub_(m).div_(s)
    mean, std = (means[0], stds[0]) if count == 1 else (means, stds)
    if layout == "rows":  # [N, C, H, W] -> [N, H, C * W]: one step for each row of pixels
        pictures = [x.transpose(1, 2).flatten(2) for x in pictures]
    train, held_out, final = (TensorDataset(x, examples.y[part]) for x, part in zip(pictures, rows, strict=True))
    return Splits(train, held_out, final, examples.classes, mean, std)


def text_splits(examples: Examples, rows: list[Tensor], max_length: int, max_words: int, unit: str) -> Splits:
    """Number the words of texts; the vocabulary is that of the training part."""
    assert isinstance(examples.x, list)
    texts = [[examples.x[row] for row in part.tolist()] for part in rows]
    vocabulary = Vocabulary.build(texts[0], max_words=max_words, unit=unit)
    train, held_out, final = (
        TensorDataset(*pad([vocabulary.encode(text)[:max_length] for text in some]), examples.y[part])
        for some, part in zip(texts, rows, strict=True)
    )
    return Splits(train, held_out, final, examples.classes, vocabulary=vocabulary)
