r"""Formulas as text for a terminal, and names of steps as TeX."""

from __future__ import annotations

import re

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
        from dlguide.backprop import plain

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
        from dlguide.backprop import tex

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
