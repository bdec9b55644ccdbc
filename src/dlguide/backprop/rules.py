r"""Activations and losses, each beside its derivative: those of `dlguide.functional`, ready for a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlguide.functional import activations, losses


@dataclass(frozen=True)
class Activation:
    r"""An activation function $f$ and its derivative, taken at $z$ of shape (S, m).

    Most act on each entry by itself; then $f'$ holds one slope per entry. A function that mixes the entries of a row,
    such as softmax, has a Jacobian instead: $J_{ij} = \partial f_i / \partial z_j$, one matrix per row.

    Args:
        symbol: TeX of the function's name, for example `\sigma`.
        value: computes $f(z)$; same shape and dtype as $z$.
        slope: computes $f'(z)$, same shape and dtype as $z$; or the Jacobians, shape (S, m, m).
        jacobian: says that `slope` gives Jacobians.
        code: the Python of `value` and `slope`, with `{z}` for $z$; empty: the calls of these functions.

    Returns:
        An immutable pair of functions; [Layer][dlguide.backprop.Layer] takes it in place of a name.

    Example:
        ```python
        import torch
        from dlguide.backprop import Activation

        square = Activation(r"\operatorname{sq}", lambda z: z * z, lambda z: 2 * z)
        print(square.value(torch.tensor([3.0])), square.slope(torch.tensor([3.0])))
        ```

        ``` {.text .output}
        tensor([9.]) tensor([6.])
        ```
    """

    symbol: str
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    jacobian: bool = False
    code: tuple[str, str] = ("", "")

    @property
    def lines(self) -> tuple[str, str]:
        """The code of the function and of its derivative; `{z}` stands for what goes in."""
        value, slope = self.code
        return value or f"{_name(self.value, 'f')}({{z}})", slope or f"{_name(self.slope, 'f_derivative')}({{z}})"


# --8<-- [start:vjp]
def through(f: Activation, gradient: Tensor, z: Tensor) -> Tensor:
    """From dL/da to dL/dz, for a = f(z) of shape (S, m)."""
    if f.jacobian:  # row s: the vector times its own matrix
        return torch.einsum("si,sij->sj", gradient, f.slope(z))
    return gradient * f.slope(z)
# --8<-- [end:vjp]


@dataclass(frozen=True)
class Loss:
    r"""A loss $L(y, t)$ of the output $y$ and the target $t$, and where its gradient starts.

    Args:
        formula: TeX of $L$; $N$ is the number of elements of $y$ over the whole batch, $S$ the number of samples.
        start: TeX of $\partial L / \partial y$, the factor that stands before $f'(z)$ in $\delta_k$.
        value: computes $L$ (shape `()`) from $y$ and $t$; where `cancels` is set, from $z$ and $t$.
        slope: computes $\partial L / \partial y$ from $y$ and $t$; where `cancels` is set, $\partial L / \partial z$.
        cancels: name of the activation that the last layer must have and whose derivative cancels, or an empty string.
        classes: says that $t$ may hold the index of the right class, one integer per sample.
        code: the two lines of Python for `value` and `slope`; empty: the calls of these functions.

    Returns:
        An immutable rule; [backprop][dlguide.backprop.backprop] takes it in place of a name.

    Example:
        ```python
        import torch
        from dlguide.backprop import LOSSES

        y, t = torch.tensor([0.75]), torch.tensor([0.5])
        print(LOSSES["half_sse"].slope(y, t), LOSSES["mse_loss"].slope(y, t))
        ```

        ``` {.text .output}
        tensor([0.2500]) tensor([0.5000])
        ```

    References:
        - [torch.nn.functional, loss functions](https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions)
    """

    formula: str
    start: str
    value: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    cancels: str = ""
    classes: bool = False
    code: tuple[str, str] = ("", "")

    def of(self, z: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """The loss, from what goes into the last activation or from what comes out.

        Args:
            z: what goes into the last activation, shape (S, m).
            y: what comes out, shape (S, m).
            t: the targets.

        Returns:
            The loss, shape ().
        """
        return self.value(z if self.cancels else y, t)

    @property
    def lines(self) -> tuple[str, str]:
        """The code of the loss and of its gradient; `{z}` stands for what goes into the last activation."""
        value, slope = self.code
        return value or f"{_name(self.value, 'loss')}(y, t)", slope or f"{_name(self.slope, 'loss_gradient')}(y, t)"


def find_loss(loss: str | Loss) -> Loss:
    """The rule of that name."""
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use {', '.join(map(repr, LOSSES))} or a Loss.")
    return LOSSES[loss] if isinstance(loss, str) else loss


def _name(function: Callable[..., Any], otherwise: str) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else otherwise


def identity(x: Tensor) -> Tensor:
    """No activation: the last layer of a regression, or of a classifier that gives logits."""
    return x


def _softmax(x: Tensor) -> Tensor:
    return activations.softmax(x, -1)


def softmax_jacobian(x: Tensor) -> Tensor:
    r"""$\partial y_i / \partial x_j = y_i (1_{i=j} - y_j)$ for $y = \operatorname{softmax}(x)$, one matrix per row."""
    y = _softmax(x)
    return torch.diag_embed(y) - y[..., :, None] * y[..., None, :]


def log_softmax_jacobian(x: Tensor) -> Tensor:
    r"""$1_{i=j} - \operatorname{softmax}(x)_j$, one matrix per row."""
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) - _softmax(x)[..., None, :]


def _word(name: str) -> str:
    return rf"\operatorname{{{name}}}"


_ELEMENTWISE = {
    "sigmoid": r"\sigma",
    "tanh": r"\tanh",
    "relu": _word("ReLU"),
    "leaky_relu": _word("LeakyReLU"),
    "elu": _word("ELU"),
    "selu": _word("SELU"),
    "gelu": _word("GELU"),
    "silu": _word("SiLU"),
    "mish": _word("Mish"),
    "softplus": _word("softplus"),
}

ACTIVATIONS: dict[str, Activation] = {
    **{
        name: Activation(symbol, getattr(activations, name), getattr(activations, f"{name}_derivative"))
        for name, symbol in _ELEMENTWISE.items()
    },
    "identity": Activation(_word("id"), identity, torch.ones_like, code=("{z}", "torch.ones_like({z})")),
    "softmax": Activation(
        _word("softmax"), _softmax, softmax_jacobian, jacobian=True, code=("softmax({z}, -1)", "softmax_jacobian({z})")
    ),
    "log_softmax": Activation(
        _word("logsoftmax"),
        lambda z: activations.log_softmax(z, -1),
        log_softmax_jacobian,
        jacobian=True,
        code=("log_softmax({z}, -1)", "log_softmax_jacobian({z})"),
    ),
}
"""The activations that [Layer][dlguide.backprop.Layer] knows by name; softmax and log_softmax act on each row."""


# TeX of each loss and of the start of its gradient; t of the last group may be the index of a class
_NUMBERS = {
    "mse_loss": (r"\tfrac{1}{N} \|y - t\|^2", r"\tfrac{2}{N} (y - t)"),
    "l1_loss": (r"\tfrac{1}{N} \sum (|y - t|)", r"\tfrac{1}{N} \operatorname{sign}(y - t)"),
    "huber_loss": (r"\tfrac{1}{N} \sum (\operatorname{huber}(y - t))", r"\tfrac{1}{N} \operatorname{clip}(y - t)"),
    "smooth_l1_loss": (r"\tfrac{1}{N} \sum (\operatorname{huber}(y - t))", r"\tfrac{1}{N} \operatorname{clip}(y - t)"),
    "hinge_embedding_loss": (r"\tfrac{1}{N} \sum (\operatorname{hinge}(y, t))", r"\partial L / \partial y"),
    "binary_cross_entropy": (
        r"-\tfrac{1}{N} \sum (t \odot \ln y + (1 - t) \odot \ln (1 - y))",
        r"\tfrac{1}{N} (y - t) / (y \odot (1 - y))",
    ),
    "binary_cross_entropy_with_logits": (
        r"\tfrac{1}{N} \sum (\ln (1 + \exp y) - t \odot y)",
        r"\tfrac{1}{N} (\sigma(y) - t)",
    ),
}
_CLASSES = {
    "cross_entropy": (
        r"-\tfrac{1}{S} \sum (t \odot \ln \operatorname{softmax}(y))",
        r"\tfrac{1}{S} (\operatorname{softmax}(y) - t)",
    ),
    "nll_loss": (r"-\tfrac{1}{S} \sum (t \odot y)", r"(-\tfrac{1}{S} t)"),
    "multi_margin_loss": (r"\tfrac{1}{S} \operatorname{margin}(y, t)", r"\partial L / \partial y"),
}


def _half_sse(y: Tensor, t: Tensor) -> Tensor:
    return ((y - t) ** 2).sum() / 2


LOSSES: dict[str, Loss] = {
    "half_sse": Loss(
        r"\tfrac{1}{2} \|y - t\|^2",
        "(y - t)",
        _half_sse,
        torch.sub,
        code=("((y - t) ** 2).sum() / 2", "(y - t)"),
    ),
    "bce": Loss(
        r"-\tfrac{1}{N} \sum (t \odot \ln y + (1 - t) \odot \ln (1 - y))",
        r"\tfrac{1}{N} (y - t)",
        losses.binary_cross_entropy_with_logits,  # from z: no logarithm meets 0
        lambda y, t: (y - t) / y.numel(),
        cancels="sigmoid",
        code=("binary_cross_entropy_with_logits({z}, t)", "(y - t) / y.numel()"),
    ),
    "ce": Loss(
        r"-\tfrac{1}{S} \sum (t \odot \ln y)",
        r"\tfrac{1}{S} (y - t)",
        losses.cross_entropy,
        lambda y, t: (y - t) / len(y),
        cancels="softmax",
        classes=True,
        code=("cross_entropy({z}, t)", "(y - t) / len(y)"),
    ),
    **{
        name: Loss(*texts, getattr(losses, name), getattr(losses, f"{name}_gradient"), classes=name in _CLASSES)
        for name, texts in (_NUMBERS | _CLASSES).items()
    },
    "kl_div": Loss(
        r"\tfrac{1}{S} \sum (t \odot (\ln t - y))",
        r"(-\tfrac{1}{S} t)",
        lambda y, t: losses.kl_div(y, t, reduction="sum") / len(y),
        lambda y, t: losses.kl_div_gradient(y, t, reduction="sum") / len(y),
        code=('kl_div(y, t, reduction="sum") / len(y)', "(-t) / len(y)"),
    ),
}
"""The losses that [backprop][dlguide.backprop.backprop] knows by name; the mean, as in PyTorch, except `half_sse`."""
