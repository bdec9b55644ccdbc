"""The activation that has parameters of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlguide.functional.activations import prelu
from dlguide.layers._base import Layer


class PReLU(Layer):
    r"""Leaky ReLU whose slope for negative numbers is learned: $f(x) = x$ if $x > 0$, otherwise $a x$.

    Args:
        num_parameters: the number of slopes: 1 for all, or one for each channel (dimension 1 of the input).
        init: the value of $a$ at the start.
        device: where the slopes are made; None: the default device.
        dtype: floating dtype of the slopes; None: the default dtype.

    Returns:
        A layer with the parameter `weight`, $a$, of shape (num_parameters,).

    Example:
        ```python
        import torch
        from dlguide.layers.activations import PReLU

        layer = PReLU()
        layer(torch.tensor([-2.0, 3.0, -4.0])).sum().backward()
        print(layer.weight.grad)  # the sum of the negative entries
        ```

        ``` {.text .output}
        tensor([-6.])
        ```

    References:
        - He et al.: Delving Deep into Rectifiers, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), section 2.1.
        - [torch.nn.PReLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html)
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = nn.Parameter(torch.full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to each entry; the shape stays."""
        return prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes, as PyTorch prints it."""
        return f"num_parameters={self.num_parameters}"
