"""What the five optimizers share: the loop over parameters, and checks of what the caller passes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# What `params` may be: tensors, groups as dictionaries, or (name, tensor) pairs from `named_parameters()`.
Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class RuleOptimizer(torch.optim.Optimizer):
    """Calls the rule of a subclass for every parameter that has a gradient."""

    _options: list[str]

    def __init__(self, params: Params, **options: Any) -> None:
        name = type(self).__name__
        if isinstance(params, torch.nn.Module):
            raise TypeError(f"{name} expected parameters, got a module: pass model.parameters()")
        if not isinstance(params, (Tensor, dict)):  # these two PyTorch refuses itself
            given: list[Any] = list(params)
            if not given:
                raise ValueError(
                    f"{name} expected at least one parameter, got none: pass model.parameters() after the layers"
                    " exist, and call it anew for each optimizer (it can be read only once)"
                )
            params = given
        super().__init__(params, options)

    _rule: Callable[..., None]  # subclasses set it: _rule(w, g, state, **options) changes w and state in place

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._options = list(inspect.signature(cls._rule).parameters)[3:]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # they may come from torch.optim, with options that are not here
            for option in ("amsgrad", "centered", "maximize"):
                if group.get(option):
                    raise ValueError(
                        f"expected a state without {option}, got {option}=True: load it into"
                        f" torch.optim.{type(self).__name__}"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Change every parameter that has a gradient by one step of the rule.

        Args:
            closure: clears the gradients, computes the loss, calls `backward()` and returns the loss; optional.

        Returns:
            What the closure returned, else `None`.

        Raises:
            RuntimeError: a gradient is sparse or complex.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            options = {name: group[name] for name in self._options}
            options["lr"] = float(options["lr"])  # lr may be a tensor with one element
            for w in group["params"]:
                if w.grad is None:
                    continue
                if w.grad.is_sparse or w.grad.is_complex():
                    kind = "sparse" if w.grad.is_sparse else "complex"
                    raise RuntimeError(
                        f"{type(self).__name__} expected a dense real gradient, got a {kind} one:"
                        " take the optimizer of torch.optim that supports it"
                    )
                state = self.state.get(w, {})
                self._rule(w, w.grad, state, **options)
                if state:  # plain SGD keeps none
                    self.state[w] = state
        return loss


def check(name: str, value: float | Tensor, below: float = math.inf) -> None:
    """Refuse an option that is not in 0 <= value < below."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"expected {name} as one number, got a tensor of shape {list(value.shape)}: pass a float")
    if not 0 <= float(value) < below:
        limits = "0 or more" if below == math.inf else f"at least 0 and less than {below:g}"
        raise ValueError(f"expected {name} to be {limits}, got {float(value):g}: choose another {name}")
