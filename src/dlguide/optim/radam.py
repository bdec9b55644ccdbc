"""RAdam: Adam that waits with its division until the mean of squares can be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:radam-rule]
def _radam(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
    decoupled_weight_decay: bool = False,
) -> None:  # fmt: skip
    if not state:
        zeros = torch.zeros_like
        state.update(step=torch.tensor(0.0), exp_avg=zeros(w), exp_avg_sq=zeros(w))
    if weight_decay and decoupled_weight_decay:
        w *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    t, m, v = state["step"].item(), state["exp_avg"], state["exp_avg_sq"]
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    v.copy_(betas[1] * v + (1 - betas[1]) * g * g)
    m_hat, c = m / (1 - betas[0] ** t), 1 - betas[1] ** t
    rho_max = 2 / (1 - betas[1]) - 1  # the most gradients that v can stand for
    rho = rho_max - 2 * t * betas[1] ** t / c  # and how many it stands for now
    if rho > 5:
        r = (rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho)
        w -= lr * r**0.5 * m_hat * c**0.5 / (v.sqrt() + eps)
    else:
        w -= lr * m_hat  # too few: momentum alone
# --8<-- [end:radam-rule]


class RAdam(RuleOptimizer):
    r"""RAdam: Adam with a warm-up that follows from the variance of its division.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
    v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2$$

    $$\rho_\infty = \frac{2}{1 - \beta_2} - 1, \qquad \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \qquad
    r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\, \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\, \rho_t}}$$

    $$w_t = w_{t-1} - \eta\, \frac{m_t}{1 - \beta_1^t} \cdot \begin{cases}
    r_t\, \dfrac{\sqrt{1 - \beta_2^t}}{\sqrt{v_t} + \varepsilon} & \text{if } \rho_t > 5 \\
    1 & \text{otherwise} \end{cases}$$

    Squares, roots and fractions of $m$ and $v$ (`exp_avg` and `exp_avg_sq` in the state, of the shape of the parameter
    $w$) are elementwise; $t = 1, 2, \dots$ counts the steps. With $\beta_2 = 0.999$ the first five steps are momentum
    alone. Mind that $\varepsilon$ is added before the bias correction of the root, unlike in Adam.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon \ge 0$, keeps the division finite.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        decoupled_weight_decay: shrink the parameter by $1 - \eta \lambda$ first, as AdamW does, and leave $g_t$ alone.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import RAdam

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = RAdam([w], lr=0.1)
        for _ in range(6):
            before = w.item()
            w.grad = torch.tensor([10.0])
            optimizer.step()
            print(f"{before - w.item():.4f}")  # the sixth step is divided, and still small
        ```

        ``` {.text .output}
        1.0000
        1.0000
        1.0000
        1.0000
        1.0000
        0.0026
        ```

    References:
        - Liu, Jiang, He, Chen, Liu, Gao, Han: On the Variance of the Adaptive Learning Rate and Beyond,
          [arXiv:1908.03265](https://arxiv.org/abs/1908.03265), algorithm 2. There the limit is $\rho_t > 4$.
        - [torch.optim.RAdam](https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html)
    """

    _rule = staticmethod(_radam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("betas[0]", betas[0], below=1)
        check("betas[1]", betas[1], below=1)
        check("eps", eps)
        check("weight_decay", weight_decay)
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )
