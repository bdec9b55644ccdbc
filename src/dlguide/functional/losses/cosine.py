"""The cosine loss: two vectors and the angle between them."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.losses._reduction import expect_reduction, reduce

TINY = 1e-12  # keeps the cosine of a zero vector finite; PyTorch's number


# --8<-- [start:cosine]
def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1) / ((_square(a) * _square(b)) ** 0.5)


def _square(a: Tensor) -> Tensor:
    return (a * a).sum(-1) + TINY


def _cosine_slope(a: Tensor, b: Tensor) -> Tensor:
    """The derivative of the cosine by a: at a right angle to a, towards b."""
    unit = 1 / ((_square(a) * _square(b)) ** 0.5).unsqueeze(-1)
    return unit * b - _cosine(a, b).unsqueeze(-1) * a / _square(a).unsqueeze(-1)
# --8<-- [end:cosine]


# --8<-- [start:cosine-embedding]
def _cosine_embedding(cos: Tensor, t: Tensor, margin: float) -> Tensor:
    zero = torch.zeros_like(cos)
    similar = torch.where(t == 1, 1 - cos, zero)
    return similar + torch.where(t == -1, (cos - margin).clamp(min=0), zero)


def _cosine_embedding_slope(cos: Tensor, t: Tensor, margin: float) -> Tensor:
    return ((t == -1) & (cos > margin)).to(cos.dtype) - (t == 1).to(cos.dtype)
# --8<-- [end:cosine-embedding]


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> Tensor:
    r"""Loss of the angle between two vectors: similar ones should point the same way, different ones should not.

    $$\ell = \begin{cases} 1 - \cos(a, b) & \text{if } t = 1 \\
    \max(0,\, \cos(a, b) - m) & \text{if } t = -1 \end{cases}$$

    Args:
        input1: vectors $a$, shape (N, D) or (D,), floating point.
        input2: vectors $b$, the same shape.
        target: 1 for similar, -1 for different, shape (N,) or ().
        margin: $m$ from -1 to 1: different vectors with a smaller cosine pay nothing.
        reduction: `"mean"` over the pairs, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` one for each pair.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import cosine_embedding_loss

        a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [3.0, 4.0]])
        print(cosine_embedding_loss(a, b, torch.tensor([1, -1]), reduction="none"))  # the cosine is 3/5
        ```

        ``` {.text .output}
        tensor([0.4000, 0.6000])
        ```

    References:
        - [torch.nn.CosineEmbeddingLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html)
    """
    _expect_pairs(input1, input2, target)
    return reduce(_cosine_embedding(_cosine(input1, input2), target, margin), reduction)


def cosine_embedding_loss_gradient(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    r"""Gradients of `cosine_embedding_loss`: each vector turns, none grows or shrinks.

    $$\frac{\partial \cos(a, b)}{\partial a} = \frac{b}{\lVert a \rVert \lVert b \rVert}
    - \cos(a, b)\, \frac{a}{\lVert a \rVert^2}$$

    Args:
        input1: vectors $a$, as for `cosine_embedding_loss`.
        input2: vectors $b$.
        target: 1 or -1.
        margin: $m$; at $\cos(a, b) = m$ exactly the slope is 0, as in PyTorch.
        reduction: as for `cosine_embedding_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradients with respect to `input1` and `input2`, each in its shape.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import cosine_embedding_loss_gradient

        a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
        for gradient in cosine_embedding_loss_gradient(a, b, torch.tensor([-1])):
            print(gradient)
        ```

        ``` {.text .output}
        tensor([[0.0000, 0.8000]])
        tensor([[ 0.1280, -0.0960]])
        ```
    """
    expect_reduction(reduction)
    _expect_pairs(input1, input2, target)
    slope = _cosine_embedding_slope(_cosine(input1, input2), target, margin)
    slope = (slope / slope.numel() if reduction == "mean" else slope).unsqueeze(-1)
    by1, by2 = slope * _cosine_slope(input1, input2), slope * _cosine_slope(input2, input1)
    return by1.sum_to_size(input1.shape), by2.sum_to_size(input2.shape)


def _expect_pairs(input1: Tensor, input2: Tensor, target: Tensor) -> None:
    if target.dim() > 1 or input1.dim() != input2.dim() or input1.dim() != target.dim() + 1:
        raise RuntimeError(
            f"inputs have shapes {tuple(input1.shape)} and {tuple(input2.shape)} and target has {tuple(target.shape)}:"
            " give vectors (N, D) with one target each (N,), or (D,) with ()."
        )
