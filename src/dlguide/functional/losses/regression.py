"""The two plain losses for predicted numbers: the error e = input - target, squared or absolute."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional.losses._reduction import gradient, reduce, warn_of_broadcasting


# --8<-- [start:squared]
def _squared(e: Tensor) -> Tensor:
    return e**2


def _squared_slope(e: Tensor) -> Tensor:
    return 2 * e
# --8<-- [end:squared]


# --8<-- [start:absolute]
def _absolute(e: Tensor) -> Tensor:
    return e.abs()


def _absolute_slope(e: Tensor) -> Tensor:
    return e.sign()  # 0 at the kink, as in PyTorch
# --8<-- [end:absolute]


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Mean squared error.

    $$\ell_i = (x_i - t_i)^2, \qquad L = \frac{1}{N} \sum_{i=1}^{N} \ell_i$$

    Args:
        input: predictions $x$, any shape, floating point.
        target: targets $t$, the same shape; another one is broadcast, with a warning.
        reduction: `"mean"` over all $N$ numbers, `"sum"`, or `"none"` for every $\ell_i$.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`. The mean of no number is nan.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import mse_loss

        print(mse_loss(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 3.0])))  # (1 + 4) / 2
        ```

        ``` {.text .output}
        tensor(2.5000)
        ```

    References:
        - [torch.nn.MSELoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html)
    """
    warn_of_broadcasting(input, target)
    return reduce(_squared(input - target), reduction)


def mse_loss_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Gradient of `mse_loss`: $\frac{\partial L}{\partial x_i} = \frac{2}{N} (x_i - t_i)$.

    Args:
        input: predictions $x$, as for `mse_loss`.
        target: targets $t$.
        reduction: as for `mse_loss`; `"none"` counts as `"sum"`: without the $\frac{1}{N}$.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import mse_loss_gradient

        print(mse_loss_gradient(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 3.0])))
        ```

        ``` {.text .output}
        tensor([1., 2.])
        ```
    """
    return gradient(_squared_slope(input - target), input, reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Mean absolute error, $\ell_i = |x_i - t_i|$.

    Args:
        input: predictions $x$, any shape, floating point.
        target: targets $t$, the same shape; another one is broadcast, with a warning.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import l1_loss

        print(l1_loss(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 3.0])))  # (1 + 2) / 2
        ```

        ``` {.text .output}
        tensor(1.5000)
        ```

    References:
        - [torch.nn.L1Loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html)
    """
    warn_of_broadcasting(input, target)
    return reduce(_absolute(input - target), reduction)


def l1_loss_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Gradient of `l1_loss`: $\frac{1}{N} \operatorname{sign}(x_i - t_i)$, and 0 where both are equal.

    Args:
        input: predictions $x$, as for `l1_loss`.
        target: targets $t$.
        reduction: as for `l1_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import l1_loss_gradient

        print(l1_loss_gradient(torch.tensor([2.0, 5.0]), torch.tensor([3.0, 5.0])))
        ```

        ``` {.text .output}
        tensor([-0.5000,  0.0000])
        ```
    """
    return gradient(_absolute_slope(input - target), input, reduction)
