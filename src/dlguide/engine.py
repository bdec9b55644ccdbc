"""A scalar autograd engine in pure Python: it records what is computed, and walks back by the chain rule."""

from __future__ import annotations

# --8<-- [start:rule]
import math
from collections.abc import Callable

Rule = Callable[[float], tuple[float, ...]]  # the gradient of a result -> the gradients of its parents
# --8<-- [end:rule]


class Value:
    r"""One number that remembers how it was computed, so that `backward()` can differentiate it.

    Arithmetic with values and plain numbers gives new values. Each knows its parents $p_1, \dots, p_k$ and a rule that
    turns the gradient $g = \partial L / \partial v$ of the result into a share for each parent:

    $$g \mapsto \left( g\, \frac{\partial v}{\partial p_1}, \dots, g\, \frac{\partial v}{\partial p_k} \right)$$

    The gradient of a value is the sum of the shares that arrive. It is a float like any Python float, in double
    precision. Where Python raises an exception, numbers behave as in PyTorch: 1/0 is inf, the logarithm of 0 is -inf
    and that of a negative number NaN, an overflow is inf. The slope of `relu` at 0 is 0.

    As in PyTorch, `backward()` adds to `grad`: set it to 0.0 before the next pass. PyTorch keeps `.grad` of leaves
    only; here every value keeps one, as if `retain_grad()` had been called on all. Values compare by their numbers and
    hash by identity. A rule keeps the numbers of the forward pass, so a later change of `data` does not disturb it.

    Args:
        data: the number $v$, an int or a float.
        op: the name of the operation that made it; empty for a leaf.
        parents: the values it was computed from.
        rule: takes the gradient $g$ of this value and returns one share for each parent.

    Raises:
        TypeError: `data` is not a real number.

    Example:
        ```python
        from dlguide.engine import Value

        w, x, b = Value(2), Value(3), Value(1)
        y = (w * x + b) ** 2
        y.backward()
        print(y.data, w.grad, x.grad, b.grad)
        ```

        ``` {.text .output}
        49.0 42.0 28.0 14.0
        ```

    References:
        - [Autograd mechanics](https://docs.pytorch.org/docs/stable/notes/autograd.html), PyTorch
        - Baydin, Pearlmutter, Radul, Siskind: Automatic differentiation in machine learning, a survey,
          [arXiv:1502.05767](https://arxiv.org/abs/1502.05767), section 3.2 (reverse mode)
    """

    # --8<-- [start:node]
    __slots__ = ("data", "grad", "op", "parents", "rule")

    def __init__(
        self, data: float, op: str = "", parents: tuple[Value, ...] = (), rule: Rule = lambda g: ()
    ) -> None:
        if not isinstance(data, int | float):
            raise TypeError(f"a Value holds one int or float, not {type(data).__name__}: convert it by float()")
        self.data = float(data)
        self.grad = 0.0
        self.op = op  # the operation that made it; empty for a leaf
        self.parents = parents  # the values it was made of
        self.rule = rule  # its gradient -> a share for each parent
    # --8<-- [end:node]

    # --8<-- [start:arithmetic]
    def __add__(self, other: Value | float) -> Value:
        other = as_value(other)
        return Value(self.data + other.data, "+", (self, other), lambda g: (g, g))

    def __sub__(self, other: Value | float) -> Value:
        other = as_value(other)
        return Value(self.data - other.data, "-", (self, other), lambda g: (g, -g))

    def __mul__(self, other: Value | float) -> Value:
        other = as_value(other)
        a, b = self.data, other.data
        return Value(a * b, "*", (self, other), lambda g: (g * b, g * a))

    def __truediv__(self, other: Value | float) -> Value:
        other = as_value(other)
        a, b = self.data, other.data
        return Value(_divide(a, b), "/", (self, other),
                     lambda g: (_divide(g, b), -g * _divide(_divide(a, b), b)))

    def __neg__(self) -> Value:
        return Value(-self.data, "neg", (self,), lambda g: (-g,))
    # --8<-- [end:arithmetic]

    # --8<-- [start:power]
    def __pow__(self, other: Value | float) -> Value:
        other = as_value(other)
        a, b = self.data, other.data
        v = _power(a, b)

        def rule(g: float) -> tuple[float, float]:
            to_base = 0.0 if b == 0 else g * (b * _power(a, b - 1))
            to_exponent = 0.0 if a == 0 and b >= 0 else g * (v * _log(a))
            return to_base, to_exponent

        return Value(v, "**", (self, other), rule)
    # --8<-- [end:power]

    # --8<-- [start:reflected]
    def __radd__(self, other: float) -> Value:
        return as_value(other) + self

    def __rsub__(self, other: float) -> Value:
        return as_value(other) - self

    def __rmul__(self, other: float) -> Value:
        return as_value(other) * self

    def __rtruediv__(self, other: float) -> Value:
        return as_value(other) / self

    def __rpow__(self, other: float) -> Value:
        return as_value(other) ** self
    # --8<-- [end:reflected]

    # --8<-- [start:functions]
    def exp(self) -> Value:
        """Return e to the power of this value; inf where that is too large for a float."""
        v = _exp(self.data)
        return Value(v, "exp", (self,), lambda g: (g * v,))

    def log(self) -> Value:
        """Return the natural logarithm; -inf at 0, NaN below."""
        a = self.data
        return Value(_log(a), "log", (self,), lambda g: (_divide(g, a),))

    def tanh(self) -> Value:
        """Return the hyperbolic tangent, between -1 and 1."""
        v = math.tanh(self.data)
        return Value(v, "tanh", (self,), lambda g: (g * (1 - v * v),))

    def sigmoid(self) -> Value:
        """Return 1 / (1 + exp(-x)), between 0 and 1, computed so that no exponential overflows."""
        e = math.exp(-abs(self.data))  # between 0 and 1
        v = (1.0 if self.data >= 0 else e) / (1 + e)
        return Value(v, "sigmoid", (self,), lambda g: (g * v * (1 - v),))

    def relu(self) -> Value:
        """Return this value if it is positive, else 0; the slope at 0 is 0."""
        off = self.data <= 0
        return Value(0.0 if off else self.data, "relu", (self,), lambda g: (0.0 if off else g,))
    # --8<-- [end:functions]

    # --8<-- [start:backward]
    def backward(self, gradient: float = 1.0) -> None:
        """Add the derivative of this value, times `gradient`, to the `grad` of every value it was computed from.

        Args:
            gradient: the gradient that arrives here; 1.0 differentiates this value itself.
        """
        order = topological_order(self)
        arrived = {id(node): 0.0 for node in order}
        arrived[id(self)] = gradient
        for node in reversed(order):  # each node before its parents: all its shares have arrived
            g = arrived[id(node)]
            node.grad += g
            for parent, share in zip(node.parents, node.rule(g), strict=True):
                arrived[id(parent)] += share
    # --8<-- [end:backward]

    def __repr__(self) -> str:
        return f"Value(data={self.data:g}, grad={self.grad:g})"

    def __float__(self) -> float:
        return self.data

    def __bool__(self) -> bool:
        return self.data != 0

    def __eq__(self, other: object) -> bool:
        return self.data == (other.data if isinstance(other, Value) else other)

    __hash__ = object.__hash__

    def __lt__(self, other: Value | float) -> bool:
        return self.data < float(other)

    def __le__(self, other: Value | float) -> bool:
        return self.data <= float(other)

    def __gt__(self, other: Value | float) -> bool:
        return self.data > float(other)

    def __ge__(self, other: Value | float) -> bool:
        return self.data >= float(other)


