"""Adagrad: divide by the root of the sum of all squared gradients so far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:adagrad-rule]
def _adagrad(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, lr_decay: float = 0,
    weight_decay: float = 0, initial_accumulator_value: float = 0, eps: float = 1e-10,
) -> None:  # fmt: skip
    if not state:
        start = torch.full_like(w, initial_accumulator_value)
        state.update(step=torch.tensor(0.0), sum=start)
    if weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    s = state["sum"]
    s += g * g  # a plain sum: it never shrinks
    rate = lr / (1 + (state["step"].item() - 1) * lr_decay)
    w -= rate * g / (s.sqrt() + eps)
# --8<-- [end:adagrad-rule]


class Adagrad(RuleOptimizer):
    r"""Adagrad: each number of a parameter has its own step, which shrinks with the gradients it has seen.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad s_t = s_{t-1} + g_t^2, \qquad
    w_t = w_{t-1} - \frac{\eta}{1 + (t - 1)\,\rho} \cdot \frac{g_t}{\sqrt{s_t} + \varepsilon}$$

    Squares, roots and fractions are elementwise. The sum $s$ (`sum` in the state) has the shape of the parameter $w$
    and starts at $s_0$; $t = 1, 2, \dots$ counts the steps.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        lr_decay: $\rho \ge 0$, lowers the rate further with the number of steps.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        initial_accumulator_value: $s_0 \ge 0$.
        eps: $\varepsilon \ge 0$, keeps the division finite; it stands outside the root.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Adagrad

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = Adagrad([w], lr=1.0)
        for gradient in (1.0, 2.0, 3.0):
            w.grad = torch.tensor([gradient])
            optimizer.step()
        print(optimizer.state[w]["sum"])
        ```

        ``` {.text .output}
        tensor([14.])
        ```

    References:
        - [torch.optim.Adagrad](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html)
        - Duchi, Hazan, Singer: [Adaptive Subgradient Methods for Online Learning and Stochastic
          Optimization](https://jmlr.org/papers/v12/duchi11a.html), JMLR 12, 2011.
    """

    _rule = staticmethod(_adagrad)
    _takes_sparse = True  # where the gradient is 0 nothing changes

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("lr_decay", lr_decay)
        check("weight_decay", weight_decay)
        check("initial_accumulator_value", initial_accumulator_value)
        check("eps", eps)
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on more parameters, and start their sums at once, so that PyTorch's Adagrad can load the state.

        Args:
            param_group: a dictionary with the key `params` and, if wanted, options of its own.

        Raises:
            ValueError: the group asks for an option that PyTorch has and this optimizer has not.
        """
        super().add_param_group(param_group)
        start = self.param_groups[-1]["initial_accumulator_value"]
        for w in self.param_groups[-1]["params"]:
            value = complex(start, start) if w.is_complex() else start
            self.state[w] = {"step": torch.tensor(0.0), "sum": torch.full_like(w, value)}
