"""Layers that normalize each channel and may keep running statistics: BatchNorm1d/2d, InstanceNorm1d/2d."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from dlguide.functional.batch_normalization import batch_norm
from dlguide.functional.instance_normalization import instance_norm
from dlguide.layers._base import Layer


class _ChannelNorm(Layer):
    """One weight, bias, running mean and running variance for each channel."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _dims: tuple[int, ...] = ()
    _form = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine and bias else None
        self.register_buffer("running_mean", torch.zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", torch.ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)

    def _check(self, input: Tensor) -> None:
        if input.dim() not in self._dims:
            raise ValueError(f"expected an input of shape {self._form}, got {list(input.shape)}: {self._mend(input)}")

    def _mend(self, input: Tensor) -> str:
        return "add or flatten dimensions" if input.dim() < 5 else "PyTorch has a 3d layer for volumes"


class _BatchNorm(_ChannelNorm):
    # --8<-- [start:batch-norm-forward]
    def forward(self, input: Tensor) -> Tensor:
        """Normalize with the batch in training, with the running statistics in evaluation."""
        self._check(input)
        momentum = self.momentum or 0.0
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            if self.momentum is None:  # the plain mean over all batches so far
                momentum = 1 / int(self.num_batches_tracked)
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or self.running_mean is None, momentum, self.eps,
        )  # fmt: skip
    # --8<-- [end:batch-norm-forward]


class BatchNorm1d(_BatchNorm):
    r"""Normalizes each feature over the batch, then scales and shifts it by learned numbers.

    $$y = \gamma_c\, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c$$

    In training $\mu_c, \sigma_c^2$ come from the batch; `running_mean` and `running_var` follow them. In evaluation
    those two take their place.

    Args:
        num_features: $C$.
        eps: $\varepsilon$ under the root.
        momentum: the share of the new batch in the running statistics; None keeps the plain mean of all batches.
        affine: whether to learn $\gamma$ (`weight`, starts at 1) and $\beta$ (`bias`, starts at 0), of shape `[C]`.
        track_running_stats: whether to keep running statistics; without them evaluation uses the batch too.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[N, C]` or `[N, C, L]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.batch_normalization import BatchNorm1d

        norm = BatchNorm1d(1, affine=False)
        print(norm(torch.tensor([[1.0], [3.0]])).flatten())
        print(norm.eval()(torch.tensor([[1.0], [3.0]])).flatten())  # running mean 0.2, variance 1.1
        ```

        ``` {.text .output}
        tensor([-1.0000,  1.0000])
        tensor([0.7628, 2.6697])
        ```

    References:
        - Ioffe, Szegedy: Batch Normalization, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), algorithms 1 and 2.
        - [torch.nn.BatchNorm1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html)
    """

    _dims, _form = (2, 3), "[N, C] or [N, C, L]"


class BatchNorm2d(_BatchNorm):
    r"""Normalizes each channel over the batch and all pixels, then scales and shifts it by learned numbers.

    The formula is that of [BatchNorm1d][dlguide.layers.batch_normalization.BatchNorm1d].

    Args:
        num_features: $C$.
        eps: $\varepsilon$ under the root.
        momentum: the share of the new batch in the running statistics; None keeps the plain mean of all batches.
        affine: whether to learn $\gamma$ (`weight`, starts at 1) and $\beta$ (`bias`, starts at 0), of shape `[C]`.
        track_running_stats: whether to keep running statistics; without them evaluation uses the batch too.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[N, C, H, W]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.batch_normalization import BatchNorm2d

        torch.manual_seed(0)
        y = BatchNorm2d(3)(5 + 2 * torch.randn(4, 3, 8, 8))
        print(y.mean((0, 2, 3)).abs().max() < 1e-5, y.var((0, 2, 3), correction=0).detach())
        ```

        ``` {.text .output}
        tensor(True) tensor([1.0000, 1.0000, 1.0000])
        ```

    References:
        - Ioffe, Szegedy: Batch Normalization, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), section 3.2.
        - [torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)
    """

    _dims, _form = (4,), "[N, C, H, W]"


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize each channel of each example; without a batch dimension the input is one example."""
        self._check(input)
        batch = input if input.dim() == max(self._dims) else input[None]
        self._check_features(batch.shape[1])
        use_input_stats = self.training or not self.track_running_stats
        y = instance_norm(batch, self.running_mean, self.running_var, self.weight, self.bias, use_input_stats,
                          self.momentum or 0.0, self.eps)  # fmt: skip
        return y.reshape(input.shape)

    def _check_features(self, came: int) -> None:
        if came != self.num_features:
            said = f"expected num_features={self.num_features} channels, got an input with {came}: make them equal"
            if self.affine:
                raise ValueError(said)
            warnings.warn(said + "; nothing here depends on the number", stacklevel=3)


class InstanceNorm1d(_InstanceNorm):
    r"""Normalizes each channel of each sequence over its positions.

    Args:
        num_features: $C$.
        eps: $\varepsilon$ under the root.
        momentum: the share of the new batch in the running statistics.
        affine: whether to learn $\gamma$ (`weight`) and $\beta$ (`bias`), each of shape `[C]`.
        track_running_stats: whether to keep running statistics and use them in evaluation.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[N, C, L]` or `[C, L]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.batch_normalization import InstanceNorm1d

        print(InstanceNorm1d(2)(torch.tensor([[1.0, 3.0], [10.0, 30.0]])))
        ```

        ``` {.text .output}
        tensor([[-1.0000,  1.0000],
                [-1.0000,  1.0000]])
        ```

    References:
        - [torch.nn.InstanceNorm1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.InstanceNorm1d.html)
    """

    _dims, _form = (2, 3), "[N, C, L] or [C, L]"


class InstanceNorm2d(_InstanceNorm):
    r"""Normalizes each channel of each picture over its pixels.

    Args:
        num_features: $C$.
        eps: $\varepsilon$ under the root.
        momentum: the share of the new batch in the running statistics.
        affine: whether to learn $\gamma$ (`weight`) and $\beta$ (`bias`), each of shape `[C]`.
        track_running_stats: whether to keep running statistics and use them in evaluation.
        bias: whether to learn $\beta$; without effect where there is no $\gamma$.

    Returns:
        A layer for inputs `[N, C, H, W]` or `[C, H, W]`; the output has the same shape.

    Example:
        ```python
        import torch
        from dlguide.layers.batch_normalization import InstanceNorm2d

        print(InstanceNorm2d(1)(torch.tensor([[[[1.0, 3.0], [3.0, 1.0]]]])).flatten(1))
        ```

        ``` {.text .output}
        tensor([[-1.0000,  1.0000,  1.0000, -1.0000]])
        ```

    References:
        - Ulyanov, Vedaldi, Lempitsky: Instance Normalization, [arXiv:1607.08022](https://arxiv.org/abs/1607.08022),
          equation 4.
        - [torch.nn.InstanceNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html)
    """

    _dims, _form = (3, 4), "[N, C, H, W] or [C, H, W]"
