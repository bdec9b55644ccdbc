"""Losses for yes or no: binary cross-entropy of probabilities and of scores."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.functional.activations import sigmoid
from dlguide.functional.losses._reduction import gradient, reduce


# --8<-- [start:bce]
def _binary_cross_entropy(p: Tensor, t: Tensor) -> Tensor:
    log_p = torch.log(p).clamp(min=-100)  # log 0 is -inf: PyTorch stops at -100
    log_rest = torch.log1p(-p).clamp(min=-100)  # log(1 - p), exact for a small p
    return -(t * log_p + (1 - t) * log_rest)


def _binary_cross_entropy_slope(p: Tensor, t: Tensor) -> Tensor:
    return (p - t) / (p * (1 - p)).clamp(min=1e-12)
# --8<-- [end:bce]


# --8<-- [start:bce-with-logits]
def _with_logits(z: Tensor, t: Tensor, positive: Tensor) -> Tensor:
    # positive * t * softplus(-z) + (1 - t) * softplus(z); softplus(z) = z + softplus(-z)
    zero = torch.zeros_like(z)
    softplus = torch.maximum(-z, zero) + torch.log1p(torch.exp(-z.abs()))  # of -z
    return (1 - t) * z + (1 + (positive - 1) * t) * softplus


def _with_logits_slope(z: Tensor, t: Tensor, positive: Tensor) -> Tensor:
    return (1 - t) * sigmoid(z) - positive * t * sigmoid(-z)
# --8<-- [end:bce-with-logits]


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    r"""Binary cross-entropy of probabilities.

    $$\ell = -w\, \bigl(t \log p + (1 - t) \log(1 - p)\bigr)$$

    Each logarithm is cut off at -100, so that a wrong certain answer costs 100 and not infinity.

    Args:
        input: probabilities $p$ from 0 to 1, any shape, floating point.
        target: targets $t$ from 0 to 1, the same shape, floating point.
        weight: a factor $w$ for each value, broadcast to the shape of `input`; the mean does not divide by it.
        reduction: `"mean"` over the number of values, `"sum"` or `"none"`.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
        RuntimeError: a number is outside 0 to 1, the target is not floating point, or `weight` does not broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import binary_cross_entropy

        p = torch.tensor([0.9, 0.5, 0.0])
        print(binary_cross_entropy(p, torch.tensor([1.0, 1.0, 1.0]), reduction="none"))
        ```

        ``` {.text .output}
        tensor([  0.1054,   0.6931, 100.0000])
        ```

    References:
        - [torch.nn.BCELoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html)
    """
    _expect_same(input, target)
    _expect_share("input", input)
    _expect_share("target", target)
    return reduce(_weighted(_binary_cross_entropy(input, target), weight), reduction)


def binary_cross_entropy_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    r"""Gradient of `binary_cross_entropy`: $\frac{w}{N} \cdot \frac{p - t}{p (1 - p)}$.

    The denominator is kept at $10^{-12}$ or more, as in PyTorch. Autograd through the formula of the value gives nan
    where $p$ is exactly 0 or 1; this function does not.

    Args:
        input: probabilities $p$, as for `binary_cross_entropy`.
        target: targets $t$.
        weight: a factor for each value.
        reduction: as for `binary_cross_entropy`; `"none"` counts as `"sum"`.

    Returns:
        The gradient with respect to `input`, in its shape.

    Raises:
        ValueError: as `binary_cross_entropy`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import binary_cross_entropy_gradient

        print(binary_cross_entropy_gradient(torch.tensor([0.5, 0.8]), torch.tensor([1.0, 1.0])))
        ```

        ``` {.text .output}
        tensor([-1.0000, -0.6250])
        ```
    """
    _expect_same(input, target)
    _expect_share("input", input)
    _expect_share("target", target)
    return gradient(_weighted(_binary_cross_entropy_slope(input, target), weight), input, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    r"""Binary cross-entropy of scores: the sigmoid is part of the loss, and nothing overflows.

    $$\ell = w\, \bigl(r\, t\, \log(1 + e^{-z}) + (1 - t) \log(1 + e^{z})\bigr)$$

    Args:
        input: scores (logits) $z$, any shape, floating point: no sigmoid before.
        target: targets $t$ from 0 to 1, the same shape, floating point.
        weight: a factor $w$ for each value, broadcast to the shape of `input`.
        reduction: `"mean"` over the number of values, `"sum"` or `"none"`.
        pos_weight: a factor $r$ for the positive part, broadcast to the shape of `input`: above 1, a missed positive
            costs more.

    Returns:
        One number, or with `"none"` a tensor of the shape of `input`.

    Raises:
        ValueError: the shapes differ, or the reduction is unknown.
        RuntimeError: the target is not floating point, or a weight does not broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import binary_cross_entropy_with_logits

        z = torch.tensor([0.0, 1000.0, -1000.0])
        print(binary_cross_entropy_with_logits(z, torch.tensor([1.0, 1.0, 1.0]), reduction="none"))
        ```

        ``` {.text .output}
        tensor([6.9315e-01, 0.0000e+00, 1.0000e+03])
        ```

    References:
        - [torch.nn.BCEWithLogitsLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html)
    """
    _expect_same(input, target)
    positive = torch.ones_like(input) if pos_weight is None else pos_weight
    return reduce(_weighted(_with_logits(input, target, positive), weight), reduction)


def binary_cross_entropy_with_logits_gradient(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    r"""Gradient of `binary_cross_entropy_with_logits`: $\frac{1}{N} (\sigma(z) - t)$ without weights.

    With weights: $\frac{w}{N} \bigl((1 - t)\, \sigma(z) - r\, t\, \sigma(-z)\bigr)$.

    Args:
        input: scores $z$, as for `binary_cross_entropy_with_logits`.
        target: targets $t$.
        weight: a factor $w$ for each value.
        reduction: as for the value; `"none"` counts as `"sum"`.
        pos_weight: a factor $r$ for the positive part.

    Returns:
        The gradient with respect to `input`, in its shape.

    Raises:
        ValueError: as `binary_cross_entropy_with_logits`, and so for the other errors.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import binary_cross_entropy_with_logits_gradient

        z = torch.tensor([0.0, 2.0, -2.0])
        print(binary_cross_entropy_with_logits_gradient(z, torch.ones(3), reduction="sum"))
        ```

        ``` {.text .output}
        tensor([-0.5000, -0.1192, -0.8808])
        ```
    """
    _expect_same(input, target)
    positive = torch.ones_like(input) if pos_weight is None else pos_weight
    return gradient(_weighted(_with_logits_slope(input, target, positive), weight), input, reduction)


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values
    if torch.broadcast_shapes(values.shape, weight.shape) != values.shape:
        raise RuntimeError(
            f"weight has shape {tuple(weight.shape)}, which does not broadcast to {tuple(values.shape)}: give one"
            " number for each value, or for each column."
        )
    return values * weight


def _expect_same(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(
            f"target has shape {tuple(target.shape)} but input has {tuple(input.shape)}: give both the same, for"
            " example with target.view_as(input)."
        )
    if not target.is_floating_point():
        raise RuntimeError(f"target has dtype {target.dtype}, but it holds shares from 0 to 1: use target.float().")


def _expect_share(name: str, values: Tensor) -> None:
    if not ((values >= 0) & (values <= 1)).all():
        raise RuntimeError(f"{name} holds a number outside 0 to 1: probabilities come out of a sigmoid.")
