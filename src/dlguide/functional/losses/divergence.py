"""The Kullback-Leibler divergence: how far one distribution is from another."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from dlguide.functional.losses._reduction import REDUCTIONS, expect_reduction, gradient, reduce


# --8<-- [start:kl]
def _kl(log_q: Tensor, p: Tensor, log_target: bool) -> Tensor:
    if log_target:
        return p.exp() * (p - log_q)
    return torch.xlogy(p, p) - p * log_q  # p log p, and 0 where p is 0
# --8<-- [end:kl]


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    r"""Kullback-Leibler divergence $D(p \,\|\, q)$, where `target` is $p$ and `input` is $\log q$.

    $$D(p \,\|\, q) = \sum_c p_c\, (\log p_c - \log q_c)$$

    Args:
        input: **log**-probabilities $\log q$ of the model, shape (N, C) or any other, floating point.
        target: probabilities $p$, in a shape that broadcasts with `input`.
        reduction: `"batchmean"` divides the sum by N and is the divergence; `"mean"` divides by the number of entries,
            N times C, and warns; `"sum"`; `"none"`.
        log_target: whether `target` holds $\log p$ instead of $p$.

    Returns:
        One number, or with `"none"` one for each entry.

    Raises:
        ValueError: the reduction is unknown.
        RuntimeError: the shapes cannot be broadcast.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import kl_div

        p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
        print(kl_div(q.log(), p, reduction="batchmean"))
        ```

        ``` {.text .output}
        tensor(0.5108)
        ```

    References:
        - Kullback, Leibler: On Information and Sufficiency, 1951,
          [doi:10.1214/aoms/1177729694](https://doi.org/10.1214/aoms/1177729694).
        - [torch.nn.KLDivLoss](https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html)
    """
    expect_reduction(reduction, (*REDUCTIONS, "batchmean"))
    values = _kl(input, target, log_target)
    if reduction == "batchmean":
        return values.sum() / (len(input) if input.dim() else 1)
    if reduction == "mean":
        warnings.warn(
            'reduction="mean" divides by the number of entries, so the result is not the divergence: use "batchmean".',
            UserWarning,
            stacklevel=2,
        )
    return reduce(values, reduction)


def kl_div_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    r"""Gradient of `kl_div` with respect to $\log q$: $-p$, divided as the loss is.

    Args:
        input: log-probabilities, as for `kl_div`.
        target: probabilities, or their logarithms.
        reduction: as for `kl_div`; `"none"` counts as `"sum"`.
        log_target: whether `target` holds logarithms.

    Returns:
        The gradient, in the shape of `input`.

    Raises:
        ValueError: the reduction is unknown.

    Example:
        ```python
        import torch
        from dlguide.functional.losses import kl_div_gradient

        p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
        print(kl_div_gradient(q.log(), p, reduction="batchmean"))
        ```

        ``` {.text .output}
        tensor([[-0.5000, -0.5000]])
        ```
    """
    expect_reduction(reduction, (*REDUCTIONS, "batchmean"))
    slopes = -(target.exp() if log_target else target).expand(torch.broadcast_shapes(input.shape, target.shape))
    if reduction == "batchmean":
        return gradient(slopes / (len(input) if input.dim() else 1), input, "sum")
    return gradient(slopes, input, reduction)
