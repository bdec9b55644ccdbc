"""Losses for one class out of many: negative log-likelihood and cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.activations import log_softmax, softmax
from dlguide.functional.losses._classes import (
    as_batch,
    class_indices,
    class_weights,
    expect_probabilities,
    expect_smoothing,
)
from dlguide.functional.losses._reduction import expect_reduction


# --8<-- [start:pick]
def _pick(
    log_p: Tensor, t: Tensor, weight: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """-w_t log p_t for each class index t, and the weights that the mean divides by."""
    kept = t != ignore_index
    t = t.masked_fill(~kept, 0)  # any class will do: its value is dropped
    picked = log_p.gather(1, t.unsqueeze(1)).squeeze(1)  # (N, C, ...) -> (N, ...)
    zero = torch.zeros_like(picked)
    counts = torch.where(kept, weight[t], zero)
    return torch.where(kept, -weight[t] * picked, zero), counts


def _pick_slope(
    log_p: Tensor, t: Tensor, weight: Tensor, ignore_index: int, reduction: str
) -> Tensor:
    """-w_t at the right class of each target, divided as the loss is; 0 elsewhere."""
    kept = t != ignore_index
    t = t.masked_fill(~kept, 0)
    slope = -weight[t]
    if reduction == "mean":
        slope = slope / torch.where(kept, weight[t], torch.zeros_like(slope)).sum()
    slope = slope.masked_fill(~kept, 0)
    return torch.zeros_like(log_p).scatter(1, t.unsqueeze(1), slope.unsqueeze(1))
# --8<-- [end:pick]


# --8<-- [start:shares]
def _shares(
    t: Tensor, like: Tensor, weight: Tensor, ignore_index: int, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Class indices as the factors m of -log p, (N, C, ...), and what the mean divides by."""
    kept = t != ignore_index
    t = t.masked_fill(~kept, 0)
    one_hot = torch.zeros_like(like).scatter(1, t.unsqueeze(1), 1.0)
    q = (1 - smoothing) * one_hot + smoothing / like.shape[1]
    return _per_class(weight, like) * q * kept.unsqueeze(1), weight[t] * kept
# --8<-- [end:shares]


