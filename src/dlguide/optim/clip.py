"""Gradient clipping: shorten gradients that are too long, or cut numbers that are too large."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


# --8<-- [start:total-norm-rule]
def _norm(x: Tensor, p: float) -> Tensor:
    x = x.abs()
    if math.isinf(p):
        return x.max() if p > 0 else x.min()
    if p == 0:
        return (x != 0).sum().to(x.dtype)
    half = x.dtype in (torch.float16, torch.bfloat16)  # squares leave their range
    return (x.float() if half else x).pow(p).sum().pow(1 / p).to(x.dtype)
# --8<-- [end:total-norm-rule]


@torch.no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    r"""Return the norm of several tensors as if they were one vector.

    $$\lVert (x_1, \dots, x_n) \rVert_p = \Bigl(\sum_i \lvert x_i \rvert^p\Bigr)^{1/p}, \qquad
    \lVert x \rVert_\infty = \max_i \lvert x_i \rvert$$

    It is computed as the norm of the norms.

    Args:
        tensors: one tensor or several, of any shapes.
        norm_type: $p$; infinity for the largest absolute value.
        error_if_nonfinite: raise an error if the norm is infinite or no number.

    Returns:
        The norm, of shape (); 0 without tensors.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.

    Example:
        ```python
        import torch
        from dlguide.optim import get_total_norm

        print(get_total_norm([torch.tensor([3.0]), torch.tensor([[4.0]])]))
        ```

        ``` {.text .output}
        tensor(5.)
        ```

    References:
        - [torch.nn.utils.get_total_norm](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html)
    """
    p, all_tensors = float(norm_type), [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not all_tensors:
        return torch.tensor(0.0)
    norms = [_norm(x, p).to(all_tensors[0].device) for x in all_tensors]
    total = _norm(torch.stack(norms), p)
    if error_if_nonfinite and not torch.isfinite(total):
        raise RuntimeError(
            f"expected gradients with a finite norm of order {p:g}, got {total.item():g}: look for the layer whose"
            " gradient is not finite, or set error_if_nonfinite=False"
        )
    return total


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    r"""Shorten all gradients together if their norm is too large; their direction stays.

    $$g \leftarrow g \cdot \min\!\left(1,\; \frac{c}{\lVert g \rVert_p + 10^{-6}}\right)$$

    where $g$ stands for all gradients as one vector. The gradients are changed in place.

    Args:
        parameters: the parameters, or one; those without a gradient are passed over.
        max_norm: $c \ge 0$, the largest norm allowed.
        norm_type: $p$; infinity for the largest absolute value.
        error_if_nonfinite: raise an error if the norm is infinite or no number, before anything is changed.

    Returns:
        The norm before, of shape ().

    Raises:
        ValueError: `max_norm` is negative.
        TypeError: `parameters` is a module.
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.

    Example:
        ```python
        import torch
        from dlguide.optim import clip_grad_norm_

        w = torch.zeros(2, requires_grad=True)
        w.grad = torch.tensor([30.0, 40.0])
        print(clip_grad_norm_([w], max_norm=1.0), w.grad)
        ```

        ``` {.text .output}
        tensor(50.) tensor([0.6000, 0.8000])
        ```

    References:
        - Pascanu, Mikolov, Bengio: On the difficulty of training Recurrent Neural Networks,
          [arXiv:1211.5063](https://arxiv.org/abs/1211.5063), algorithm 1.
        - [torch.nn.utils.clip_grad_norm_](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html)
    """
    gradients = _gradients(parameters, "max_norm", max_norm)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    # --8<-- [start:clip-norm-rule]
    factor = (max_norm / (total + 1e-6)).clamp(max=1)  # 1 if they are short enough
    for g in gradients:
        g.mul_(factor.to(g.device))
    # --8<-- [end:clip-norm-rule]
    return total


@torch.no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    r"""Cut each number of each gradient to a range; the direction may change.

    $$g_i \leftarrow \min(\max(g_i, -c),\; c)$$

    The gradients are changed in place.

    Args:
        parameters: the parameters, or one; those without a gradient are passed over.
        clip_value: $c \ge 0$, the largest absolute value allowed.

    Raises:
        ValueError: `clip_value` is negative.
        TypeError: `parameters` is a module.

    Example:
        ```python
        import torch
        from dlguide.optim import clip_grad_value_

        w = torch.zeros(2, requires_grad=True)
        w.grad = torch.tensor([30.0, -0.5])
        clip_grad_value_([w], clip_value=1.0)
        print(w.grad)
        ```

        ``` {.text .output}
        tensor([ 1.0000, -0.5000])
        ```

    References:
        - [torch.nn.utils.clip_grad_value_](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html)
    """
    gradients = _gradients(parameters, "clip_value", clip_value)
    # --8<-- [start:clip-value-rule]
    for g in gradients:
        g.clamp_(-clip_value, clip_value)
    # --8<-- [end:clip-value-rule]


def _gradients(parameters: Tensor | Iterable[Tensor], name: str, limit: float) -> list[Tensor]:
    """The gradients that are there, if the limit makes sense."""
    if isinstance(parameters, nn.Module):
        raise TypeError("expected parameters, got a module: pass model.parameters()")
    if not float(limit) >= 0:
        raise ValueError(f"expected {name} to be at least 0, got {float(limit):g}: choose another {name}")
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not listed and isinstance(parameters, Iterator):
        warnings.warn(
            "expected parameters, got an empty iterator: call model.parameters() anew for each use", stacklevel=4
        )
    return [w.grad for w in listed if w.grad is not None]
