"""Adafactor: Adam's mean of squares kept as one row and one column, so that a matrix costs little memory."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:adafactor-rule]
def _adafactor(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0,
) -> None:  # fmt: skip
    matrix = g.dim() > 1
    if not state:
        state["step"] = torch.tensor(0.0)
        if matrix:  # n + m numbers in place of n * m
            state["row_var"] = torch.zeros_like(g.mean(-1, keepdim=True))  # (..., n, 1)
            state["col_var"] = torch.zeros_like(g.mean(-2, keepdim=True))  # (..., 1, m)
        else:
            state["variance"] = torch.zeros_like(g)
    state["step"] += 1
    t = state["step"].item()
    small = torch.finfo(w.dtype).eps if eps[0] is None else eps[0]
    rate = max(eps[1], _rms(w)) * min(lr, t**-0.5)  # relative to the size of the parameter
    w *= 1 - lr * weight_decay
    share = t**beta2_decay  # of the new squares: 1 in the first step, then less and less
    if matrix:
        r, c = state["row_var"], state["col_var"]
        r.copy_((1 - share) * r + share * (g * g).mean(-1, keepdim=True))
        c.copy_((1 - share) * c + share * (g * g).mean(-2, keepdim=True))
        v = r @ c / r.mean(-2, keepdim=True).clamp(min=small)  # rank one
    else:
        v = state["variance"]
        v.copy_((1 - share) * v + share * g * g)
    u = g / v.sqrt().clamp(min=small)
    w -= rate * u / max(1.0, _rms(u) / d)


def _rms(x: Tensor) -> float:
    return (x * x).mean().sqrt().item()  # the root of the mean of squares
# --8<-- [end:adafactor-rule]


class Adafactor(RuleOptimizer):
    r"""Adafactor: divide by a mean of squares of which only the means of rows and columns are kept.

    For a gradient $G_t$ of shape $(n, m)$, with $\beta_t = 1 - t^{\tau}$:

    $$R_t = \beta_t R_{t-1} + (1 - \beta_t)\, \operatorname{mean}_{\text{row}}(G_t^2), \qquad
    C_t = \beta_t C_{t-1} + (1 - \beta_t)\, \operatorname{mean}_{\text{column}}(G_t^2), \qquad
    V_t = \frac{R_t C_t}{\operatorname{mean}(R_t)}$$

    $$U_t = \frac{G_t}{\sqrt{V_t}}, \qquad w_t = (1 - \eta \lambda)\, w_{t-1} -
    \max(\varepsilon_2, \operatorname{RMS}(w_{t-1}))\, \min(\eta, t^{-1/2})\,
    \frac{U_t}{\max(1, \operatorname{RMS}(U_t) / d)}$$

    RMS is the root of the mean of squares of all numbers. $R$ (`row_var` in the state) has the shape $(n, 1)$ and $C$
    (`col_var`) $(1, m)$; more dimensions in front are kept. A vector keeps all its squares (`variance`). $\sqrt{V}$
    and the mean of $R$ are at least $\varepsilon_1$.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: $\eta \ge 0$, the largest step relative to the size of the parameter.
        beta2_decay: $\tau \le 0$, how fast the mean of squares becomes slower.
        eps: $(\varepsilon_1, \varepsilon_2)$, each at least 0; `None` means the precision of the dtype.
        d: $d \ge 1$, the root mean square above which an update is scaled down.
        weight_decay: $\lambda \ge 0$, the share of the parameter, times $\eta$, that each step takes away.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Adafactor

        w = torch.ones(1000, 1000, requires_grad=True)
        optimizer = Adafactor([w])
        w.grad = torch.ones(1000, 1000)
        optimizer.step()
        print(sum(t.numel() for t in optimizer.state[w].values()))  # Adam keeps 2,000,001 numbers
        ```

        ``` {.text .output}
        2001
        ```

    References:
        - Shazeer, Stern: Adafactor: Adaptive Learning Rates with Sublinear Memory Cost,
          [arXiv:1804.04235](https://arxiv.org/abs/1804.04235), algorithms 4 and 5. There $\eta$ is 0.01,
          $\varepsilon_1$ is added to the squares, and rows and columns are summed.
        - [torch.optim.Adafactor](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html)
    """

    _rule = staticmethod(_adafactor)
    _takes_complex = False

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("beta2_decay", beta2_decay, least=-torch.inf, most=0)
        check("eps[0]", 0 if eps[0] is None else eps[0])
        check("eps[1]", eps[1])
        check("d", d, least=1)
        check("weight_decay", weight_decay)
        super().__init__(
            params, lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay, maximize=maximize
        )  # fmt: skip
