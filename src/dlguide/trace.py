r"""The record of a computation: named steps with formula, shape and value, printable as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    r"""One named line of the computation.

    Args:
        symbol: the step's name, for example `delta_h` or `dW1`.
        formula: TeX of its right-hand side, for example `\delta_h x^\top`.
        value: the number, vector or matrix computed.

    Returns:
        An immutable record; `print` shows its name, formula, shape and value.

    Example:
        ```python
        import torch
        from dlguide.trace import Step

        print(Step("delta_k", r"(y - t) \odot \sigma'(z_2)", torch.tensor([0.25])))
        ```

        ``` {.text .output}
        delta_k  (y - t) ⊙ σ′(z₂)  (1,)  [0.25]
        ```
    """

    symbol: str
    formula: str
    value: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value: `()` for the loss, (m,) for a vector, (m, n) for a matrix."""
        return tuple(self.value.shape)

    def __str__(self) -> str:
        """The step on one line, or on as many as its matrix has rows."""
        return _table([self])


@dataclass(frozen=True, eq=False)
class Trace:
    r"""All steps of one forward and one backward pass, in the order of computation.

    Args:
        steps: the steps.

    Returns:
        An immutable list of steps: `trace["dW1"]` is a value, iterating gives the steps, `print` shows a table.

    Raises:
        KeyError: there is no step of that name.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer, backprop

        neuron = Layer(torch.tensor([[1.0, 1.0]]), torch.zeros(1), "identity")
        print(backprop([neuron], torch.tensor([1.0, 2.0]), torch.tensor([1.0])))
        ```

        ``` {.text .output}
        z1       W₁ x + b₁          (1,)    [3]
        y        id(z₁)             (1,)    [3]
        L        1/2 ‖y - t‖²       ()      2
        delta_k  (y - t) ⊙ id′(z₁)  (1,)    [2]
        dW1      δₖ xᵀ              (1, 2)  [[2, 4]]
        db1      δₖ                 (1,)    [2]
        ```
    """

    steps: tuple[Step, ...]

    def __getitem__(self, symbol: str) -> Tensor:
        """The value of the step called `symbol`."""
        for step in self.steps:
            if step.symbol == symbol:
                return step.value
        raise KeyError(f"no step {symbol!r}: the steps are {', '.join(step.symbol for step in self.steps)}")

    def __iter__(self) -> Iterator[Step]:
        """The steps, first computed first."""
        return iter(self.steps)

    def __str__(self) -> str:
        """A table of name, formula, shape and value; numbers with six digits."""
        return _table(self.steps)

    def gradients(self) -> dict[str, Tensor]:
        r"""The gradients $\partial L / \partial \theta$ by the parameter's name.

        Returns:
            `{"W1": …, "b1": …, "W2": …}`, each with the shape and dtype of its parameter.
        """
        found = {step.symbol[1:]: step.value for step in self.steps if re.match(r"d[Wb]\d", step.symbol)}
        return dict(sorted(found.items(), key=lambda item: (int(item[0][1:]), item[0])))


@dataclass(frozen=True)
class Report:
    """What [check][dlguide.backprop.check] found.

    Args:
        rows: (gradient's name, equal to autograd, equal to finite differences), one per parameter.

    Returns:
        An immutable table that `print` shows.

    Example:
        ```python
        from dlguide.trace import Report

        print(Report((("dW1", True, False),)).passed)
        ```

        ``` {.text .output}
        False
        ```
    """

    rows: tuple[tuple[str, bool, bool], ...]

    @property
    def passed(self) -> bool:
        """True if every gradient agrees with both."""
        return all(auto and diff for _, auto, diff in self.rows)

    def __str__(self) -> str:
        """The table."""
        lines = [("gradient", "autograd", "finite differences"), *self.rows]
        return "\n".join(f"{name:<8}  {auto!s:<8}  {diff}" for name, auto, diff in lines)


_WORDS = {
    r"\delta": "δ",
    r"\sigma": "σ",
    r"\odot": "⊙",
    r"\sum": "Σ",
    r"\ln": "ln",
    r"\|": "‖",
    r"^\top": "ᵀ",
    r"^2": "²",
    "'": "′",
}
_SUBSCRIPTS = str.maketrans("0123456789hks", "₀₁₂₃₄₅₆₇₈₉ₕₖₛ")


def plain(tex: str) -> str:
    r"""A short TeX formula as text for a terminal.

    Args:
        tex: a formula of the kind that `Step` holds: subscripts, transposes, fractions of single symbols.

    Returns:
        The same formula in Unicode.

    Example:
        ```python
        from dlguide.trace import plain

        print(plain(r"(W_2^\top \delta_k) \odot \sigma'(z_1)"))
        ```

        ``` {.text .output}
        (W₂ᵀ δₖ) ⊙ σ′(z₁)
        ```
    """
    text = re.sub(r"\\tfrac\{(\w+)\}\{(\w+)\}", r"\1/\2", tex)
    text = re.sub(r"\\operatorname\{(\w+)\}", r"\1", text)
    for word, sign in _WORDS.items():
        text = text.replace(word, sign)
    text = re.sub(r"_\{(\w+)\}|_(\w)", lambda found: (found[1] or found[2]).translate(_SUBSCRIPTS), text)
    return text.replace("\\", "")


def tex(symbol: str) -> str:
    r"""The name of a step as TeX.

    Args:
        symbol: `h`, `z1`, `delta_k`, `delta_h2`, `dW1`…

    Returns:
        Its TeX; the gradients become partial derivatives of $L$.

    Example:
        ```python
        from dlguide.trace import tex

        print(tex("delta_h2"), tex("dW1"))
        ```

        ``` {.text .output}
        \delta_{h2} \partial L / \partial W_1
        ```
    """
    gradient = re.fullmatch(r"d([Wb])(\d+)", symbol)
    if gradient:
        return rf"\partial L / \partial {tex(gradient[1] + gradient[2])}"
    name, _, below = symbol.partition("_") if "_" in symbol else (symbol[0], "", symbol[1:])
    name = "\\delta" if name == "delta" else name
    return name + ("" if not below else f"_{below}" if len(below) == 1 else f"_{{{below}}}")


def _table(steps: Sequence[Step], digits: int = 6) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for step in steps:
        first, *more = _lines(step.value, digits)
        rows.append((step.symbol, plain(step.formula), str(step.shape), first))
        rows += [("", "", "", line) for line in more]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows)


def _lines(value: Tensor, digits: int) -> list[str]:
    """One line for a number or a vector, one line per row for a matrix; + 0.0 turns -0 into 0."""
    if value.ndim == 0:
        return [f"{value.item() + 0.0:.{digits}g}"]
    if value.ndim == 1:
        return ["[" + ", ".join(f"{v + 0.0:.{digits}g}" for v in value.tolist()) + "]"]
    rows = [line for row in value for line in _lines(row, digits)]
    return [("[" if i == 0 else " ") + row + ("]" if i == len(rows) - 1 else ",") for i, row in enumerate(rows)]
