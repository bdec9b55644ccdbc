"""How much an activation shrinks a signal, as a factor for the weights that makes up for it."""

from __future__ import annotations

import math

_LINEAR = ("linear", "sigmoid", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""Give the factor that makes up for what an activation does to the size of a signal.

    | activation | gain |
    | --- | --- |
    | linear, convolution, sigmoid | 1 |
    | tanh | $5/3$ |
    | ReLU | $\sqrt 2$ |
    | leaky ReLU with slope $a$ | $\sqrt{2 / (1 + a^2)}$ |
    | SELU | $3/4$ |

    Args:
        nonlinearity: `"linear"`, `"conv1d"` and its like, `"sigmoid"`, `"tanh"`, `"relu"`, `"leaky_relu"` or `"selu"`.
        param: the slope $a$ of the leaky ReLU; None means 0.01.

    Returns:
        The gain, a positive number.

    Raises:
        ValueError: the name is unknown or `param` is no number.

    Example:
        ```python
        from dlguide.init import calculate_gain

        print(f"{calculate_gain('relu'):.4f} {calculate_gain('leaky_relu', 5**0.5):.4f}")
        ```

        ``` {.text .output}
        1.4142 0.5774
        ```

    References:
        - [torch.nn.init.calculate_gain](https://docs.pytorch.org/docs/stable/nn.init.html)
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"expected a number as the slope of leaky_relu, got {param!r}")
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {**dict.fromkeys(_LINEAR, 1.0), "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"unknown nonlinearity {nonlinearity!r}: use leaky_relu, {', '.join(gains)}")
    return gains[nonlinearity]
