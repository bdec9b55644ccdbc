"""Adadelta: a step as large as recent steps, so that no learning rate is needed."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:adadelta-rule]
def _adadelta(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, rho: float = 0.9,
    eps: float = 1e-6, weight_decay: float = 0,
) -> None:  # fmt: skip
    if not state:
        zeros = torch.zeros_like
        state.update(step=torch.tensor(0.0), square_avg=zeros(w), acc_delta=zeros(w))
    if weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    v, u = state["square_avg"], state["acc_delta"]
    v.copy_(rho * v + (1 - rho) * g * g)
    delta = (u + eps).sqrt() / (v + eps).sqrt() * g  # size of steps over size of gradients
    u.copy_(rho * u + (1 - rho) * delta * delta)
    w -= lr * delta
# --8<-- [end:adadelta-rule]


class Adadelta(RuleOptimizer):
    r"""Adadelta: divide by the size of recent gradients and multiply by the size of recent steps.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad v_t = \rho v_{t-1} + (1 - \rho)\, g_t^2, \qquad
    \Delta_t = \frac{\sqrt{u_{t-1} + \varepsilon}}{\sqrt{v_t + \varepsilon}}\, g_t$$

    $$u_t = \rho u_{t-1} + (1 - \rho)\, \Delta_t^2, \qquad w_t = w_{t-1} - \eta\, \Delta_t$$

    Squares, roots and fractions are elementwise. The averages $v$ and $u$ (`square_avg` and `acc_delta` in the state)
    have the shape of the parameter $w$ and start at 0. The fraction gives the step the unit of the parameter. Mind
    that $\varepsilon$ stands inside both roots here: it sets the first steps, when $u$ is still 0.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: factor $\eta \ge 0$ of the step; 1 in the paper.
        rho: $0 \le \rho \le 1$, how much of both averages is kept.
        eps: $\varepsilon \ge 0$, starts the steps and keeps the division finite.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Adadelta

        w = torch.tensor([1.0, 1.0], requires_grad=True)
        optimizer = Adadelta([w])
        w.grad = torch.tensor([100.0, 0.1])
        optimizer.step()
        print(1 - w.data)  # the first step: about sqrt(10 * eps), whatever the gradient
        ```

        ``` {.text .output}
        tensor([0.0032, 0.0032])
        ```

    References:
        - Zeiler: ADADELTA: An Adaptive Learning Rate Method, [arXiv:1212.5701](https://arxiv.org/abs/1212.5701),
          algorithm 1.
        - [torch.optim.Adadelta](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html)
    """

    _rule = staticmethod(_adadelta)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("rho", rho, most=1)
        check("eps", eps)
        check("weight_decay", weight_decay)
        super().__init__(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)
