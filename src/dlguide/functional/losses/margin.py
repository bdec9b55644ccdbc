"""Losses with a margin: nothing is paid by an answer that is right by enough."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.losses._classes import class_indices, class_weights
from dlguide.functional.losses._reduction import gradient, reduce


# --8<-- [start:hinge]
def _hinge_embedding(x: Tensor, t: Tensor, margin: float) -> Tensor:
    zero = torch.zeros_like(x)
    similar = torch.where(t != -1, x, zero)  # a distance: pay all of it
    different = torch.where(t != 1, (margin - x).clamp(min=0), zero)
    return similar + different


def _hinge_embedding_slope(x: Tensor, t: Tensor, margin: float) -> Tensor:
    return (t != -1).to(x.dtype) - ((t != 1) & (margin - x > 0)).to(x.dtype)
# --8<-- [end:hinge]


# --8<-- [start:multi-margin]
def _multi_margin(
    x: Tensor, t: Tensor, weight: Tensor, p: int, margin: float
) -> Tensor:
    lack = _lack(x, t, margin)
    return weight[t] * (lack**p).sum(1) / x.shape[1]


def _multi_margin_slope(
    x: Tensor, t: Tensor, weight: Tensor, p: int, margin: float
) -> Tensor:
    lack = _lack(x, t, margin)
    slope = (lack > 0).to(x.dtype) if p == 1 else 2 * lack
    slope = slope.scatter(1, t.unsqueeze(1), -slope.sum(1, keepdim=True))
    return weight[t].unsqueeze(1) * slope / x.shape[1]


def _lack(x: Tensor, t: Tensor, margin: float) -> Tensor:
    """What the right class lacks against each other class; 0 against itself."""
    gap = margin - x.gather(1, t.unsqueeze(1)) + x
    return gap.clamp(min=0).scatter(1, t.unsqueeze(1), 0.0)
# --8<-- [end:multi-margin]


def hinge_embedding_loss(input: Tensor, target: Tensor, *, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    r"""Hinge loss of distances: similar pairs pay their distance, different ones what they lack to the margin.

    $$\ell = \begin{cases} x & \text{if } t = 1 \\ \max(0, m - x) & \text{if } t = -1 \end{cases}$$

    With $t = -1$ everywhere and $x = y f$ this is the hinge loss of the support vector machine,
    $\max(0, 1 - y f)$ for labels $y = \pm 1$ and scores $f$.

    Args:
        input: distances $x$, any shape, floating point.
        target: 1 for similar, -1 for different, in a shape that broadcasts with `input`.
        margin: $m$, the distance from which a different pair pays nothing.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` one for each pair.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import hinge_embedding_loss

        x, t = torch.tensor([0.5, 0.25, 2.0]), torch.tensor([1, -1, -1])
        print(hinge_embedding_loss(x, t, reduction="none"))
        ```

        ``` {.text .output}
        tensor([0.5000, 0.7500, 0.0000])
        ```

    References:
        - [torch.nn.HingeEmbeddingLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html)
    """
    return reduce(_hinge_embedding(input, target, margin), reduction)


def hinge_embedding_loss_gradient(
    input: Tensor, target: Tensor, *, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    r"""Gradient of `hinge_embedding_loss`: 1 for similar pairs, -1 for different ones within the margin.

    Args:
        input: distances $x$, as for `hinge_embedding_loss`.
        target: 1 or -1.
        margin: $m$; at $x = m$ exactly the slope is 0, as in PyTorch.
        reduction: as for `hinge_embedding_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import hinge_embedding_loss_gradient

        x, t = torch.tensor([0.5, 0.25, 2.0]), torch.tensor([1, -1, -1])
        print(hinge_embedding_loss_gradient(x, t, reduction="sum"))
        ```

        ``` {.text .output}
        tensor([ 1., -1.,  0.])
        ```
    """
    return gradient(_hinge_embedding_slope(input, target, margin), input, reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    r"""Hinge loss for many classes: the right score should be above every other by the margin.

    $$\ell = \frac{1}{C} \sum_{c \neq t} w_t \max(0,\, m - x_t + x_c)^p$$

    Args:
        input: scores $x$, shape (N, C) or (C,), floating point.
        target: class indices $t$, int64, shape (N,) or ().
        p: 1, or 2 for the squared hinge.
        margin: $m$.
        weight: a weight $w$ for each class, shape (C,); the mean does not divide by it.
        reduction: `"mean"` over the examples, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` one for each example.

    Raises:
        ValueError: `p` is neither 1 nor 2, or the reduction is unknown.
        RuntimeError: a shape does not fit, or a target is no class.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import multi_margin_loss

        scores = torch.tensor([[3.0, 2.5, 0.0, 1.0]])
        print(multi_margin_loss(scores, torch.tensor([0])))  # only 2.5 comes too close: 0.5 / 4
        ```

        ``` {.text .output}
        tensor(0.1250)
        ```

    References:
        - Crammer, Singer: On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, 2001,
          [jmlr.org](https://www.jmlr.org/papers/v2/crammer01a.html) (with the largest term instead of the mean).
        - [torch.nn.MultiMarginLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html)
    """
    x, t, w = _checked(input, target, p, weight)
    return reduce(_multi_margin(x, t, w, p, margin).reshape(target.shape), reduction)


def multi_margin_loss_gradient(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    r"""Gradient of `multi_margin_loss`: up for each class that comes too close, down for the right one by their sum.

    Args:
        input: scores $x$, as for `multi_margin_loss`.
        target: class indices $t$.
        p: 1 or 2.
        margin: $m$.
        weight: a weight for each class.
        reduction: as for `multi_margin_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: as `multi_margin_loss`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import multi_margin_loss_gradient

        scores = torch.tensor([[3.0, 2.5, 0.0, 1.0]])
        print(multi_margin_loss_gradient(scores, torch.tensor([0])))
        ```

        ``` {.text .output}
        tensor([[-0.2500,  0.2500,  0.0000,  0.0000]])
        ```
    """
    x, t, w = _checked(input, target, p, weight)
    slopes = _multi_margin_slope(x, t, w, p, margin).reshape(input.shape)
    shares = len(t) if reduction == "mean" and len(t) else 1  # the mean is over examples, not over entries
    return gradient(slopes / shares, input, "sum" if reduction == "mean" else reduction)


def _checked(input: Tensor, target: Tensor, p: int, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if p not in (1, 2):
        raise ValueError(f"p is {p}, but only 1 and 2 are defined.")
    if input.dim() > 2:
        raise RuntimeError(f"input has shape {tuple(input.shape)}: give scores of shape (N, C) or (C,).")
    x = input if input.dim() == 2 else input.reshape(1, -1)
    t = target if target.dim() else target.unsqueeze(0)
    try:
        t = class_indices(x, t, ignore_index=0)  # 0 is a class: nothing is ignored
    except (ValueError, IndexError) as error:
        raise RuntimeError(str(error)) from None
    return x, t, class_weights(x, weight)
