"""RMSprop: divide by the root of a running average of squared gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:rmsprop-rule]
def _rmsprop(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, alpha: float = 0.99,
    eps: float = 1e-8, weight_decay: float = 0, momentum: float = 0,
    centered: bool = False,
) -> None:  # fmt: skip
    if not state:
        state.update(step=torch.tensor(0.0), square_avg=torch.zeros_like(w))
        if momentum:
            state["momentum_buffer"] = torch.zeros_like(w)
        if centered:
            state["grad_avg"] = torch.zeros_like(w)
    if weight_decay:
        g = g + weight_decay * w
    state["step"] += 1
    v = state["square_avg"]
    v.copy_(alpha * v + (1 - alpha) * g * g)  # an average: old gradients fade
    if centered:
        m = state["grad_avg"]
        m.copy_(alpha * m + (1 - alpha) * g)
        v = v - m * m  # the variance: mean of squares minus square of mean
    g = g / (v.sqrt() + eps)
    if momentum:
        b = state["momentum_buffer"]
        b.copy_(momentum * b + g)
        g = b
    w -= lr * g
# --8<-- [end:rmsprop-rule]


class RMSprop(RuleOptimizer):
    r"""RMSprop: divide each gradient by its recent size, the root of a running mean of squares.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad v_t = \alpha v_{t-1} + (1 - \alpha)\, g_t^2, \qquad
    w_t = w_{t-1} - \eta\, \frac{g_t}{\sqrt{v_t} + \varepsilon}$$

    With `momentum` $\mu$ the fraction goes through a buffer, $b_t = \mu b_{t-1} + g_t / (\sqrt{v_t} + \varepsilon)$
    from $b_0 = 0$, and the step is $\eta\, b_t$. Squares, roots and fractions are elementwise; $v$ (`square_avg` in
    the state) has the shape of the parameter $w$ and starts at 0, without a correction for that. With `centered` a
    mean of the gradients themselves, $\bar g_t = \alpha \bar g_{t-1} + (1 - \alpha)\, g_t$ (`grad_avg`), makes it a
    variance: $v_t - \bar g_t^2$ stands under the root.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        alpha: $\alpha \ge 0$, how much of the old average is kept; below 1 it is an average.
        eps: $\varepsilon \ge 0$, keeps the division finite; it stands outside the root.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty.
        momentum: $\mu \ge 0$; 0 turns the buffer off.
        centered: divide by the root of the variance in place of the mean of squares.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, or there are no parameters.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import RMSprop

        w = torch.tensor([0.0], requires_grad=True)
        optimizer = RMSprop([w])
        for gradient in (1.0, 2.0, 3.0):
            w.grad = torch.tensor([gradient])
            optimizer.step()
        print(f"{optimizer.state[w]['square_avg'].item():.6f}")
        ```

        ``` {.text .output}
        0.139401
        ```

    References:
        - [torch.optim.RMSprop](https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html)
        - Tieleman, Hinton: Neural Networks for Machine Learning, [lecture
          6](https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf), 2012. It was never a paper.
    """

    _rule = staticmethod(_rmsprop)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("alpha", alpha)
        check("eps", eps)
        check("weight_decay", weight_decay)
        check("momentum", momentum)
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )
