"""Averaged stochastic gradient descent: the mean of the path is better than its end."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:asgd-rule]
def _asgd(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, lambd: float = 1e-4,
    alpha: float = 0.75, t0: float = 1e6, weight_decay: float = 0,
) -> None:  # fmt: skip
    if not state:
        number = partial(torch.tensor, device=w.device)
        state.update(step=number(0.0), eta=number(lr), mu=number(1.0), ax=torch.zeros_like(w))
    if weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    t, eta, mu = (state[name].item() for name in ("step", "eta", "mu"))
    w *= 1 - lambd * eta
    w -= eta * g
    state["ax"].copy_((1 - mu) * state["ax"] + mu * w)  # mu = 1 until t0: no mean yet
    state["eta"].fill_(lr / (1 + lambd * lr * t) ** alpha)
    state["mu"].fill_(1 / max(1, t - t0))
# --8<-- [end:asgd-rule]


class ASGD(RuleOptimizer):
    r"""Averaged SGD: plain steps with a falling rate, and beside them the mean of all parameters since step $t_0$.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad w_t = (1 - \Lambda \eta_t)\, w_{t-1} - \eta_t\, g_t, \qquad
    \bar w_t = \bar w_{t-1} + \mu_t\, (w_t - \bar w_{t-1})$$

    $$\eta_{t+1} = \frac{\eta}{(1 + \Lambda \eta\, t)^{\alpha}}, \qquad \mu_{t+1} = \frac{1}{\max(1,\; t - t_0)}$$

    from $\eta_1 = \eta$ and $\mu_1 = 1$. The mean $\bar w$ (`ax` in the state) has the shape of the parameter $w$. The
    optimizer changes $w$ only: read `optimizer.state[w]["ax"]` to use the mean.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$ of the first step.
        lambd: $\Lambda \ge 0$, shrinks the parameters and lowers the rate.
        alpha: $\alpha \ge 0$, the power with which the rate falls.
        t0: $t_0$, the step after which the mean begins; the default means never in most runs.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import ASGD

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = ASGD([w], lr=1.0, lambd=0.0, t0=0)
        for gradient in (1.0, -1.0, 1.0, -1.0):  # w jumps between 0 and -1
            w.grad = torch.tensor([gradient])
            optimizer.step()
        print(w.data, optimizer.state[w]["ax"])
        ```

        ``` {.text .output}
        tensor([0.]) tensor([-0.3333])
        ```

    References:
        - Polyak, Juditsky: [Acceleration of Stochastic Approximation by
          Averaging](https://doi.org/10.1137/0330046), SIAM J. Control Optim. 30, 1992.
        - [torch.optim.ASGD](https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html)
    """

    _rule = staticmethod(_asgd)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("lambd", lambd)
        check("alpha", alpha)
        check("weight_decay", weight_decay)
        super().__init__(
            params, lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, maximize=maximize
        )  # fmt: skip
