"""Layers that normalize each example alone: LayerNorm, GroupNorm, RMSNorm, LocalResponseNorm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlguide.functional.normalization import group_norm, layer_norm
from dlguide.functional.scale_normalization import local_response_norm, rms_norm
from dlguide.layers._base import Layer


class LayerNorm(Layer):
    r"""Normalizes over the last dimensions, then scales and shifts by learned numbers.

    $$y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta$$

    Args:
        normalized_shape: the last sizes of the input; a number stands for one dimension.
        eps: $\varepsilon$ under the root.
        elementwise_affine: whether to learn $\gamma$ (`weight`, starts at 1) and $\beta$ (`bias`, starts at 0), each of
            shape `normalized_shape`.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[..., *normalized_shape]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.normalization import LayerNorm

        print(LayerNorm(3)(torch.tensor([[1.0, 2.0, 3.0]])))
        ```

        ``` {.text .output}
        tensor([[-1.2247,  0.0000,  1.2247]], grad_fn=<AddBackward0>)
        ```

    References:
        - Ba, Kiros, Hinton: Layer Normalization, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450), equation 4.
        - [torch.nn.LayerNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = nn.Parameter(torch.ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `[..., *normalized_shape]`."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Layer):
    r"""Normalizes each example over groups of channels, then scales and shifts each channel.

    Args:
        num_groups: $G$, divides the number of channels.
        num_channels: $C$.
        eps: $\varepsilon$ under the root.
        affine: whether to learn $\gamma$ (`weight`, starts at 1) and $\beta$ (`bias`, starts at 0), of shape `[C]`.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[N, C, ...]`; the output has the same shape.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.

    Example:
        ```python
        import torch
        from dlguide.layers.normalization import GroupNorm

        print(GroupNorm(2, 4, affine=False)(torch.tensor([[1.0, 3.0, 10.0, 30.0]])))
        ```

        ``` {.text .output}
        tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
        ```

    References:
        - Wu, He: Group Normalization, [arXiv:1803.08494](https://arxiv.org/abs/1803.08494), equation 7.
        - [torch.nn.GroupNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"expected num_groups to divide num_channels={num_channels}, got {num_groups}: choose a divisor"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `[N, C, ...]`."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class RMSNorm(Layer):
    r"""Divides by the root of the mean square over the last dimensions, then scales by learned numbers.

    $$y = \gamma \odot \frac{x}{\sqrt{\frac{1}{m} \sum_j x_j^2 + \varepsilon}}$$

    Args:
        normalized_shape: the last sizes of the input; a number stands for one dimension.
        eps: $\varepsilon$ under the root; None takes that of the input's dtype.
        elementwise_affine: whether to learn $\gamma$ (`weight`, starts at 1), of shape `normalized_shape`.

    Returns:
        A layer for inputs `[..., *normalized_shape]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.normalization import RMSNorm

        print(RMSNorm(4, elementwise_affine=False)(torch.tensor([3.0, 4.0, 0.0, 0.0])))
        ```

        ``` {.text .output}
        tensor([1.2000, 1.6000, 0.0000, 0.0000])
        ```

    References:
        - Zhang, Sennrich: Root Mean Square Layer Normalization, [arXiv:1910.07467](https://arxiv.org/abs/1910.07467),
          equation 4.
        - [torch.nn.RMSNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = nn.Parameter(torch.ones(self.normalized_shape)) if elementwise_affine else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `[..., *normalized_shape]`."""
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)


class LocalResponseNorm(Layer):
    r"""Divides each number by a power of the mean square of the neighbouring channels at its position.

    $$y_c = x_c \left( k + \frac{\alpha}{n} \sum_{j \in W(c)} x_j^2 \right)^{-\beta}$$

    Args:
        size: $n$, the channels in the window $W(c)$ around $c$.
        alpha: $\alpha$; PyTorch divides it by $n$, the paper does not.
        beta: $\beta$, the power.
        k: $k$.

    Returns:
        A layer without parameters for inputs `[N, C, ...]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.normalization import LocalResponseNorm

        norm = LocalResponseNorm(3, alpha=3.0, beta=1.0, k=0.0)
        print(norm(torch.tensor([[[1.0], [2.0], [3.0]]])).flatten())  # 1/5, 2/14, 3/13
        ```

        ``` {.text .output}
        tensor([0.2000, 0.1429, 0.2308])
        ```

    References:
        - Krizhevsky, Sutskever, Hinton: [ImageNet Classification with Deep Convolutional Neural Networks](
          https://proceedings.neurips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html), section 3.3.
        - [torch.nn.LocalResponseNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `[N, C, ...]`, at least three dimensions."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)
