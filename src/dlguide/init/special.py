"""Weights with one more property: orthogonal, or cut off far from the mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlguide.init import _rules as _rule


def orthogonal_(tensor: Tensor, gain: float = 1, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw a random matrix that keeps every length, up to a gain.

    As a matrix of $m$ rows, $W^\top W = g^2 I$ if there are at least as many rows as columns, else $W W^\top = g^2 I$.

    Args:
        tensor: the weight, shape (m, ...), taken as a matrix of $m$ rows; float32 or float64; changed in place.
        gain: $g$, the factor by which lengths grow.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `tensor` has fewer than 2 dimensions.

    Example:
        ```python
        import torch
        from dlguide.init import orthogonal_

        w = orthogonal_(torch.empty(2, 3), generator=torch.Generator().manual_seed(0))
        print((w @ w.T).round(decimals=4).abs())
        ```

        ``` {.text .output}
        tensor([[1., 0.],
                [0., 1.]])
        ```

    References:
        - Saxe, McClelland, Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear neural
          networks, [arXiv:1312.6120](https://arxiv.org/abs/1312.6120).
        - Mezzadri: How to generate random matrices from the classical compact groups,
          [arXiv:math-ph/0609050](https://arxiv.org/abs/math-ph/0609050), section 5.
        - [torch.nn.init.orthogonal_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    _rule.fans(tensor)
    return _rule.orthogonal(tensor, gain, generator) if tensor.numel() else tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw normal numbers that lie between two bounds.

    The numbers have the distribution $N(\mu, s^2)$ under the condition $a \le w \le b$. They come from the inverse of
    its distribution function: with $u$ uniform between $\operatorname{erf} \frac{a - \mu}{s \sqrt 2}$ and
    $\operatorname{erf} \frac{b - \mu}{s \sqrt 2}$,

    $$w = \mu + s \sqrt 2 \operatorname{erf}^{-1}(u)$$

    PyTorch draws again instead until a number fits, so that the same seed gives other numbers of the same distribution.
    The bounds are values, not multiples of `std`.

    Args:
        tensor: any shape, floating point; changed in place.
        mean: $\mu$, the mean before the cut.
        std: $s > 0$, the standard deviation before the cut.
        a: the lower bound.
        b: the upper bound, above `a`.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `std` is not positive, `a` is not below `b`, or no probability lies between them.

    Example:
        ```python
        import torch
        from dlguide.init import trunc_normal_

        w = trunc_normal_(torch.empty(10000), std=0.02, a=-0.04, b=0.04, generator=torch.Generator().manual_seed(0))
        print(f"{w.abs().max().item():.2f} {w.std().item():.4f}")
        ```

        ``` {.text .output}
        0.04 0.0176
        ```

    References:
        - [torch.nn.init.trunc_normal_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    if not std > 0 or not a < b:
        raise ValueError(f"expected std > 0 and a < b, got std={std}, a={a}, b={b}")
    if math.erf((a - mean) / (std * math.sqrt(2))) == math.erf((b - mean) / (std * math.sqrt(2))):
        raise ValueError(f"no probability lies between {a} and {b} for mean {mean} and std {std}: choose other bounds")
    return _rule.trunc_normal(tensor, mean, std, a, b, generator)
