"""Adam and AdamW: a running mean of gradients over the root of a running mean of their squares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:adam-rule]
def _adam(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
    amsgrad: bool = False,
) -> None:  # fmt: skip
    if not state:
        zeros = torch.zeros_like
        state.update(step=torch.tensor(0.0), exp_avg=zeros(w), exp_avg_sq=zeros(w))
        if amsgrad:
            state["max_exp_avg_sq"] = zeros(w)
    if weight_decay:
        g = g + weight_decay * w  # L2: the penalty goes through both averages
    state["step"] += 1
    t, m, v = state["step"].item(), state["exp_avg"], state["exp_avg_sq"]
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    v.copy_(betas[1] * v + (1 - betas[1]) * g * g)
    if amsgrad:  # v may not shrink, so a step may not grow
        state["max_exp_avg_sq"].copy_(torch.maximum(state["max_exp_avg_sq"], v))
        v = state["max_exp_avg_sq"]
    m_hat = m / (1 - betas[0] ** t)  # m started at 0: undo that pull
    v_hat = v / (1 - betas[1] ** t)
    w -= lr * m_hat / (v_hat.sqrt() + eps)
# --8<-- [end:adam-rule]


# --8<-- [start:adamw-rule]
def _adamw(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0.01, amsgrad: bool = False,
) -> None:  # fmt: skip
    w *= 1 - lr * weight_decay  # decoupled: the averages never see the decay
    _adam(w, g, state, lr, betas, eps, 0, amsgrad)
# --8<-- [end:adamw-rule]


class Adam(RuleOptimizer):
    r"""Adam: momentum and a step size for each number, both corrected for their start at zero.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
    v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2$$

    $$w_t = w_{t-1} - \eta\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon}$$

    Squares, roots and fractions are elementwise. The averages $m$ and $v$ (`exp_avg` and `exp_avg_sq` in the state)
    have the shape of the parameter $w$; $t = 1, 2, \dots$ counts the steps. With `amsgrad` the largest $v$ so far,
    $\max(v_1, \dots, v_t)$ (`max_exp_avg_sq`), takes the place of $v_t$ under the root.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$: about the length of a step while gradients agree.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon \ge 0$, keeps the division finite; it stands outside the root.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty; for decay that bypasses the averages see `AdamW`.
        amsgrad: divide by the largest average of squares so far, so that a rare large gradient is not forgotten.
        maximize: climb the gradient, to make the objective large instead of small.
        decoupled_weight_decay: decay as in `AdamW`.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Adam

        w = torch.tensor([1.0, 1.0], requires_grad=True)
        optimizer = Adam([w], lr=0.1)
        w.grad = torch.tensor([100.0, 0.01])
        optimizer.step()
        print(w.data)  # the first step has the length lr, whatever the gradient
        ```

        ``` {.text .output}
        tensor([0.9000, 0.9000])
        ```

    References:
        - Kingma, Ba: Adam: A Method for Stochastic Optimization, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980),
          algorithm 1.
        - Reddi, Kale, Kumar: On the Convergence of Adam and Beyond,
          [arXiv:1904.09237](https://arxiv.org/abs/1904.09237), algorithm 2 (AMSGrad). There the maximum is taken of
          $v$ as here, without the bias corrections.
        - [torch.optim.Adam](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html)
    """

    @staticmethod
    def _rule(
        w: Tensor,
        g: Tensor,
        state: dict[str, Tensor],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        amsgrad: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        rule = _adamw if decoupled_weight_decay else _adam
        rule(w, g, state, lr, betas, eps, weight_decay, amsgrad)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check("lr", lr)
        check("betas[0]", betas[0], below=1)
        check("betas[1]", betas[1], below=1)
        kinds = [type(beta) for beta in betas]
        if kinds not in ([float, float], [Tensor, Tensor]):
            names = " and ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"expected betas as two floats or two tensors, got {names}: write 0.0 in place of 0")
        check("eps", eps)
        check("weight_decay", weight_decay)
        super().__init__(
            params,
            lr=lr,
            betas=(float(betas[0]), float(betas[1])),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )


class AdamW(Adam):
    r"""AdamW: Adam whose weight decay shrinks the parameter directly.

    $$w_t = (1 - \eta \lambda)\, w_{t-1} - \eta\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} +
    \varepsilon}$$

    The averages $m$ and $v$ are those of Adam, of the gradient $g_t = \nabla L(w_{t-1})$ alone. In Adam a large $v$
    makes the decay small as well; here every number decays at the same rate.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon \ge 0$, keeps the division finite.
        weight_decay: $\lambda \ge 0$, the share of the parameter, times $\eta$, that each step takes away.
        amsgrad: divide by the largest average of squares so far, as in `Adam`.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import AdamW

        w = torch.tensor([1.0], requires_grad=True)
        optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
        w.grad = torch.tensor([0.0])
        optimizer.step()
        print(w.data)  # only the decay: 1 - 0.1 * 0.5
        ```

        ``` {.text .output}
        tensor([0.9500])
        ```

    References:
        - Loshchilov, Hutter: Decoupled Weight Decay Regularization,
          [arXiv:1711.05101](https://arxiv.org/abs/1711.05101), algorithm 2. There $\lambda$ is not multiplied by
          $\eta$ but by a schedule factor.
        - [torch.optim.AdamW](https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # whatever was loaded: this is AdamW
            group["decoupled_weight_decay"] = True