# --8<-- [start:cross-entropy]
def _expected(log_p: Tensor, q: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """-sum_c w_c q_c log p_c, with q smoothed."""
    q = (1 - smoothing) * q + smoothing / q.shape[1]
    return -(_per_class(weight, q) * q * log_p).sum(1)


def _cross_entropy_slope(z: Tensor, m: Tensor) -> Tensor:
    return softmax(z, 1) * m.sum(1, keepdim=True) - m


def _per_class(weight: Tensor, like: Tensor) -> Tensor:
    return weight.view(-1, *[1] * (like.dim() - 2))  # (C,) beside (N, C, d1, ...)
# --8<-- [end:cross-entropy]


# --8<-- [start:reduce-by-weight]
def _reduce(values: Tensor, counts: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return values
    return values.sum() / counts.sum() if reduction == "mean" else values.sum()
# --8<-- [end:reduce-by-weight]


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    r"""Negative log-likelihood: minus the log-probability of the right class.

    $$\ell_n = -w_{t_n} \log p_{n, t_n}, \qquad L = \frac{\sum_n \ell_n}{\sum_n w_{t_n}}$$

    Args:
        input: log-probabilities $\log p$, shape (C,), (N, C) or (N, C, d1, ...), as `log_softmax` gives them.
        target: class indices $t$ from 0 to C - 1, int64, shape (), (N,) or (N, d1, ...).
        weight: a weight $w$ for each class, shape (C,); 1 if left out.
        ignore_index: targets of this value count nowhere, neither above nor below the fraction line.
        reduction: `"mean"` divides by the weights of the targets; `"sum"`; `"none"` gives every $\ell_n$.

    Returns:
        One number, or with `"none"` a tensor of the shape of `target`. The mean over no target is nan.

    Raises:
        ValueError: the batch sizes differ, or the reduction is unknown.
        IndexError: a target is no class.
        RuntimeError: a shape or a dtype does not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import nll_loss

        log_p = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
        print(nll_loss(log_p, torch.tensor([0, 0])))  # (log 2 + log 4) / 2
        ```

        ``` {.text .output}
        tensor(1.0397)
        ```

    References:
        - [torch.nn.NLLLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html)
    """
    expect_reduction(reduction)
    log_p, t = as_batch(input, target)
    values, counts = _pick(log_p, class_indices(log_p, t, ignore_index), class_weights(log_p, weight), ignore_index)
    return _reduce(values if input.dim() > 1 else values.squeeze(0), counts, reduction)


def nll_loss_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    r"""Gradient of `nll_loss`: $-w_t$ at the right class, divided by the sum of these weights; 0 elsewhere.

    Args:
        input: log-probabilities, as for `nll_loss`.
        target: class indices.
        weight: a weight for each class, shape (C,).
        ignore_index: targets of this value have the gradient 0.
        reduction: as for `nll_loss`; `"none"` counts as `"sum"`.

    Returns:
        The gradient with respect to `input`, in its shape.

    Raises:
        ValueError: as `nll_loss`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import nll_loss_gradient

        log_p = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
        print(nll_loss_gradient(log_p, torch.tensor([0, 0])))
        ```

        ``` {.text .output}
        tensor([[-0.5000,  0.0000],
                [-0.5000,  0.0000]])
        ```
    """
    expect_reduction(reduction)
    log_p, t = as_batch(input, target)
    t, w = class_indices(log_p, t, ignore_index), class_weights(log_p, weight)
    return _pick_slope(log_p, t, w, ignore_index, reduction).reshape(input.shape)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Cross-entropy between the softmax of the scores and the target.

    $$p = \operatorname{softmax}(z), \qquad \ell = -\sum_{c=1}^{C} w_c\, q_c \log p_c$$

    For a class index $t$, $q$ is 1 at $t$ and 0 elsewhere. With label smoothing $\epsilon$, $q$ becomes
    $(1 - \epsilon)\, q + \epsilon / C$.

    Args:
        input: scores (logits) $z$, shape (C,), (N, C) or (N, C, d1, ...): no softmax before.
        target: class indices, int64, shape (), (N,) or (N, d1, ...); or class probabilities $q$, floating point, in the
            shape of `input`.
        weight: a weight $w$ for each class, shape (C,); 1 if left out.
        ignore_index: class indices of this value count nowhere; not for probabilities.
        reduction: `"mean"` divides by $\sum_n w_{t_n}$ for indices, by the number of targets for probabilities;
            `"sum"`; `"none"` gives every $\ell$.
        label_smoothing: $\epsilon$ from 0 to 1.

    Returns:
        One number, or with `"none"` one for each target. The mean over no target is nan.

    Raises:
        ValueError: the batch sizes differ, or the reduction is unknown.
        IndexError: a target is no class.
        RuntimeError: a shape, a dtype or `label_smoothing` does not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import cross_entropy

        scores = torch.tensor([[2.0, 1.0, 0.0], [1000.0, 0.0, 0.0]])
        print(cross_entropy(scores, torch.tensor([0, 1]), reduction="none"))
        ```

        ``` {.text .output}
        tensor([4.0761e-01, 1.0000e+03])
        ```

    References:
        - Label smoothing: Szegedy et al., [arXiv:1512.00567](https://arxiv.org/abs/1512.00567), section 7.
        - [torch.nn.CrossEntropyLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html)
    """
    log_p, t, w = _checked(input, target, weight, ignore_index, reduction, label_smoothing)
    log_p = log_softmax(log_p, 1)
    if t.is_floating_point():
        values = _expected(log_p, t, w, label_smoothing)
        counts = torch.ones_like(values)
    else:
        values, counts = _pick(log_p, t, w, ignore_index)
        if label_smoothing > 0:
            every = _expected(log_p, torch.zeros_like(log_p), w, 1.0).masked_fill(t == ignore_index, 0)
            values = (1 - label_smoothing) * values + label_smoothing * every
    return _reduce(values if input.dim() > 1 else values.squeeze(0), counts, reduction)


def cross_entropy_gradient(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Gradient of `cross_entropy` with respect to the scores: softmax minus target.

    $$\frac{\partial \ell}{\partial z_c} = p_c \sum_{k=1}^{C} m_k - m_c, \qquad m_c = w_c\, q_c$$

    Without weights the sum is 1 and this is $p_c - q_c$.

    Args:
        input: scores $z$, as for `cross_entropy`.
        target: class indices or class probabilities.
        weight: a weight for each class, shape (C,).
        ignore_index: class indices of this value have the gradient 0.
        reduction: as for `cross_entropy`; `"none"` counts as `"sum"`.
        label_smoothing: from 0 to 1.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: as `cross_entropy`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import cross_entropy_gradient

        scores = torch.log(torch.tensor([[0.25, 0.25, 0.5]]))  # their softmax is the same three numbers
        print(cross_entropy_gradient(scores, torch.tensor([2])))
        ```

        ``` {.text .output}
        tensor([[ 0.2500,  0.2500, -0.5000]])
        ```
    """
    z, t, w = _checked(input, target, weight, ignore_index, reduction, label_smoothing)
    if t.is_floating_point():
        m = _per_class(w, z) * ((1 - label_smoothing) * t + label_smoothing / z.shape[1])
        counts = torch.ones_like(m.sum(1))
    else:
        m, counts = _shares(t, z, w, ignore_index, label_smoothing)
    slopes = _cross_entropy_slope(z, m)
    if reduction == "mean":
        slopes = slopes / counts.sum()
    if not t.is_floating_point():
        slopes = slopes.masked_fill((t == ignore_index).unsqueeze(1), 0)  # even where the sum of counts is 0
    return slopes.reshape(input.shape)


def _checked(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    expect_reduction(reduction)
    expect_smoothing(label_smoothing)
    if target.shape == input.shape:
        expect_probabilities(target, ignore_index)
    z, t = as_batch(input, target)
    t = t if target.shape == input.shape else class_indices(z, t, ignore_index)
    return z, t, class_weights(z, weight)
