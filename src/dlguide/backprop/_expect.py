"""Errors before the arithmetic: one sentence that says what was expected, what came, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from dlguide.backprop.label import name_of
from dlguide.backprop.rules import ACTIVATIONS, Loss

if TYPE_CHECKING:
    from dlguide.backprop.network import Layer


def expect_fit(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> None:
    """Raise a ValueError unless the shapes and dtypes of a network, a sample and a target fit together."""
    if not layers:
        raise ValueError("the list of layers is empty: give at least one Layer.")
    if x.ndim not in (1, 2):
        raise ValueError(f"x has shape {by(x)}: give one sample as a vector (n,) or a batch as a matrix (S, n).")
    indexed = rule.classes and not t.is_floating_point()
    named = {"x": x, **({} if indexed else {"t": t}), **parameters(layers)}
    if not x.is_floating_point() or any(v.dtype != x.dtype for v in named.values()):
        found = ", ".join(f"{name} {str(v.dtype).removeprefix('torch.')}" for name, v in named.items())
        raise ValueError(f"all tensors need one floating dtype, but came {found}: convert them, e.g. with .double().")
    width, source = x.shape[-1], "x"
    for i, layer in enumerate(layers, 1):
        m, n = layer.W.shape
        if n != width:
            need = f"W{i} must be {m}×{width}, one row per neuron and one column per entry of {source}"
            raise ValueError(f"W{i} is {m}×{n} but {source} has {width} entries: {need}.")
        width, source = m, name_of(i, len(layers))
    y_shape = (*x.shape[:-1], width)
    if indexed:
        if t.shape != x.shape[:-1]:
            raise ValueError(f"t has shape {tuple(t.shape)} but y has shape {y_shape}: give one class per sample.")
        if t.numel() and not 0 <= t.min() <= t.max() < width:
            raise ValueError(f"t holds classes from {t.min()} to {t.max()} but y has {width} entries: count from 0.")
    elif t.shape != y_shape:
        raise ValueError(f"t has shape {tuple(t.shape)} but y has shape {y_shape}: give one target per output.")
    if rule.cancels and layers[-1].f is not ACTIVATIONS[rule.cancels]:
        raise ValueError(f"this loss needs a {rule.cancels} output but the last layer is {layers[-1]!r}: change one.")


def parameters(layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The weights and biases by name: W1, b1, W2, …"""
    return {f"{kind}{i}": value for i, la in enumerate(layers, 1) for kind, value in (("W", la.W), ("b", la.b))}


def one_of(table: Iterable[str]) -> str:
    """The names that may be used."""
    return ", ".join(repr(name) for name in table)


def by(value: Tensor) -> str:
    """A shape as 2×3."""
    return "×".join(map(str, value.shape)) if value.ndim > 1 else str(tuple(value.shape))
