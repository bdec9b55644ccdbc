"""What the optimizers share: the loop over parameters, and checks of what the caller passes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

# What `params` may be: tensors, groups as dictionaries, or (name, tensor) pairs from `named_parameters()`.
Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

NOT_OFFERED = ("foreach", "fused", "capturable", "differentiable")  # PyTorch's ways to compute the same


class RuleOptimizer(torch.optim.Optimizer):
    """Calls the rule of a subclass for every parameter that has a gradient."""

    _rule: Callable[..., None]  # subclasses set it: _rule(w, g, state, **options) changes w and state in place
    _options: ClassVar[dict[str, Any]] = {}  # the names of these options, with their defaults
    _takes_complex = True  # seen by the rule as real numbers, two for each
    _takes_sparse = False  # handed to the rule with the zeros filled in
    _instead = ""  # what to do about a sparse gradient

    def __init__(self, params: Params, **options: Any) -> None:
        name = type(self).__name__
        if isinstance(params, torch.nn.Module):
            raise TypeError(f"{name} expected parameters, got a module: pass model.parameters()")
        if isinstance(params, (Tensor, dict)):
            kind = "tensor" if isinstance(params, Tensor) else "dictionary"
            raise TypeError(f"{name} expected a list of parameters, got one {kind}: put it in a list")
        if not isinstance(params, Iterable):
            raise TypeError(f"{name} expected a list of parameters, got {params!r}: pass model.parameters()")
        given: list[Any] = list(params)
        if not given:
            raise ValueError(
                f"{name} expected at least one parameter, got none: pass model.parameters() after the layers exist, and"
                " call it anew for each optimizer (it can be read only once)"
            )
        super().__init__(params if isinstance(params, set) else given, options)  # PyTorch warns of a set

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "_rule"):
            arguments = list(inspect.signature(cls._rule).parameters.values())[3:]
            cls._options = {a.name: a.default for a in arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # they may come from torch.optim, or from an older version
            if group.get("differentiable"):
                raise ValueError(
                    "expected a state without differentiable, got differentiable=True: load it into"
                    f" torch.optim.{type(self).__name__}"
                )
            for option, default in self._options.items():
                if default is not inspect.Parameter.empty:
                    group.setdefault(option, default)
            if "maximize" in self.defaults:
                group.setdefault("maximize", False)
        for entries in self.state.values():
            entries.update({k: v.to_dense() for k, v in entries.items() if isinstance(v, Tensor) and v.is_sparse})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take on more parameters.

        Args:
            param_group: a dictionary with the key `params` and, if wanted, options of its own.

        Raises:
            ValueError: the group asks for an option that PyTorch has and this optimizer has not.
        """
        for option in NOT_OFFERED:
            if isinstance(param_group, dict) and param_group.get(option):
                raise ValueError(
                    f"expected a group without {option}, got {option}={param_group[option]!r}: leave it out, or take"
                    f" torch.optim.{type(self).__name__}"
                )
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Change every parameter that has a gradient by one step of the rule.

        Args:
            closure: clears the gradients, computes the loss, calls `backward()` and returns the loss; optional.

        Returns:
            What the closure returned, else `None`.

        Raises:
            RuntimeError: a gradient is sparse or complex, and the rule is not made for it.
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
                g = self._readable(w.grad, group)
                if group.get("maximize"):
                    g = -g  # up instead of down
                state = self.state.get(w, {})
                if w.is_complex():
                    state = self._step_complex(w, g, state, options)
                else:
                    self._rule(w, g, state, **options)
                if state:  # plain SGD keeps none
                    self.state[w] = state
        return loss

    def _readable(self, g: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient as the rule wants it, or an error."""
        name = type(self).__name__
        if g.is_complex() and not self._takes_complex:
            raise RuntimeError(f"{name} expected a real gradient, got a complex one: take another optimizer for it")
        if g.is_sparse and not self._takes_sparse:
            advice = self._instead or "make the layer with sparse=False, or take SparseAdam, SGD or Adagrad"
            raise RuntimeError(f"{name} expected a dense gradient, got a sparse one: {advice}")
        if g.is_sparse and group["weight_decay"]:
            raise RuntimeError(
                f"{name} expected weight_decay=0 with a sparse gradient, got {group['weight_decay']:g}: decay would"
                " change every row, so make the layer with sparse=False"
            )
        return g.to_dense() if g.is_sparse else g

    def _step_complex(self, w: Tensor, g: Tensor, state: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """Run the rule on real and imaginary parts as on separate numbers; the state stays complex."""
        w, g = torch.view_as_real(w), torch.view_as_real(g.resolve_conj())
        real = {k: torch.view_as_real(v) if torch.is_complex(v) else v for k, v in state.items()}
        self._rule(w, g, real, **options)
        return {k: torch.view_as_complex(v) if v.shape == w.shape else v for k, v in real.items()}


def check(
    name: str, value: float | Tensor, least: float = 0, most: float = math.inf, below: float = math.inf,
    above: float = -math.inf,
) -> None:  # fmt: skip
    """Refuse an option that is not in least <= value <= most, or not above < value < below."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"expected {name} as one number, got a tensor of shape {list(value.shape)}: pass a float")
    if above < float(value) < below and least <= float(value) <= most:
        return
    lower = f"above {above:g}" if above > -math.inf else f"at least {least:g}" if least > -math.inf else ""
    upper = f"below {below:g}" if below < math.inf else f"at most {most:g}" if most < math.inf else ""
    limits = " and ".join(filter(None, [lower, upper]))
    raise ValueError(f"expected {name} to be {limits}, got {float(value):g}: choose another {name}")
