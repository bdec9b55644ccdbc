r"""Dropout: zeroing units or whole channels at random, with the draws that PyTorch makes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


# --8<-- [start:dropout-rule]
def _mask(x: Tensor, p: float, channels: bool) -> Tensor:
    """Draw 1 with probability 1 - p, else 0; for channels one draw for all positions."""
    one_each = [*x.shape[:2], *[1] * (x.dim() - 2)]
    mask = x.new_empty(one_each) if channels else torch.empty_like(x)
    return mask.bernoulli_(1 - p)


def _dropped(x: Tensor, p: float, training: bool, channels: bool) -> Tensor:
    _check_p(p)
    if p == 0 or not training:
        return x
    if p == 1:
        return x * 0
    return x * (dropout_mask(x, p, channels) / (1 - p))
# --8<-- [end:dropout-rule]


def dropout_mask(input: Tensor, p: float, channels: bool = False) -> Tensor:
    r"""Draw which numbers stay: 1 with probability 1 - p, else 0.

    The draws are those of PyTorch: after the same seed, on a CPU, both libraries keep the same numbers.

    Args:
        input: a tensor `[N, C, ...]` whose shape, dtype and device the mask takes; the values do not matter.
        p: the probability of 0, in [0, 1].
        channels: whether all positions of one channel of one example share one draw.

    Returns:
        0 and 1, in the dtype of the input; shape of the input, or `[N, C, 1, ...]` for channels.

    Raises:
        RuntimeError: the input holds integers; or there is no dimension of channels.

    Example:
        ```python
        import torch
        from dlguide.functional.dropout import dropout_mask

        torch.manual_seed(0)
        print(dropout_mask(torch.empty(2, 3), 0.5))
        ```

        ``` {.text .output}
        tensor([[0., 0., 1.],
                [0., 0., 0.]])
        ```
    """
    if not input.is_floating_point():
        raise RuntimeError(f"expected an input of floating point numbers, got {input.dtype}: use input.float()")
    if channels and input.dim() < 2:
        raise RuntimeError(f"expected an input of shape [N, C, ...], got {list(input.shape)}: use dropout")
    return _mask(input, p, channels)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Zero each number with probability p and scale up the others.

    $$y = \frac{x \odot b}{1 - p}, \qquad P(b_i = 1) = 1 - p$$

    Each number is drawn for itself, so the share of zeros varies. The expectation of $y$ is $x$.

    Args:
        input: $x$ of any shape, floating point.
        p: $p \in [0, 1]$, the probability of zero.
        training: if False, the input is returned as it is.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        ValueError: $p$ lies outside of [0, 1].
        RuntimeError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.dropout import dropout

        torch.manual_seed(0)
        print(dropout(torch.ones(8), p=0.5))
        ```

        ``` {.text .output}
        tensor([0., 0., 2., 0., 0., 0., 2., 2.])
        ```

    References:
        - Srivastava et al.: [Dropout: A Simple Way to Prevent Neural Networks from Overfitting](
          https://jmlr.org/papers/v15/srivastava14a.html), section 4. There the weights shrink after training instead.
        - [torch.nn.Dropout](https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html)
    """
    return _dropped(input, p, training, channels=False)


def dropout_backward(grad_output: Tensor, mask: Tensor, p: float) -> Tensor:
    r"""Return the gradient of dropout with respect to its input: what stayed passes the gradient on, scaled.

    $$\frac{\partial L}{\partial x} = \frac{g \odot b}{1 - p}$$

    Args:
        grad_output: $g = \partial L / \partial y$, shape of the input.
        mask: $b$, the 0 and 1 of the forward pass; shape of the input, or one for each channel.
        p: the probability of the forward pass; with 1 nothing stayed and the gradient is 0.

    Returns:
        The gradient, shape of `grad_output`.

    Raises:
        ValueError: $p$ lies outside of [0, 1].

    Example:
        ```python
        import torch
        from dlguide.functional.dropout import dropout_backward

        print(dropout_backward(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), p=0.75))
        ```

        ``` {.text .output}
        tensor([0., 8.])
        ```
    """
    _check_p(p)
    return grad_output * 0 if p == 1 else grad_output * (mask / (1 - p))


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Zero whole channels of sequences, each with probability p, and scale up the others.

    Args:
        input: shape `[N, C, L]`, or `[C, L]` for one example, floating point.
        p: $p \in [0, 1]$, the probability that a channel is zeroed.
        training: if False, the input is returned as it is.

    Returns:
        Same shape, dtype and device as the input.

    Raises:
        ValueError: $p$ lies outside of [0, 1].
        RuntimeError: the input has not two or three dimensions.

    Example:
        ```python
        import torch
        from dlguide.functional.dropout import dropout1d

        torch.manual_seed(0)
        print(dropout1d(torch.ones(3, 2)))
        ```

        ``` {.text .output}
        tensor([[0., 0.],
                [0., 0.],
                [2., 2.]])
        ```

    References:
        - [torch.nn.Dropout1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout1d.html)
    """
    if input.dim() not in (2, 3):
        raise RuntimeError(f"expected an input of shape [N, C, L] or [C, L], got {list(input.shape)}: use dropout")
    batch = input if input.dim() == 3 else input[None]
    return _dropped(batch, p, training, channels=True).reshape(input.shape)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Zero whole channels of pictures, each with probability p, and scale up the others.

    Neighbouring pixels of a feature map say nearly the same, so zeroing single ones takes little away.

    Args:
        input: shape `[N, C, H, W]`, floating point.
        p: $p \in [0, 1]$, the probability that a channel is zeroed.
        training: if False, the input is returned as it is.

    Returns:
        Same shape, dtype and device as the input.

    Raises:
        ValueError: $p$ lies outside of [0, 1].
        RuntimeError: the input has fewer than two dimensions. With other than four there is a warning: the first two
            dimensions are taken as examples and channels.

    Example:
        ```python
        import torch
        from dlguide.functional.dropout import dropout2d

        torch.manual_seed(0)
        print(dropout2d(torch.ones(1, 3, 2, 2)).flatten(2))
        ```

        ``` {.text .output}
        tensor([[[0., 0., 0., 0.],
                 [0., 0., 0., 0.],
                 [2., 2., 2., 2.]]])
        ```

    References:
        - Tompson et al.: Efficient Object Localization Using Convolutional Networks,
          [arXiv:1411.4280](https://arxiv.org/abs/1411.4280), section 3.2.
        - [torch.nn.Dropout2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout2d.html)
    """
    if input.dim() != 4:
        warnings.warn(f"expected an input of shape [N, C, H, W], got {list(input.shape)}: the first two dimensions are"
                      " taken as examples and channels", stacklevel=2)  # fmt: skip
    return _dropped(input, p, training, channels=True)


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"expected p, the probability of zero, in [0, 1], got {p}: 0.5 is usual")
