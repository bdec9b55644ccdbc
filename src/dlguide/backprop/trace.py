r"""The record of a computation: named steps with formula, shape, value and code, as one table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from dlguide.backprop.text import plain, tex


@dataclass(frozen=True, eq=False)
class Step:
    r"""One named line of the computation.

    Args:
        symbol: the step's name, for example `delta_h` or `dW1`.
        formula: TeX of its right-hand side, for example `\delta_h x^\top`.
        value: the number, vector or matrix computed.
        code: the line of Python that computes it from the steps before.

    Returns:
        An immutable record; `print` shows its name, formula, shape and value, and below them the code.

    Example:
        ```python
        import torch
        from dlguide.backprop import Step

        print(Step("delta_k", r"(y - t) \odot \sigma'(z_2)", torch.tensor([0.25])))
        ```

        ``` {.text .output}
        delta_k  (y - t) ⊙ σ′(z₂)  (1,)  [0.25]
        ```
    """

    symbol: str
    formula: str
    value: Tensor
    code: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value: `()` for the loss, (m,) for a vector, (m, n) for a matrix."""
        return tuple(self.value.shape)

    def __str__(self) -> str:
        """The step on one line, or on as many as its matrix has rows, and its code."""
        return _table([self], code=True)


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

        neuron = Layer(torch.tensor([[1.0, 1.0]]), torch.zeros(1), "relu")
        trace = backprop([neuron], torch.tensor([1.0, 2.0]), torch.tensor([1.0]))
        print(trace)
        ```

        ``` {.text .output}
        z1       W₁ x + b₁            (1,)    [3]
                 z1 = W1 @ x + b1
        y        ReLU(z₁)             (1,)    [3]
                 y = relu(z1)
        L        1/2 ‖y - t‖²         ()      2
                 L = ((y - t) ** 2).sum() / 2
        delta_k  (y - t) ⊙ ReLU′(z₁)  (1,)    [2]
                 delta_k = (y - t) * relu_derivative(z1)
        dW1      δₖ xᵀ                (1, 2)  [[2, 4]]
                 dW1 = torch.outer(delta_k, x)
        db1      δₖ                   (1,)    [2]
                 db1 = delta_k
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
        """The table with its code."""
        return self.table()

    def table(self, code: bool = True) -> str:
        """The steps as text: name, formula, shape and value; numbers with six digits.

        Args:
            code: show below each step the line of Python that computes it.

        Returns:
            One line per step, per row of a matrix and per line of code.
        """
        return _table(self.steps, code)

    def markdown(self) -> str:
        """The same table in Markdown with formulas in TeX; a notebook shows it.

        Returns:
            A table with the columns symbol, formula, shape, number and code.
        """
        rows = ["| symbol | formula | shape | number | code |", "| --- | --- | --- | --- | --- |"]
        for step in self.steps:
            number = " ".join(line.strip() for line in _lines(step.value))
            rows.append(f"| ${tex(step.symbol)}$ | ${_safe(step.formula)}$ | {step.shape} | {number} | `{step.code}` |")
        return "\n".join(rows)

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def gradients(self) -> dict[str, Tensor]:
        r"""The gradients $\partial L / \partial \theta$ by the parameter's name.

        Returns:
            `{"W1": …, "b1": …, "W2": …}`, each with the shape and dtype of its parameter.
        """
        found = {step.symbol[1:]: step.value for step in self.steps if re.match(r"d[Wb]\d", step.symbol)}
        return dict(sorted(found.items(), key=lambda item: (int(item[0][1:]), item[0])))


def _safe(formula: str) -> str:
    """A bar would end the cell of a Markdown table."""
    return formula.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _table(steps: Sequence[Step], code: bool) -> str:
    rows: list[tuple[str, str, str, str]] = []
    below: dict[int, str] = {}  # the line of code that follows a row
    for step in steps:
        first, *more = _lines(step.value)
        rows.append((step.symbol, plain(step.formula), str(step.shape), first))
        rows += [("", "", "", line) for line in more]
        below[len(rows) - 1] = step.code if code else ""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for i, row in enumerate(rows):
        lines.append("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip())
        if below.get(i):
            lines.append(" " * (widths[0] + 2) + below[i])
    return "\n".join(lines)


def _lines(value: Tensor, digits: int = 6) -> list[str]:
    """One line for a number or a vector, one line per row for a matrix; + 0.0 turns -0 into 0."""
    if value.ndim == 0:
        return [f"{value.item() + 0.0:.{digits}g}"]
    if value.ndim == 1:
        return ["[" + ", ".join(f"{v + 0.0:.{digits}g}" for v in value.tolist()) + "]"]
    rows = [line for row in value for line in _lines(row, digits)]
    return [("[" if i == 0 else " ") + row + ("]" if i == len(rows) - 1 else ",") for i, row in enumerate(rows)]
