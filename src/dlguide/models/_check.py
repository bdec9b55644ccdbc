"""What the models say when they get the wrong input: what was expected, what came, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_sizes(**sizes: int) -> None:
    """Every size is a whole number of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"expected a whole number of at least 1 as {name}, got {size!r}")


def check_list(name: str, sizes: Sequence[int], count: int | None = None) -> None:
    """A list of sizes, of so many of them if a count is given."""
    if not isinstance(sizes, list | tuple) or (count is not None and len(sizes) != count):
        wanted = f"a list of {count} sizes" if count else "a list of sizes"
        raise ValueError(f"expected {wanted} as {name}, such as {[64] * (count or 1)}, got {sizes!r}")
    check_sizes(**{f"{name}[{i}]": size for i, size in enumerate(sizes)})


def check_share(name: str, value: float) -> None:
    """A probability that is not certain."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"expected {name} in [0, 1), got {value!r}")


def check_pictures(x: Tensor, in_shape: Sequence[int], model: str) -> None:
    """Pictures of exactly the shape that the model was built for; the sentence names what differs."""
    got = tuple(x.shape[1:])
    if got != tuple(in_shape):
        named = zip(("channels", "height", "width"), got, in_shape, strict=False)
        wrong = ", ".join(f"{name} {a} instead of {b}" for name, a, b in named if a != b)
        raise ValueError(
            f"expected pictures of shape [N, {', '.join(map(str, in_shape))}], got {list(x.shape)}"
            + (f" ({wrong})" if len(got) == 3 else "")
            + f": reshape them, or build {model}(in_shape={got}) if that is what they are"
        )


def check_channels(x: Tensor, channels: int, model: str) -> None:
    """Pictures of any height and width with the right number of channels."""
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"expected pictures of shape [N, {channels}, H, W], got {list(x.shape)}: "
            + (f"build {model}(in_channels={x.shape[1]}) for these" if x.dim() == 4
               else "x.unsqueeze(1) adds the channel of grey pictures, x.unsqueeze(0) the batch of a single one")
        )  # fmt: skip


def check_ids(ids: Tensor, vocabulary: int, name: str = "ids") -> None:
    """Ids [N, T] inside the table of embeddings.

    The values are read on a CPU only. On a GPU that would make each forward pass wait for the device.
    """
    if ids.dim() != 2 or ids.shape[1] == 0:
        raise ValueError(
            f"expected {name} of shape [N, T], one row for each text, got {list(ids.shape)}: "
            + ("ids[None] makes one text a batch of one" if ids.dim() == 1 else "dlguide.data.pad_batch makes them")
        )
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"expected int64 numbers as {name}, got {ids.dtype}: encode the text with a Vocabulary")
    if readable(ids) and ids.numel() and not 0 <= ids.min() <= ids.max() < vocabulary:
        wrong = ids.max() if ids.max() >= vocabulary else ids.min()
        raise ValueError(
            f"expected {name} in [0, {vocabulary}), got {wrong}: build the model with the len() of the vocabulary that"
            " encoded the text"
        )


def check_lengths(lengths: Tensor, n: int, t: int) -> None:
    """One length for each of n sequences, between 1 and t."""
    fits = lengths.shape == (n,) and not lengths.is_floating_point()
    if not fits or (readable(lengths) and n and not 1 <= lengths.min() <= lengths.max() <= t):
        shown = lengths.tolist() if readable(lengths) else list(lengths.shape)
        raise ValueError(f"expected {n} lengths between 1 and {t}, got {shown} (one whole number for each sequence)")


def readable(x: Tensor) -> bool:
    """Whether the values can be looked at without waiting for a device, and are there at all."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def real_positions(ids: Tensor, lengths: Tensor | None) -> Tensor:
    """Say which positions hold text and which are padding.

    Args:
        ids: `[N, T]`.
        lengths: `[N]`, or None if nothing is padded.

    Returns:
        `[N, T]`, bool, True where there is text.
    """
    if lengths is None:
        return torch.ones_like(ids, dtype=torch.bool)
    check_lengths(lengths, *ids.shape)
    return torch.arange(ids.shape[1], device=ids.device) < lengths.to(ids.device)[:, None]
