"""NAdam: Adam that steps with the momentum of the next step, as Nesterov's method does."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:nadam-rule]
def _nadam(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
    momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False,
) -> None:  # fmt: skip
    if not state:
        zeros = torch.zeros_like
        state.update(step=torch.tensor(0.0), mu_product=torch.tensor(1.0))
        state.update(exp_avg=zeros(w), exp_avg_sq=zeros(w))
    if weight_decay and decoupled_weight_decay:
        w *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    t, m, v = state["step"].item(), state["exp_avg"], state["exp_avg_sq"]
    mu = betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))  # grows from about b1 / 2 to b1
    mu_next = betas[0] * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    state["mu_product"] *= mu
    product = state["mu_product"].item()  # mu_1 mu_2 ... mu_t
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    v.copy_(betas[1] * v + (1 - betas[1]) * g * g)
    ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
    w -= lr * ahead / ((v / (1 - betas[1] ** t)).sqrt() + eps)
# --8<-- [end:nadam-rule]


class NAdam(RuleOptimizer):
    r"""NAdam: Adam whose step mixes the new gradient with the momentum that comes next.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
    v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2$$

    $$\mu_t = \beta_1 \left(1 - \tfrac{1}{2} \cdot 0.96^{\,t \psi}\right), \qquad
    \hat m_t = \frac{\mu_{t+1}\, m_t}{1 - \prod_{i=1}^{t+1} \mu_i}
    + \frac{(1 - \mu_t)\, g_t}{1 - \prod_{i=1}^{t} \mu_i}, \qquad
    w_t = w_{t-1} - \eta\, \frac{\hat m_t}{\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon}$$

    Squares, roots and fractions are elementwise. $m$ and $v$ (`exp_avg` and `exp_avg_sq` in the state) have the shape
    of the parameter $w$ and start at 0, the product of the $\mu_i$ (`mu_product`) starts at 1; $t = 1, 2, \dots$
    counts the steps.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon \ge 0$, keeps the division finite; it stands outside the root.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        momentum_decay: $\psi \ge 0$, how fast $\mu_t$ grows to $\beta_1$.
        decoupled_weight_decay: shrink the parameter by $1 - \eta \lambda$ first, as AdamW does, and leave $g_t$ alone.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import NAdam

        w = torch.tensor([1.0], requires_grad=True)
        optimizer = NAdam([w], lr=0.1)
        for _ in range(2):
            w.grad = torch.tensor([1.0])
            optimizer.step()
        print(f"{optimizer.state[w]['mu_product'].item():.4f}")  # about 0.45 * 0.45
        ```

        ``` {.text .output}
        0.2026
        ```

    References:
        - Dozat: [Incorporating Nesterov Momentum into Adam](https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ),
          ICLR workshop 2016, algorithm 2.
        - [torch.optim.NAdam](https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html)
    """

    _rule = staticmethod(_nadam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("betas[0]", betas[0], below=1)
        check("betas[1]", betas[1], below=1)
        check("eps", eps)
        check("weight_decay", weight_decay)
        check("momentum_decay", momentum_decay)
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )
