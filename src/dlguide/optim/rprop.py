"""Rprop: only the sign of the gradient counts, and each number finds its own step size."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:rprop-rule]
def _rprop(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float,
    etas: tuple[float, float] = (0.5, 1.2), step_sizes: tuple[float, float] = (1e-6, 50),
) -> None:  # fmt: skip
    if not state:
        state.update(step=torch.tensor(0.0), prev=torch.zeros_like(w))
        state["step_size"] = torch.full_like(w, lr)
    state["step"] += 1
    d = state["step_size"]
    agree = g * state["prev"]
    longer = torch.where(agree > 0, etas[1] * d, d)  # the same sign twice: go on faster
    changed = torch.where(agree < 0, etas[0] * d, longer)  # the sign turned: we jumped too far
    d.copy_(changed.clamp(*step_sizes))
    g = torch.where(agree < 0, 0, g)  # then this step is left out
    w -= g.sign() * d
    state["prev"].copy_(g)
# --8<-- [end:rprop-rule]


class Rprop(RuleOptimizer):
    r"""Rprop: a step of its own size for each number, longer while the sign stays and shorter when it turns.

    $$d_t = \begin{cases} \min(\eta^+ d_{t-1},\; d_{\max}) & \text{if } g_t\, p_{t-1} > 0 \\
    \max(\eta^- d_{t-1},\; d_{\min}) & \text{if } g_t\, p_{t-1} < 0 \\ d_{t-1} & \text{otherwise} \end{cases}
    \qquad p_t = \begin{cases} 0 & \text{if } g_t\, p_{t-1} < 0 \\ g_t & \text{otherwise} \end{cases}$$

    $$w_t = w_{t-1} - \operatorname{sign}(p_t)\, d_t$$

    All of it is elementwise; $g_t = \nabla L(w_{t-1})$. The step size $d$ (`step_size` in the state) and the gradient
    used last, $p$ (`prev`), have the shape of the parameter $w$; $d_0 = \eta$ and $p_0 = 0$. Rprop needs the gradient
    of the whole data: with small batches the signs turn by chance.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: $\eta \ge 0$, the first step size.
        etas: $(\eta^-, \eta^+)$ with $0 < \eta^- < 1 < \eta^+$, the factors of the step size.
        step_sizes: $(d_{\min}, d_{\max})$, the limits of the step size.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Rprop

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = Rprop([w], lr=1.0)
        for gradient in (3.0, 0.1, -7.0, -7.0):  # the third step is left out
            w.grad = torch.tensor([gradient])
            optimizer.step()
            print(f"{w.item():.1f} {optimizer.state[w]['step_size'].item():.1f}")
        ```

        ``` {.text .output}
        -1.0 1.0
        -2.2 1.2
        -2.2 0.6
        -1.6 0.6
        ```

    References:
        - Riedmiller, Braun: [A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP
          Algorithm](https://doi.org/10.1109/ICNN.1993.298623), ICNN 1993.
        - [torch.optim.Rprop](https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html)
    """

    _rule = staticmethod(_rprop)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("etas[0]", etas[0], above=0, below=1)
        check("etas[1]", etas[1], above=1)
        super().__init__(params, lr=lr, etas=etas, step_sizes=step_sizes, maximize=maximize)
