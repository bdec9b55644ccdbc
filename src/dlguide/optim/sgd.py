"""Stochastic gradient descent, with momentum, Nesterov momentum and weight decay."""

from __future__ import annotations

from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:sgd-rule]
def _sgd(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, momentum: float = 0,
    dampening: float = 0, weight_decay: float = 0, nesterov: bool = False,
) -> None:  # fmt: skip
    if weight_decay:
        g = g + weight_decay * w  # the gradient of weight_decay / 2 * (w * w).sum()
    if momentum:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = g.clone()  # the first step: the gradient itself
        else:
            b = state["momentum_buffer"]
            b.copy_(momentum * b + (1 - dampening) * g)
        b = state["momentum_buffer"]
        g = g + momentum * b if nesterov else b
    w -= lr * g  # in place, for the model holds the same tensor
# --8<-- [end:sgd-rule]


class SGD(RuleOptimizer):
    r"""Stochastic gradient descent: a step against the gradient, or against a running sum of gradients.

    $$g_t = \nabla L(w_{t-1}) + \lambda w_{t-1}, \qquad b_1 = g_1, \quad b_t = \mu b_{t-1} + (1 - \tau) g_t, \qquad
    w_t = w_{t-1} - \eta\, b_t$$

    With `nesterov` the step is $\eta\,(g_t + \mu b_t)$; without momentum it is $\eta\, g_t$. Here $w$ is a parameter,
    $L$ the loss, and $b$ (`momentum_buffer` in the state) has the shape of $w$. The learning rate $\eta$ stands
    outside the buffer, so a changed `lr` acts at once.

    Args:
        params: the tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta \ge 0$.
        momentum: $\mu \ge 0$, how much of the buffer is kept; 0 turns the buffer off.
        dampening: $\tau$, how much of the new gradient stays out of the buffer.
        weight_decay: $\lambda \ge 0$, the factor of the L2 penalty $\tfrac{\lambda}{2} \lVert w \rVert^2$.
        nesterov: take the gradient once more on top of the buffer; needs momentum and no dampening.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, there are no parameters, or `nesterov` lacks momentum.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import SGD

        w = torch.tensor([1.0], requires_grad=True)
        optimizer = SGD([w], lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            (3 * w).sum().backward()  # the gradient is 3
            optimizer.step()
            print(f"{w.item():.4f}")
        ```

        ``` {.text .output}
        0.7000
        0.1300
        ```

    References:
        - [torch.optim.SGD](https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html)
        - Sutskever, Martens, Dahl, Hinton: [On the importance of initialization and momentum in deep
          learning](https://proceedings.mlr.press/v28/sutskever13.html), ICML 2013, section 2. There $\eta$ stands
          inside the buffer; with a constant $\eta$ the steps are the same.
    """

    _rule = staticmethod(_sgd)
    _takes_sparse = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        check("momentum", momentum)
        check("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"expected momentum > 0 and dampening = 0 with nesterov=True, got momentum={momentum:g} and"
                f" dampening={dampening:g}: pass momentum=0.9 and leave dampening out"
            )
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )
