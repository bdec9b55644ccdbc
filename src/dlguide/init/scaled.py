"""Independent weights whose variance follows from the number of inputs and outputs: Xavier and Kaiming."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from dlguide.init import _rules as _rule
from dlguide.init.gain import calculate_gain


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw uniform weights whose variance is a compromise between forward and backward pass.

    $$w \sim U(-b, b), \qquad b = g \sqrt{\frac{6}{\text{fan\_in} + \text{fan\_out}}}$$

    Args:
        tensor: the weight, shape (m, n, ...), floating point; changed in place. Its fans are $n$ and $m$, each times
            the positions of a kernel.
        gain: the factor $g$ of the activation, see `calculate_gain`.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `tensor` has fewer than 2 dimensions.

    Example:
        ```python
        import torch
        from dlguide.init import xavier_uniform_

        w = xavier_uniform_(torch.empty(3, 600), generator=torch.Generator().manual_seed(0))
        print(bool(w.abs().max() < (6 / 603) ** 0.5))
        ```

        ``` {.text .output}
        True
        ```

    References:
        - Glorot, Bengio: [Understanding the difficulty of training deep feedforward neural
          networks](https://proceedings.mlr.press/v9/glorot10a.html), 2010, equation 16.
        - [torch.nn.init.xavier_uniform_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    return _rule.uniform(tensor, _rule.xavier_std(tensor, gain), generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw normal weights whose variance is a compromise between forward and backward pass.

    $$w \sim N(0, s^2), \qquad s = g \sqrt{\frac{2}{\text{fan\_in} + \text{fan\_out}}}$$

    Args:
        tensor: the weight, shape (m, n, ...), floating point; changed in place. Its fans are $n$ and $m$, each times
            the positions of a kernel.
        gain: the factor $g$ of the activation, see `calculate_gain`.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `tensor` has fewer than 2 dimensions.

    Example:
        ```python
        import torch
        from dlguide.init import xavier_normal_

        w = xavier_normal_(torch.empty(400, 600), generator=torch.Generator().manual_seed(0))
        print(f"{w.var().item() * (400 + 600) / 2:.2f}")
        ```

        ``` {.text .output}
        1.00
        ```

    References:
        - Glorot, Bengio: [Understanding the difficulty of training deep feedforward neural
          networks](https://proceedings.mlr.press/v9/glorot10a.html), 2010, equation 12.
        - [torch.nn.init.xavier_normal_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    return _rule.normal(tensor, _rule.xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw uniform weights that keep the size of signals, or of gradients, behind a ReLU.

    $$w \sim U(-b, b), \qquad b = g \sqrt{\frac{3}{\text{fan}}}$$

    with the gain $g$ of the activation, $\sqrt 2$ for the ReLU, which is `leaky_relu` with `a=0`.

    Args:
        tensor: the weight, shape (m, n, ...), floating point; changed in place. Its fans are $n$ and $m$, each times
            the positions of a kernel.
        a: the slope of a leaky ReLU on the left; only used with `leaky_relu`.
        mode: `"fan_in"` keeps the variance of signals, `"fan_out"` that of gradients.
        nonlinearity: the activation that follows; see `calculate_gain`.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `tensor` has fewer than 2 dimensions, or `mode` or `nonlinearity` is unknown.

    Example:
        ```python
        import torch
        from dlguide.init import kaiming_uniform_

        w = kaiming_uniform_(torch.empty(3, 600), generator=torch.Generator().manual_seed(0))
        print(bool(w.abs().max() < (6 / 600) ** 0.5))
        ```

        ``` {.text .output}
        True
        ```

    References:
        - He et al.: Delving Deep into Rectifiers, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), equations 10
          and 14.
        - [torch.nn.init.kaiming_uniform_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else _rule.uniform(tensor, std, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw normal weights that keep the size of signals, or of gradients, behind a ReLU.

    $$w \sim N(0, s^2), \qquad s = \frac{g}{\sqrt{\text{fan}}}$$

    with the gain $g$ of the activation, $\sqrt 2$ for the ReLU, which is `leaky_relu` with `a=0`.

    Args:
        tensor: the weight, shape (m, n, ...), floating point; changed in place. Its fans are $n$ and $m$, each times
            the positions of a kernel.
        a: the slope of a leaky ReLU on the left; only used with `leaky_relu`.
        mode: `"fan_in"` keeps the variance of signals, `"fan_out"` that of gradients.
        nonlinearity: the activation that follows; see `calculate_gain`.
        generator: where the random numbers come from; None: PyTorch's own.

    Returns:
        The same `tensor`.

    Raises:
        ValueError: `tensor` has fewer than 2 dimensions, or `mode` or `nonlinearity` is unknown.

    Example:
        ```python
        import torch
        from dlguide.init import kaiming_normal_

        w = kaiming_normal_(torch.empty(400, 600), generator=torch.Generator().manual_seed(0))
        print(f"{w.var().item() * 600:.2f}")
        ```

        ``` {.text .output}
        2.00
        ```

    References:
        - He et al.: Delving Deep into Rectifiers, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), equations 10
          and 14.
        - [torch.nn.init.kaiming_normal_](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else _rule.normal(tensor, std, generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """The standard deviation after the checks; None for a tensor without entries."""
    if 0 in tensor.shape:
        warnings.warn("there is nothing to initialize in a tensor without entries", stacklevel=3)
        return None
    if str(mode).lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"expected mode fan_in or fan_out, got {mode!r}")
    return _rule.kaiming_std(tensor, calculate_gain(nonlinearity, a), mode.lower())
