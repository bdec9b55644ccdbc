"""The triplet loss: three vectors, two distances, one margin."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.losses._reduction import expect_reduction, reduce


# --8<-- [start:triplet]
def _distance(a: Tensor, b: Tensor, p: float, eps: float) -> Tensor:
    return torch.linalg.vector_norm(a - b + eps, p, dim=-1)  # (N, D) -> (N,)


def _distance_slope(a: Tensor, b: Tensor, p: float, eps: float) -> Tensor:
    """The derivative of the distance by a; by b it is the same with a minus."""
    e = a - b + eps
    size, norm = e.abs(), torch.linalg.vector_norm(e, p, dim=-1, keepdim=True)
    if p == float("inf"):  # only the largest entries count, equal ones equally
        largest = (size == norm).to(e.dtype)
        return e.sign() * largest / largest.sum(-1, keepdim=True)
    return (e.sign() * (size / norm) ** (p - 1)).masked_fill(norm == 0, 0)


def _triplet(near: Tensor, far: Tensor, margin: float) -> Tensor:
    return (margin + near - far).clamp(min=0)
# --8<-- [end:triplet]


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    r"""Triplet loss: the negative should be further from the anchor than the positive, by the margin.

    $$\ell = \max(0,\, m + d(a, b^+) - d(a, b^-)), \qquad d(a, b) = \lVert a - b + \varepsilon \rVert_p$$

    Args:
        anchor: vectors $a$, shape (N, D) or (D,), floating point.
        positive: vectors $b^+$ that belong to the anchors, the same shape.
        negative: vectors $b^-$ that do not, the same shape.
        margin: $m > 0$.
        p: the norm: 1, 2, any number of at least 1, or infinity.
        eps: $\varepsilon$, added to every difference.
        swap: whether to take the smaller of $d(a, b^-)$ and $d(b^+, b^-)$ as the distance to the negative.
        reduction: `"mean"` over the triplets, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` one for each triplet.

    Raises:
        ValueError: `margin` is not positive, or the reduction is unknown.
        RuntimeError: the numbers of dimensions differ, or the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import triplet_margin_loss

        a, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 5.5]])
        print(triplet_margin_loss(a, near, far))  # 1 + 5 - 5.5
        ```

        ``` {.text .output}
        tensor(0.5000)
        ```

    References:
        - Schroff, Kalenichenko, Philbin: FaceNet, [arXiv:1503.03832](https://arxiv.org/abs/1503.03832), equation 3
          (with squared distances).
        - Swap: Balntas et al., Learning local feature descriptors with triplets and shallow convolutional neural
          networks, 2016, [doi:10.5244/C.30.119](https://doi.org/10.5244/C.30.119).
        - [torch.nn.TripletMarginLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html)
    """
    _expect_triplet(anchor, positive, negative, margin)
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, _distance(positive, negative, p, eps))
    return reduce(_triplet(near, far, margin), reduction)


def triplet_margin_loss_gradient(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of `triplet_margin_loss`: for $p = 2$ unit vectors, and 0 where the margin is kept.

    Args:
        anchor: vectors $a$, as for `triplet_margin_loss`.
        positive: vectors $b^+$.
        negative: vectors $b^-$.
        margin: $m > 0$.
        p: the norm.
        eps: $\varepsilon$.
        swap: as for `triplet_margin_loss`; two equal distances share the slope.
        reduction: as for `triplet_margin_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradients with respect to anchor, positive and negative, each in its shape.

    Raises:
        ValueError: as `triplet_margin_loss`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import triplet_margin_loss_gradient

        a, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 5.5]])
        for gradient in triplet_margin_loss_gradient(a, near, far):
            print(gradient)
        ```

        ``` {.text .output}
        tensor([[-0.6000,  0.2000]])
        tensor([[0.6000, 0.8000]])
        tensor([[ 0., -1.]])
        ```
    """
    expect_reduction(reduction)
    _expect_triplet(anchor, positive, negative, margin)
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    from_anchor = torch.ones_like(far)  # the share of d(a, b-) in the distance to the negative
    if swap:
        other = _distance(positive, negative, p, eps)
        from_anchor = (far < other).to(far.dtype) + 0.5 * (far == other).to(far.dtype)
        far = torch.minimum(far, other)
    active = (margin + near - far > 0).to(near.dtype)
    active = (active / active.numel() if reduction == "mean" else active).unsqueeze(-1)
    from_anchor = from_anchor.unsqueeze(-1)
    pull = active * _distance_slope(anchor, positive, p, eps)
    push = active * from_anchor * _distance_slope(anchor, negative, p, eps)
    swapped = active * (1 - from_anchor) * _distance_slope(positive, negative, p, eps)
    return (
        (pull - push).sum_to_size(anchor.shape),
        (-pull - swapped).sum_to_size(positive.shape),
        (push + swapped).sum_to_size(negative.shape),
    )


def _expect_triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"margin is {margin}, but it is the distance to be kept: give a number above 0.")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"anchor, positive and negative have {anchor.dim()}, {positive.dim()} and {negative.dim()} dimensions: give"
            " all three the same shape."
        )
