r"""The hand-made gradients beside those of autograd and of finite differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dlguide.backprop._expect import parameters
from dlguide.backprop.network import Layer, backprop, forward, prepared
from dlguide.backprop.rules import Loss, find_loss


def check(layers: Sequence[Layer], x: Tensor, t: Tensor, loss: str | Loss = "half_sse", step: float = 1e-6) -> Report:
    r"""Compare the hand-made gradients with autograd and with finite differences.

    The finite difference of the entry $w$ is $\frac{L(w + \epsilon) - L(w - \epsilon)}{2 \epsilon}$, always in float64.

    Args:
        layers: the network, as for `backprop`.
        x: one sample (n,) or a batch (S, n).
        t: the target, as for `backprop`.
        loss: the name of a loss or a `Loss`.
        step: $\epsilon$, in the weights' own unit; keep $z$ of a ReLU further than this from 0.

    Returns:
        One row per parameter; `report.passed` says whether all agree.

    Raises:
        ValueError: as `backprop`.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer, check

        W, b = torch.tensor([[0.5, -0.3]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        print(check([Layer(W, b)], torch.tensor([1.0, 2.0]).double(), torch.tensor([0.5]).double()))
        ```

        ``` {.text .output}
        gradient  autograd  finite differences
        dW1       True      True
        db1       True      True
        ```
    """
    layers, rule = list(layers), find_loss(loss)
    hand = backprop(layers, x, t, rule).gradients()
    layers64 = [replace(layer, W=layer.W.double(), b=layer.b.double()) for layer in layers]
    t64 = t.double() if t.is_floating_point() else t
    hand64 = backprop(layers64, x.double(), t64, rule).gradients()
    rows = []
    for name, auto in _by_autograd(layers, *_batch(layers, x, t, rule), rule).items():
        diff = _by_differences(layers64, *_batch(layers64, x.double(), t64, rule), rule, name, step)
        eps = torch.finfo(auto.dtype).eps
        rows.append((f"d{name}", _agree(hand[name], auto, eps**0.5, 4 * eps), _agree(hand64[name], diff, 1e-5, 1e-9)))
    return Report(tuple(rows))


@dataclass(frozen=True)
class Report:
    """What [check][dlguide.backprop.check] found.

    Args:
        rows: (gradient's name, equal to autograd, equal to finite differences), one per parameter.

    Returns:
        An immutable table that `print` shows.

    Example:
        ```python
        from dlguide.backprop import Report

        print(Report((("dW1", True, False),)).passed)
        ```

        ``` {.text .output}
        False
        ```
    """

    rows: tuple[tuple[str, bool, bool], ...]

    @property
    def passed(self) -> bool:
        """True if every gradient agrees with both."""
        return all(auto and diff for _, auto, diff in self.rows)

    def __str__(self) -> str:
        """The table."""
        lines = [("gradient", "autograd", "finite differences"), *self.rows]
        return "\n".join(f"{name:<8}  {auto!s:<8}  {diff}" for name, auto, diff in lines)


def _batch(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> tuple[Tensor, Tensor]:
    x, t = (x[None], t[None]) if x.ndim == 1 else (x, t)
    return x, prepared(t, layers, rule, x.dtype)


def _by_autograd(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> dict[str, Tensor]:
    params = {name: value.clone().requires_grad_() for name, value in parameters(layers).items()}
    with torch.enable_grad():
        z = a = x
        for i, layer in enumerate(layers, 1):
            z = F.linear(a, params[f"W{i}"], params[f"b{i}"])
            a = layer.f.value(z)
        grads = torch.autograd.grad(rule.of(z, a, t), list(params.values()))
    return dict(zip(params, grads, strict=True))


def _by_differences(layers: list[Layer], x: Tensor, t: Tensor, rule: Loss, name: str, step: float) -> Tensor:
    kind, at = name[0], int(name[1:]) - 1
    value = parameters(layers)[name]
    found = torch.empty_like(value)
    for k in range(value.numel()):
        sides = []
        for sign in (+1, -1):
            moved = value.clone()
            moved.view(-1)[k] += sign * step
            nudged = replace(layers[at], W=moved) if kind == "W" else replace(layers[at], b=moved)
            zs, acts = forward([*layers[:at], nudged, *layers[at + 1 :]], x)
            sides.append(rule.of(zs[-1], acts[-1], t))
        found.view(-1)[k] = (sides[0] - sides[1]) / (2 * step)
    return found


def _agree(ours: Tensor, theirs: Tensor, relative: float, absolute: float) -> bool:
    return bool((ours - theirs).abs().max() <= relative * theirs.abs().max() + absolute)