def as_value(number: Value | float) -> Value:
    """Return a value as it is, and a plain number as a new leaf.

    Args:
        number: a value, an int or a float.

    Returns:
        The same value, or a leaf that holds the number.

    Raises:
        TypeError: it is neither a value nor a real number.

    Example:
        ```python
        from dlguide.engine import as_value

        print(as_value(3))
        ```

        ``` {.text .output}
        Value(data=3, grad=0)
        ```
    """
    return number if isinstance(number, Value) else Value(number)


# --8<-- [start:order]
def topological_order(root: Value) -> list[Value]:
    """List the graph below a value: each value once, after all that it was computed from.

    Args:
        root: the result; it comes last.

    Returns:
        The values, parents first. A list of what is still to do takes the place of recursion, so a chain may be long.

    Example:
        ```python
        from dlguide.engine import Value, topological_order

        x = Value(3)
        print([value.op or "leaf" for value in topological_order(x * x + x)])
        ```

        ``` {.text .output}
        ['leaf', '*', '+']
        ```
    """
    order: list[Value] = []
    seen: set[int] = set()
    to_do = [(root, False)]
    while to_do:
        node, parents_are_done = to_do.pop()
        if parents_are_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            to_do.append((node, True))  # after its parents, which lie above it on the pile
            to_do.extend((parent, False) for parent in node.parents)
    return order
# --8<-- [end:order]


# --8<-- [start:limits]
def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _log(a: float) -> float:
    if a == 0:
        return -math.inf
    return math.log(a) if a > 0 else math.nan


def _exp(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except (OverflowError, ValueError):
        if a < 0 and b != math.floor(b):
            return math.nan  # a negative base with a fraction as exponent has no real power
        return math.copysign(math.inf, a) if b % 2 == 1 else math.inf  # too large, or 1 / 0
# --8<-- [end:limits]
