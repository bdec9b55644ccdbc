"""The labels of the steps: which symbol a value has, by which formula and by which line of code it is computed."""

from __future__ import annotations

from collections.abc import Sequence

from dlguide.backprop.rules import Activation, Loss
from dlguide.backprop.text import tex

Label = tuple[str, str, str, str]  # key of the value, symbol, TeX of the right-hand side, line of code


def label(functions: Sequence[Activation], loss: Loss, one: bool, classes: int = 0) -> list[Label]:
    """The labels in the order of computation; `one`: one sample, a column; `classes`: how many, if `t` names one."""
    depth, labels = len(functions), []
    if classes:
        labels.append(("t", "t", r"\operatorname{onehot}(t)", f"t = F.one_hot(t, {classes}).to(x)"))
    for i, f in enumerate(functions, 1):
        z, a, a_in = f"z{i}", name_of(i, depth), name_of(i - 1, depth)
        W, b = tex(f"W{i}"), tex(f"b{i}")
        if one:
            labels.append((z, z, f"{W} {tex(a_in)} + {b}", f"{z} = W{i} @ {a_in} + b{i}"))
        else:
            labels.append((z, z, rf"{tex(a_in)} {W}^\top + {b}", f"{z} = {a_in} @ W{i}.T + b{i}"))
        labels.append((f"a{i}", a, f"{f.symbol}({tex(z)})", f"{a} = {f.lines[0].format(z=z)}"))

    def fitted(text: str) -> str:  # one sample is its own mean
        text = text.replace(r"\tfrac{1}{S} ", "").replace(" / len(y)", "") if one else text
        return text.replace("{z}", f"z{depth}")

    value, code = map(fitted, loss.lines)
    labels.append(("L", "L", fitted(loss.formula), f"L = {value}"))
    formula = fitted(loss.start)
    for i in range(depth, 0, -1):
        if i < depth or not loss.cancels:
            formula, code = _through(functions[i - 1], f"z{i}", formula, code, one)
        name, a_in, W = delta_of(i, depth), name_of(i - 1, depth), tex(f"W{i}")
        d, a = tex(name), tex(a_in)
        labels.append((f"delta{i}", name, formula, f"{name} = {code}"))
        if one:
            labels.append((f"dW{i}", f"dW{i}", rf"{d} {a}^\top", f"dW{i} = torch.outer({name}, {a_in})"))
            labels.append((f"db{i}", f"db{i}", d, f"db{i} = {name}"))
            formula, code = rf"({W}^\top {d})", f"(W{i}.T @ {name})"
        else:
            labels.append((f"dW{i}", f"dW{i}", rf"{d}^\top {a}", f"dW{i} = {name}.T @ {a_in}"))
            labels.append((f"db{i}", f"db{i}", rf"\sum_s {d}", f"db{i} = {name}.sum(0)"))
            formula, code = f"({d} {W})", f"({name} @ W{i})"
    return labels


def _through(f: Activation, z: str, formula: str, code: str, one: bool) -> tuple[str, str]:
    """What arrives at an activation, times its derivative: entry by entry, or by its Jacobian."""
    slope = f.lines[1].format(z=z)
    if not f.jacobian:
        return rf"{formula} \odot {f.symbol}'({tex(z)})", f"{code} * {slope}"
    if one:
        return rf"{f.symbol}'({tex(z)})^\top {formula}", f"{slope}.T @ {code}"
    return rf"{formula} {f.symbol}'({tex(z)})", f'torch.einsum("si,sij->sj", {code}, {slope})'


def name_of(i: int, depth: int) -> str:
    """The symbol of the output of layer i: x for 0, y for the last one."""
    if i in (0, depth):
        return "x" if i == 0 else "y"
    return "h" if depth == 2 else f"h{i}"


def delta_of(i: int, depth: int) -> str:
    """The symbol of the delta of layer i."""
    return "delta_k" if i == depth else f"delta_{name_of(i, depth)}"
