"""L-BFGS: Newton's step from the last few changes of gradient, without the matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dlguide.optim._base import Params, RuleOptimizer, check
from dlguide.optim._line_search import Point, point, strong_wolfe


# --8<-- [start:lbfgs-direction-rule]
def _remember(state: dict[str, Any], s: Tensor, y: Tensor, history_size: int) -> None:
    """Keep a step s and the change of gradient y that it made."""
    ys = y.dot(s)  # s^T H^-1 s: how much the loss curves along s
    if ys > 1e-10:
        state["old_stps"].append(s)
        state["old_dirs"].append(y)
        state["ro"].append(1 / ys)
        state["H_diag"] = ys / y.dot(y)
        if len(state["ro"]) > history_size:
            for kept in (state["old_stps"], state["old_dirs"], state["ro"]):
                kept.pop(0)


def _direction(g: Tensor, state: dict[str, Any]) -> Tensor:
    """Minus the inverse Hessian times g, from the steps that were kept."""
    kept = list(zip(state["old_stps"], state["old_dirs"], state["ro"], strict=True))
    d, alphas = -g, []
    for s, y, rho in reversed(kept):  # newest first
        alphas.append(rho * s.dot(d))
        d = d.add(y, alpha=-alphas[-1])  # d - alpha y
    d = state["H_diag"] * d
    for (s, y, rho), alpha in zip(kept, reversed(alphas), strict=True):
        d = d.add(s, alpha=alpha - rho * y.dot(d))
    return d
# --8<-- [end:lbfgs-direction-rule]


def _number(loss: Any) -> float:
    return loss.item() if isinstance(loss, Tensor) else float(loss)


class LBFGS(RuleOptimizer):
    r"""L-BFGS: steps that use the curvature of the loss, estimated from the last steps.

    With $s_i = w_{i+1} - w_i$, $y_i = \nabla L(w_{i+1}) - \nabla L(w_i)$ and $\rho_i = 1 / y_i^\top s_i$ the inverse
    Hessian is estimated by

    $$H_{i+1} = (I - \rho_i s_i y_i^\top)\, H_i\, (I - \rho_i y_i s_i^\top) + \rho_i s_i s_i^\top, \qquad
    w_{t+1} = w_t - \eta_t H_t \nabla L(w_t)$$

    starting from $H = \frac{s^\top y}{y^\top y}\, I$ of the newest pair. Here $w$ is one vector of all $n$ parameters;
    $H$ of shape $(n, n)$ is never built, for two loops over the pairs (`old_stps` and `old_dirs` in the state) give
    $H \nabla L$. The first step is $-\min(1, 1 / \lVert \nabla L \rVert_1)\, \eta\, \nabla L$. The state belongs to the
    first parameter.

    One call of `step` does up to `max_iter` of these steps and calls the closure for each. Use the whole data: with
    small batches $y$ is mostly noise.

    Args:
        params: the tensors to change; one group only.
        lr: $\eta_t \ge 0$, or the first length that the line search tries.
        max_iter: steps in one call.
        max_eval: calls of the closure in one call of `step`; 5/4 of `max_iter` if `None`.
        tolerance_grad: stop when no number of the gradient is larger.
        tolerance_change: stop when neither the loss nor a parameter changes more.
        history_size: how many pairs are kept.
        line_search_fn: `"strong_wolfe"` looks for a good length $\eta_t$; `None` takes `lr` each time.
        maximize: make the objective large instead of small.

    Raises:
        ValueError: `lr` is out of its range, there are no parameters, or more than one group.
        RuntimeError: the name of the line search is unknown.
        TypeError: `params` is a module or a single tensor.

    Example:
        ```python
        import torch
        from dlguide.optim import LBFGS

        w = torch.tensor([-1.0, 1.0], requires_grad=True)
        optimizer = LBFGS([w], line_search_fn="strong_wolfe", max_iter=50)

        def closure():
            optimizer.zero_grad()
            loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
            loss.backward()
            return loss

        optimizer.step(closure)
        print([f"{number:.2f}" for number in w.tolist()])  # the minimum of Rosenbrock's function
        ```

        ``` {.text .output}
        ['1.00', '1.00']
        ```

    References:
        - Liu, Nocedal: [On the limited memory BFGS method for large scale
          optimization](https://doi.org/10.1007/BF01589116), Mathematical Programming 45, 1989.
        - Nocedal, Wright: [Numerical Optimization](https://doi.org/10.1007/978-0-387-40065-5), 2nd edition, 2006,
          algorithms 3.5, 3.6 (line search) and 7.4 (two loops).
        - [torch.optim.LBFGS](https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        check("lr", lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(
                f"expected line_search_fn to be 'strong_wolfe' or None, got {line_search_fn!r}: choose one of them"
            )
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
            maximize=maximize,
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on the parameters: once, for L-BFGS has one state for all of them.

        Args:
            param_group: a dictionary with the key `params` and, if wanted, options of its own.

        Raises:
            ValueError: there is a group already.
        """
        if self.param_groups:
            raise ValueError("LBFGS expected one parameter group, got a second one: put all parameters in one list")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Do up to `max_iter` steps.

        Args:
            closure: clears the gradients, computes the loss, calls `backward()` and returns the loss.

        Returns:
            What the closure returned the first time: the loss before the steps.
        """
        group = self.param_groups[0]
        names = ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size")
        lr, max_iter, max_eval, small_gradient, small_change, history_size = (group[name] for name in names)
        lr, sign = float(lr), -1 if group["maximize"] else 1
        with torch.enable_grad():
            first = closure()
        if not any(w.numel() for w in group["params"]):
            return first
        state = self.state[group["params"][0]]
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        loss, g, evaluations = sign * _number(first), self._gradient(), 1
        if g.abs().max() <= small_gradient:
            return first

        def evaluate() -> tuple[float, Tensor]:
            with torch.enable_grad():
                value = sign * _number(closure())
            return value, self._gradient()

        # --8<-- [start:lbfgs-rule]
        for n in range(1, max_iter + 1):
            state["n_iter"] += 1
            t = lr
            if state["n_iter"] == 1:
                d = -g  # no curvature known yet: a short step down
                t = min(1.0, 1 / g.abs().sum().item()) * lr
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            else:
                s, y = state["t"] * state["d"], g - state["prev_flat_grad"]
                _remember(state, s, y, history_size)
                d = _direction(g, state)
            slope, before = g.dot(d), loss
            state.update(d=d, t=t, prev_flat_grad=g.clone(), prev_loss=before)
            if slope > -small_change:  # flat, or not downhill
                break
            if group["line_search_fn"] is not None:
                at = self._along(d, evaluate)
                size, most = d.abs().max().item(), max_eval - evaluations
                found, calls = strong_wolfe(at, Point(0, loss, g, slope), t, size, most)
                t, loss, g, _ = found
                self._move(t, d)
            else:
                self._move(t, d)
                calls = 1 if n < max_iter else 0  # no need to look after the last step
                if calls:
                    loss, g = evaluate()
            state["t"] = t
            # --8<-- [end:lbfgs-rule]
            state["func_evals"] += calls
            evaluations += calls
            still = (t * d).abs().max() <= small_change or abs(loss - before) < small_change
            if evaluations >= max_eval or still or g.abs().max() <= small_gradient:
                break
        return first

    def _parts(self) -> list[Tensor]:
        params = self.param_groups[0]["params"]
        return [torch.view_as_real(w) if w.is_complex() else w for w in params]

    def _gradient(self) -> Tensor:
        """All gradients in one vector, downhill for what is minimized."""
        flat = []
        for w in self.param_groups[0]["params"]:
            g = torch.zeros_like(w) if w.grad is None else w.grad.to_dense() if w.grad.is_sparse else w.grad
            flat.append((torch.view_as_real(g.resolve_conj()) if g.is_complex() else g).reshape(-1))
        g = torch.cat(flat)
        return -g if self.param_groups[0]["maximize"] else g

    def _move(self, t: float, d: Tensor) -> None:
        parts = self._parts()
        for w, change in zip(parts, d.split([w.numel() for w in parts]), strict=True):
            w.add_(change.view_as(w), alpha=t)

    def _along(self, d: Tensor, evaluate: Callable[[], tuple[float, Tensor]]) -> Callable[[float], Point]:
        """The loss as a function of the length t of the step from here; the parameters stay here."""
        here = [w.clone() for w in self._parts()]

        def at(t: float) -> Point:
            self._move(t, d)
            f, g = evaluate()
            for w, old in zip(self._parts(), here, strict=True):
                w.copy_(old)
            return point(t, f, g, d)

        return at
