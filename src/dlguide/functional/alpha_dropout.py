r"""Alpha dropout: random units or channels go to the floor of SELU, so that mean 0 and variance 1 survive."""

from __future__ import annotations

import math

from torch import Tensor

from dlguide.functional.dropout import _check_p, dropout_mask

SELU_FLOOR = -1.7580993408473766  # the value that SELU tends to on the far left


# --8<-- [start:alpha-dropout]
def _floored(x: Tensor, p: float, training: bool, channels: bool) -> Tensor:
    _check_p(p)
    if p == 0 or not training:
        return x
    if p == 1:
        return x * 0
    keep = dropout_mask(x, p, channels)
    scale = 1 / math.sqrt((1 - p) * (1 + p * SELU_FLOOR**2))
    return x * (keep * scale) + scale * SELU_FLOOR * (1 - keep - p)
# --8<-- [end:alpha-dropout]


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    r"""Set numbers to the floor of SELU, with probability p, and keep mean 0 and variance 1.

    $$y = a\,(x \odot b + f (1 - b)) - a f p, \qquad a = \frac{1}{\sqrt{(1 - p)(1 + p f^2)}}$$

    with the draws $b$ of dropout and the floor $f \approx -1.758$. An input of mean 0 and variance 1 gives an output of
    mean 0 and variance 1 in expectation, which plain dropout would not: its variance grows to $1 / (1 - p)$.

    Args:
        input: $x$ of any shape, floating point.
        p: $p \in [0, 1]$, the probability of the floor.
        training: if False, which is the default here as in PyTorch, the input is returned as it is.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        ValueError: $p$ lies outside of [0, 1].
        RuntimeError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.alpha_dropout import alpha_dropout

        torch.manual_seed(0)
        y = alpha_dropout(torch.randn(100_000), p=0.3, training=True)
        print(f"{y.mean().abs():.1f} {y.var():.1f}")
        ```

        ``` {.text .output}
        0.0 1.0
        ```

    References:
        - Klambauer et al.: Self-Normalizing Neural Networks, [arXiv:1706.02515](https://arxiv.org/abs/1706.02515),
          "New dropout technique".
        - [torch.nn.AlphaDropout](https://docs.pytorch.org/docs/stable/generated/torch.nn.AlphaDropout.html)
    """
    return _floored(input, p, training, channels=False)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    r"""Alpha dropout of whole channels.

    The formula is that of [alpha_dropout][dlguide.functional.alpha_dropout.alpha_dropout], with one draw for each
    channel of each example.

    Args:
        input: shape `[N, C, ...]`, floating point.
        p: $p \in [0, 1]$, the probability that a channel is set to the floor.
        training: if False, which is the default here as in PyTorch, the input is returned as it is.

    Returns:
        Same shape, dtype and device as the input.

    Raises:
        ValueError: $p$ lies outside of [0, 1].
        RuntimeError: the input has fewer than two dimensions, or holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.alpha_dropout import feature_alpha_dropout

        torch.manual_seed(0)
        print(feature_alpha_dropout(torch.zeros(1, 3, 2), training=True))
        ```

        ``` {.text .output}
        tensor([[[-0.7792, -0.7792],
                 [-0.7792, -0.7792],
                 [ 0.7792,  0.7792]]])
        ```

    References:
        - [torch.nn.FeatureAlphaDropout](
          https://docs.pytorch.org/docs/stable/generated/torch.nn.FeatureAlphaDropout.html)
    """
    return _floored(input, p, training, channels=True)
