"""Adamax: Adam with a fading maximum in place of the root of a mean of squares."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:adamax-rule]
def _adamax(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
) -> None:  # fmt: skip
    if not state:
        zeros = torch.zeros_like
        state.update(step=torch.tensor(0.0), exp_avg=zeros(w), exp_inf=zeros(w))
    if weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    t, m, u = state["step"].item(), state["exp_avg"], state["exp_inf"]
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    u.copy_(torch.maximum(betas[1] * u, g.abs() + eps))  # the largest gradient, fading
    w -= lr * m / (1 - betas[0] ** t) / u  # a maximum needs no correction
# --8<-- [end:adamax-rule]


class Adamax(RuleOptimizer):
    r"""Adamax: Adam whose gradients are divided by their largest recent absolute value.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
    u_t = \max(\beta_2 u_{t-1},\; |g_t| + \varepsilon)$$

    $$w_t = w_{t-1} - \frac{\eta}{1 - \beta_1^t} \cdot \frac{m_t}{u_t}$$

    Maximum, absolute value and fraction are elementwise. $m$ and $u$ (`exp_avg` and `exp_inf` in the state) have the
    shape of the parameter $w$ and start at 0; $t = 1, 2, \dots$ counts the steps. The maximum is what Adam's root of a
    mean of squares becomes when the power 2 is replaced by $p \to \infty$.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$; no step is much longer.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon \ge 0$, keeps the division finite; it is added to the gradient, inside the maximum.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Adamax

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = Adamax([w])
        for gradient in (1.0, 5.0, 2.0):
            w.grad = torch.tensor([gradient])
            optimizer.step()
        print(optimizer.state[w]["exp_inf"])  # 5 after one fading
        ```

        ``` {.text .output}
        tensor([4.9950])
        ```

    References:
        - Kingma, Ba: Adam: A Method for Stochastic Optimization, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980),
          section 7.1 and algorithm 2.
        - [torch.optim.Adamax](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html)
    """

    _rule = staticmethod(_adamax)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("betas[0]", betas[0], below=1)
        check("betas[1]", betas[1], below=1)
        check("eps", eps)
        check("weight_decay", weight_decay)
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)
