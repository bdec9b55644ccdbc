r"""Activations and losses, each written beside its derivative, as `dlguide.backprop` needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    r"""An activation function $f$ and its derivative $f'$, both taken element by element at $z$.

    Args:
        symbol: TeX of the function's name, for example `\sigma`.
        value: computes $f(z)$; same shape and dtype as $z$.
        slope: computes $f'(z)$; same shape and dtype as $z$.

    Returns:
        An immutable pair of functions; [Layer][dlguide.backprop.Layer] takes it in place of a name.

    Example:
        ```python
        import torch
        from dlguide.functions import Activation

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


def _sigmoid(z: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-z))


ACTIVATIONS = {
    "sigmoid": Activation(r"\sigma", _sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": Activation(r"\tanh", torch.tanh, lambda z: 1 - torch.tanh(z) ** 2),
    "relu": Activation(r"\operatorname{ReLU}", torch.relu, lambda z: (z > 0).to(z.dtype)),  # slope 0 at 0, as torch
    "identity": Activation(r"\operatorname{id}", lambda z: z, torch.ones_like),
}


@dataclass(frozen=True)
class Loss:
    r"""A loss $L(y, t)$ of the output $y$ and the target $t$, and where its gradient starts.

    Args:
        formula: TeX of $L$; $N$ is the number of elements of $y$, over the whole batch.
        start: TeX of the factor that stands before $f'(z)$ in $\delta_k$.
        value: computes $L$ (shape `()`) from $z$ (before the last activation), $y$ and $t$.
        slope: computes $\partial L / \partial y$ from $y$ and $t$; where `cancels` is set, $\partial L / \partial z$.
        cancels: name of the activation that the last layer must have and whose derivative cancels, or an empty string.

    Returns:
        An immutable rule; [backprop][dlguide.backprop.backprop] takes it in place of a name.

    Example:
        ```python
        import torch
        from dlguide.functions import LOSSES

        y, t = torch.tensor([0.75]), torch.tensor([0.5])
        print(LOSSES["half_sse"].slope(y, t), LOSSES["mse"].slope(y, t))
        ```

        ``` {.text .output}
        tensor([0.2500]) tensor([0.5000])
        ```

    References:
        - [torch.nn.MSELoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html)
        - [torch.nn.BCELoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html)
    """

    formula: str
    start: str
    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    cancels: str = ""


def _bce(z: Tensor, y: Tensor, t: Tensor) -> Tensor:
    # -t ln y - (1-t) ln(1-y) with y = sigmoid(z), rewritten in z so that nothing overflows and no logarithm meets 0
    return (torch.relu(z) - t * z + torch.log1p(torch.exp(-z.abs()))).mean()


LOSSES = {
    "half_sse": Loss(
        r"\tfrac{1}{2} \|y - t\|^2",
        r"(y - t)",
        lambda z, y, t: ((y - t) ** 2).sum() / 2,
        lambda y, t: y - t,
    ),
    "mse": Loss(
        r"\tfrac{1}{N} \|y - t\|^2",
        r"\tfrac{2}{N} (y - t)",
        lambda z, y, t: ((y - t) ** 2).mean(),
        lambda y, t: 2 * (y - t) / y.numel(),
    ),
    "bce": Loss(
        r"-\tfrac{1}{N} \sum (t \ln y + (1 - t) \ln (1 - y))",
        r"\tfrac{1}{N} (y - t)",
        _bce,
        lambda y, t: (y - t) / y.numel(),
        cancels="sigmoid",
    ),
}
