"""Muon: momentum whose matrix is made orthogonal, so that every direction gets the same step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SCALES = (None, "original", "match_rms_adamw", "spectral_unclamped")


# --8<-- [start:newton-schulz-rule]
def _orthogonal(
    g: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:  # fmt: skip
    a, b, c = coefficients
    tall = g.shape[0] > g.shape[1]
    x = (g.T if tall else g).bfloat16()  # half of the digits is enough here
    x = x / x.norm().clamp(min=eps)  # all singular values at most 1
    for _ in range(steps):  # each singular value s becomes a s + b s^3 + c s^5
        s = x @ x.T
        p = torch.addmm(s, s, s, beta=b, alpha=c)  # b s + c s s, rounded once
        x = torch.addmm(x, p, x, beta=a)  # a x + p x
    return (x.T if tall else x).to(g.dtype)
# --8<-- [end:newton-schulz-rule]


# --8<-- [start:muon-rule]
def _muon(
    w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, weight_decay: float = 0.1,
    momentum: float = 0.95, nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = COEFFICIENTS, eps: float = 1e-7,
    ns_steps: int = 5, adjust_lr_fn: str | None = None,
) -> None:  # fmt: skip
    if not state:
        state["momentum_buffer"] = torch.zeros_like(w)
    b = state["momentum_buffer"]
    b.copy_(momentum * b + (1 - momentum) * g)
    u = (1 - momentum) * g + momentum * b if nesterov else b
    n, m = w.shape
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * max(n, m) ** 0.5  # numbers of about the size of AdamW's steps
    elif adjust_lr_fn == "spectral_unclamped":
        scale = (n / m) ** 0.5
    else:
        scale = max(1, n / m) ** 0.5
    w *= 1 - lr * weight_decay
    w -= lr * scale * _orthogonal(u, ns_coefficients, ns_steps, eps)
# --8<-- [end:muon-rule]


class Muon(RuleOptimizer):
    r"""Muon: replace the momentum of a matrix by the nearest matrix whose singular values are all about 1.

    $$B_t = \mu B_{t-1} + (1 - \mu)\, G_t, \qquad \tilde B_t = (1 - \mu)\, G_t + \mu B_t, \qquad
    w_t = (1 - \eta \lambda)\, w_{t-1} - \eta\, \kappa\, \operatorname{NS}(\tilde B_t)$$

    $\operatorname{NS}$ is the iteration of Newton and Schulz. From $X = \tilde B / \lVert \tilde B \rVert$ it repeats

    $$X \leftarrow a X + (b\, X X^\top + c\, X X^\top X X^\top)\, X$$

    which leaves the singular vectors alone and drives the singular values into about 0.7 to 1.2; it is computed in
    bfloat16. Here $G_t$ is the gradient of shape $(n, m)$, $B$ (`momentum_buffer` in the state) starts at 0, without
    `nesterov` $\tilde B = B$, and $\kappa$ makes up for the shape: see `adjust_lr_fn`.

    Args:
        params: matrices to change, or dictionaries with the key `params` and their own options. Give biases, embeddings
            and norms to another optimizer.
        lr: learning rate $\eta \ge 0$.
        weight_decay: $\lambda \ge 0$, the share of the parameter, times $\eta$, that each step takes away.
        momentum: $\mu \ge 0$, how much of the average is kept.
        nesterov: take the new gradient once more on top of the average.
        ns_coefficients: $(a, b, c)$.
        eps: the least norm by which $\tilde B$ is divided.
        ns_steps: how often the iteration is repeated; below 100.
        adjust_lr_fn: $\kappa = \sqrt{\max(1, n / m)}$ for `"original"` or `None`, $0.2 \sqrt{\max(n, m)}$ for
            `"match_rms_adamw"`, $\sqrt{n / m}$ for `"spectral_unclamped"`.

    Raises:
        ValueError: an option is out of its range, there are no parameters, or one is not a matrix.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import Muon

        w = torch.zeros(2, 2, requires_grad=True)
        optimizer = Muon([w], lr=1.0)
        w.grad = torch.tensor([[100.0, 0.0], [0.0, 1.0]])
        optimizer.step()
        print(w.data.abs().max() < 1.3)  # 100 and 1 have become steps of one size
        ```

        ``` {.text .output}
        tensor(True)
        ```

    References:
        - Jordan: [Muon: An optimizer for hidden layers in neural
          networks](https://kellerjordan.github.io/posts/muon/), 2024. There $B_t = \mu B_{t-1} + G_t$; the length does
          not matter, for $\operatorname{NS}$ divides it out.
        - Liu et al.: Muon is Scalable for LLM Training, [arXiv:2502.16982](https://arxiv.org/abs/2502.16982), section
          2.2 (`match_rms_adamw`).
        - [torch.optim.Muon](https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html)
    """

    _rule = staticmethod(_muon)
    _takes_complex = False

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check("lr", lr)
        check("weight_decay", weight_decay)
        check("momentum", momentum)
        check("ns_steps", ns_steps, below=100)
        if len(ns_coefficients) != 3:
            raise ValueError(f"expected ns_coefficients (a, b, c), got {len(ns_coefficients)} numbers: pass three")
        if adjust_lr_fn not in SCALES:
            raise ValueError(
                f"expected adjust_lr_fn to be one of {', '.join(map(repr, SCALES))}, got {adjust_lr_fn!r}: choose one"
            )
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on more matrices.

        Args:
            param_group: a dictionary with the key `params` and, if wanted, options of its own.

        Raises:
            ValueError: a parameter is not a matrix, or the group asks for an option that is not offered.
        """
        super().add_param_group(param_group)
        for w in self.param_groups[-1]["params"]:
            if w.dim() != 2:
                del self.param_groups[-1]
                raise ValueError(
                    f"Muon expected matrices, got a parameter of shape {list(w.shape)}: give it to AdamW or another"
                    " optimizer"
                )
