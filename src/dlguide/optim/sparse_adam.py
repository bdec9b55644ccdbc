"""SparseAdam: Adam that touches only the rows for which there is a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check


# --8<-- [start:sparse-adam-rule]
def _sparse_adam(
    w: Tensor, g: Tensor, state: dict[str, Any], lr: float,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
) -> None:  # fmt: skip
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(w), exp_avg_sq=torch.zeros_like(w))
    state["step"] += 1
    t = state["step"]
    g = g.coalesce()  # adds up the rows that occur more than once
    rows, g = tuple(g.indices()), g.values()
    m = betas[0] * state["exp_avg"][rows] + (1 - betas[0]) * g
    v = betas[1] * state["exp_avg_sq"][rows] + (1 - betas[1]) * g * g
    state["exp_avg"][rows], state["exp_avg_sq"][rows] = m, v  # all other rows stay
    c1, c2 = 1 - betas[0] ** t, 1 - betas[1] ** t
    w[rows] -= lr * c2**0.5 / c1 * m / (v.sqrt() + eps)
# --8<-- [end:sparse-adam-rule]


class SparseAdam(RuleOptimizer):
    r"""SparseAdam: the rule of Adam for the rows that a sparse gradient names, and nothing for the others.

    For each row $i$ among the indices of the gradient, with $t = 1, 2, \dots$ counting all steps:

    $$m_i \leftarrow \beta_1 m_i + (1 - \beta_1)\, g_i, \qquad v_i \leftarrow \beta_2 v_i + (1 - \beta_2)\, g_i^2$$

    $$w_i \leftarrow w_i -
    \eta\, \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \cdot \frac{m_i}{\sqrt{v_i} + \varepsilon}$$

    Rows without a gradient keep $m$, $v$ (`exp_avg` and `exp_avg_sq` in the state, of the shape of $w$) and $w$; with
    Adam they would go on moving. Sparse gradients come from `torch.nn.Embedding(..., sparse=True)`. Mind that
    $\varepsilon$ is added before the bias correction of the root, unlike in Adam.

    Args:
        params: dense real tensors to change, or dictionaries with the key `params` and their own options.
        lr: learning rate $\eta > 0$.
        betas: $(\beta_1, \beta_2)$, each at least 0 and below 1.
        eps: $\varepsilon > 0$, keeps the division finite.
        maximize: climb the gradient, to make the objective large instead of small.

    Raises:
        ValueError: an option is out of its range, there are no parameters, or one is sparse or complex.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import SparseAdam

        table = torch.nn.Embedding.from_pretrained(torch.ones(3, 2), freeze=False, sparse=True)
        optimizer = SparseAdam(table.parameters(), lr=0.1)
        table(torch.tensor([1])).sum().backward()
        optimizer.step()
        print(table.weight.data)
        ```

        ``` {.text .output}
        tensor([[1.0000, 1.0000],
                [0.9000, 0.9000],
                [1.0000, 1.0000]])
        ```

    References:
        - [torch.optim.SparseAdam](https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html)
        - Kingma, Ba: Adam: A Method for Stochastic Optimization, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980).
    """

    _rule = staticmethod(_sparse_adam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check("lr", lr, above=0)
        check("betas[0]", betas[0], below=1)
        check("betas[1]", betas[1], below=1)
        check("eps", eps, above=0)
        super().__init__(params, lr=lr, betas=betas, eps=eps, maximize=maximize)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on more parameters.

        Args:
            param_group: a dictionary with the key `params` and, if wanted, options of its own.

        Raises:
            ValueError: a parameter is sparse or complex, or the group asks for an option that is not offered.
        """
        super().add_param_group(param_group)
        for w in self.param_groups[-1]["params"]:
            if w.is_sparse or w.is_complex():
                kind = "sparse" if w.is_sparse else "complex"
                del self.param_groups[-1]
                raise ValueError(
                    f"SparseAdam expected dense real parameters, got a {kind} one of shape {list(w.shape)}: only the"
                    " gradient may be sparse"
                )

    def _readable(self, g: Tensor, group: dict[str, Any]) -> Tensor:
        if not g.is_sparse:
            raise RuntimeError(
                "SparseAdam expected a sparse gradient, got a dense one: make the embedding with sparse=True, or take"
                " Adam"
            )
        return g
