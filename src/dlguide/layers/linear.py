"""The fully connected layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dlguide.functional.linear import linear
from dlguide.init import kaiming_uniform_
from dlguide.layers._base import Layer


class Linear(Layer):
    r"""A fully connected layer $y = x W^\top + b$ of $m$ neurons on $n$ inputs.

    Weights and biases start uniform in $\left(-\frac{1}{\sqrt n}, \frac{1}{\sqrt n}\right)$, as PyTorch's.

    Args:
        in_features: $n$, the number of inputs of a sample.
        out_features: $m$, the number of neurons.
        bias: whether there is a $b$.
        device: where the parameters are made; None: the default device.
        dtype: floating dtype of the parameters; None: the default dtype.

    Returns:
        A layer with `weight` of shape (m, n) and `bias` of shape (m,) or None.

    Example:
        ```python
        import torch
        from dlguide.layers.linear import Linear

        layer = Linear.load_from_torch(torch.nn.Linear(3, 2))
        print(layer, layer(torch.ones(5, 3)).shape)
        ```

        ``` {.text .output}
        Linear(in_features=3, out_features=2, bias=True) torch.Size([5, 2])
        ```

    References:
        - [torch.nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html)
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self._reset()

    # --8<-- [start:reset]
    def _reset(self) -> None:
        if self.weight.numel():
            kaiming_uniform_(self.weight, a=math.sqrt(5))  # U(-1/sqrt(n), 1/sqrt(n))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0
            with torch.no_grad():
                self.bias.uniform_(-bound, bound)
    # --8<-- [end:reset]

    def forward(self, input: Tensor) -> Tensor:
        """Map samples (..., n) to outputs (..., m)."""
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, as PyTorch prints them."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
