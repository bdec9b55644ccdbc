"""Losses for predicted numbers that grow only linearly with large errors: Huber and smooth L1."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.losses._reduction import gradient, reduce, warn_of_broadcasting
from dlguide.functional.losses.regression import _absolute, _absolute_slope


# --8<-- [start:huber]
def _huber(e: Tensor, delta: float) -> Tensor:
    near = e.abs() <= delta
    return torch.where(near, 0.5 * e**2, delta * (e.abs() - 0.5 * delta))


def _huber_slope(e: Tensor, delta: float) -> Tensor:
    return e.clamp(-delta, delta)
# --8<-- [end:huber]


# --8<-- [start:smooth-l1]
def _smooth_l1(e: Tensor, beta: float) -> Tensor:
    return _huber(e, beta) / beta if beta > 0 else _absolute(e)


def _smooth_l1_slope(e: Tensor, beta: float) -> Tensor:
    return _huber_slope(e, beta) / beta if beta > 0 else _absolute_slope(e)
# --8<-- [end:smooth-l1]


def huber_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    r"""Huber loss: a parabola for small errors, a straight line for large ones.

    $$\ell_i = \begin{cases} \frac{1}{2} e_i^2 & \text{if } |e_i| \le \delta \\
    \delta\, (|e_i| - \frac{1}{2} \delta) & \text{otherwise} \end{cases} \qquad e_i = x_i - t_i$$

    Args:
        input: predictions $x$, any shape, floating point.
        target: targets $t$, the same shape; another one is broadcast, with a warning.
        reduction: `"mean"`, `"sum"` or `"none"`.
        delta: $\delta > 0$, the error at which the line begins.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: `delta` is not positive, or the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import huber_loss

        print(huber_loss(torch.tensor([0.5, 3.0]), torch.zeros(2), reduction="none"))
        ```

        ``` {.text .output}
        tensor([0.1250, 2.5000])
        ```

    References:
        - Huber: Robust Estimation of a Location Parameter, 1964,
          [doi:10.1214/aoms/1177703732](https://doi.org/10.1214/aoms/1177703732).
        - [torch.nn.HuberLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html)
    """
    _expect_positive(delta)
    warn_of_broadcasting(input, target)
    return reduce(_huber(input - target, delta), reduction)


def huber_loss_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    r"""Gradient of `huber_loss`: $\frac{1}{N}$ times the error, cut off at $\pm\delta$.

    Args:
        input: predictions $x$, as for `huber_loss`.
        target: targets $t$.
        reduction: as for `huber_loss`; `"none"` counts as `"sum"`.
        delta: $\delta > 0$.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: `delta` is not positive.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import huber_loss_gradient

        print(huber_loss_gradient(torch.tensor([0.5, 3.0]), torch.zeros(2), reduction="sum"))
        ```

        ``` {.text .output}
        tensor([0.5000, 1.0000])
        ```
    """
    _expect_positive(delta)
    return gradient(_huber_slope(input - target, delta), input, reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    r"""Smooth L1 loss: the Huber loss with $\delta = \beta$, divided by $\beta$; its line has the slope 1.

    Args:
        input: predictions $x$, any shape, floating point.
        target: targets $t$, the same shape; another one is broadcast, with a warning.
        reduction: `"mean"`, `"sum"` or `"none"`.
        beta: $\beta \ge 0$, the error at which the line begins; 0 gives `l1_loss`.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: `beta` is negative, or the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import smooth_l1_loss

        print(smooth_l1_loss(torch.tensor([0.5, 3.0]), torch.zeros(2), reduction="none", beta=2.0))
        ```

        ``` {.text .output}
        tensor([0.0625, 2.0000])
        ```

    References:
        - Girshick: Fast R-CNN, [arXiv:1504.08083](https://arxiv.org/abs/1504.08083), equation 3.
        - [torch.nn.SmoothL1Loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html)
    """
    _expect_not_negative(beta)
    warn_of_broadcasting(input, target)
    return reduce(_smooth_l1(input - target, beta), reduction)


def smooth_l1_loss_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    r"""Gradient of `smooth_l1_loss`: that of the Huber loss, divided by $\beta$.

    Args:
        input: predictions $x$, as for `smooth_l1_loss`.
        target: targets $t$.
        reduction: as for `smooth_l1_loss`; `"none"` counts as `"sum"`.
        beta: $\beta \ge 0$.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: `beta` is negative.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import smooth_l1_loss_gradient

        print(smooth_l1_loss_gradient(torch.tensor([0.5, 3.0]), torch.zeros(2), reduction="sum", beta=2.0))
        ```

        ``` {.text .output}
        tensor([0.2500, 1.0000])
        ```
    """
    _expect_not_negative(beta)
    return gradient(_smooth_l1_slope(input - target, beta), input, reduction)


def _expect_positive(delta: float) -> None:
    if delta <= 0:
        raise RuntimeError(f"delta is {delta}, but it is the width of the parabola: give a number above 0.")


def _expect_not_negative(beta: float) -> None:
    if beta < 0:
        raise RuntimeError(f"beta is {beta}, but it is the width of the parabola: give 0 or more.")
