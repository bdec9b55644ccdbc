"""The evaluator of formulas: right formulas hold, the same with one fault do not, and what it cannot read it says."""

import pytest
import torch
from torch.nn import functional as F

from tests.pages.formulas import Formula
from tests.pages.tex import TexError, statements

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=GENERATOR) + 0.1


W, x, b, t = random(2, 3), random(3, 1), random(2, 1), random(4)
u, v, w = random(4), random(4), random(4)
LAYER = {"z_1": W @ x + b, "W_1": W, "x": x, "b_1": b, "h": torch.sigmoid(W @ x + b), r"\sigma": torch.sigmoid}
SIGMOID = {r"\sigma": torch.sigmoid, r"\sigma'": lambda z: torch.sigmoid(z) * (1 - torch.sigmoid(z)), "z": t - 0.5}
OUTER = {r"\frac{\partial L}{\partial W_1}": b @ x.T, r"\delta_h": b, "x": x}
M_HAT = u / (1 - 0.9**3)
ADAM = {r"\hat m_t": M_HAT, "m_t": u, r"\beta_1": 0.9, "t": 3, "w_t": w - 0.1 * M_HAT / (v.sqrt() + 0.01), "w_{t-1}": w,
        r"\eta": 0.1, r"\hat v_t": v, r"\varepsilon": 0.01}
IMAGE, KERNEL = random(3, 4), random(2, 2)
GOOD = [
    (r"z_1 = W_1 x + b_1, \qquad h = \sigma(z_1)", LAYER),
    (r"\sigma'(z) = \frac{e^{-z}}{(1 + e^{-z})^2} = \sigma(z)\,(1 - \sigma(z))", SIGMOID),
    (r"\frac{\partial L}{\partial W_1} = \delta_h x^\top", OUTER),
    (r"\hat m_t = \frac{m_t}{1 - \beta_1^t},\quad w_t = w_{t-1} - \eta \frac{\hat{m}_t}{\sqrt{\hat v_t}+\varepsilon}",
     ADAM),
    (r"L = \tfrac{1}{2} \lVert y - t \rVert^2 = \tfrac12 \sum_i (y_i - t_i)^2",
     {"L": ((u - t) ** 2).sum() / 2, "y": u, "t": t}),
    (r"f(x) = \begin{cases} x & \text{if } x > 0 \\ \alpha\,(e^x - 1) & \text{otherwise} \end{cases}",
     {"f": lambda z: F.elu(z, alpha=0.7), "x": w - 0.5, r"\alpha": 0.7}),
    (r"p_i = \frac{e^{z_i}}{\sum_{j=1}^{K} e^{z_j}}", {"p": w.softmax(0), "z": w, "i": 2, "K": 4}),
    (r"J = \operatorname{diag}(y) - y\,y^\top", {"J": torch.diag(w) - torch.outer(w, w), "y": w}),
    (r"s = \sum_{j \ne i} x_j", {"x": w, "i": 1, "s": w[1:].sum()}),
    (r"\ell = \max_k z_k + \ln \sum_k e^{z_k - \max_k z_k}", {r"\ell": w.logsumexp(0), "z": w}),
    (r"m = \frac{1}{|B|} \sum_{i \in B} g_i", {"|B|": 2, "B": [1, 3], "g": w, "m": (w[0] + w[2]) / 2}),
    (r"\max(0, x) = \frac{|x| + x}{2}", {"x": w - 0.5}),
    (r"\begin{aligned} a &= b + c \\ &= c + b \\ d &\le a \end{aligned}", {"a": 3, "b": 1, "c": 2, "d": 1}),
    (r"\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 = 3", {"n": 8, "p": 0, "k": 3, "s": 2}),
    (r"W^{-1} W = I", {"W": torch.tensor([[2.0, 1], [1, 3]], dtype=torch.float64), "I": torch.eye(2)}),
    (r"\begin{pmatrix} a & b \\ c & 2a \end{pmatrix} = M",
     {"a": 1, "b": 2, "c": 3, "M": torch.tensor([[1.0, 2], [3, 2]])}),
    (r"n! = \prod_{i=1}^{n} i", {"n": 5}),
]


@pytest.mark.parametrize(("tex", "values"), GOOD, ids=[tex[:30] for tex, _ in GOOD])
def test_a_right_formula_holds(tex, values):
    Formula("good", tex).holds(values)


@pytest.mark.parametrize(("number", "right", "wrong"), [
    (0, "W_1 x", r"2 W_1 x"), (0, "+ b_1", "- b_1"), (0, r"h = \sigma(z_1)", "h = z_1"),
    (1, "(1 + e^{-z})^2", "(1 + e^{-z})^3"), (1, r"(1 - \sigma(z))", r"(1 + \sigma(z))"),
    (3, r"1 - \beta_1^t", r"1 - \beta_1"), (3, r"\sqrt{\hat v_t}+\varepsilon", r"\sqrt{\hat v_t + \varepsilon}"),
    (3, r"- \eta", r"+ \eta"), (4, r"\tfrac12", ""), (5, "x > 0", "x > 1"), (5, r"\alpha\,(", "("),
    (6, "j=1", "j=2"), (7, r"y\,y^\top", r"y^\top y"), (8, r"\ne i", r"\le i"), (9, "+", "-"), (12, r"\le", ">"),
    (13, "+ 1", "+ 2"), (16, "i=1", "i=3"),
])
def test_a_fault_is_found(number, right, wrong):
    tex, values = GOOD[number]
    assert right in tex
    with pytest.raises(AssertionError):
        Formula("bad", tex.replace(right, wrong)).holds(values)


def test_the_order_of_a_product_matters():
    with pytest.raises(TexError, match="no matrix product"):
        Formula("bad", r"\frac{\partial L}{\partial W_1} = x \delta_h").holds(OUTER)


def test_indices_may_count_from_zero():
    y = F.conv2d(IMAGE[None, None], KERNEL[None, None])[0, 0]
    tex = r"y_{ij} = \sum_{a=0}^{1} \sum_{b=0}^{1} w_{ab}\, x_{i+a,j+b}"
    for i in range(2):
        for j in range(3):
            Formula("conv", tex).holds({"y": y, "w": KERNEL, "x": IMAGE, "i": i, "j": j}, first=0)


@pytest.mark.parametrize(("tex", "said"), [
    ("q = a", "no name or number that is known"), (r"a = \sum_i 3", "runs over nothing"), ("a", "no sign to check"),
    (r"a = \sum_{i=1}^{9} t_i", "is outside 1..4"), ("a = (b", "expected '\\)'"),
    ("a = t'", "no name or number"), ("a = \\exp'", "no name or number"),
    (r"a = \foo b", "no name or number"), ("a_{12} = 1", "a name of its own"),
])
def test_what_cannot_be_computed_is_said(tex, said):
    with pytest.raises(TexError, match=said):
        Formula("unread", tex).holds({"a": 1, "b": 2, "t": t})


def test_the_longest_name_wins():
    assert statements(r"w_{t-1} + w", {"w_{t-1}": 1, "w": 2, "t": 5})[0][0][1] == 3


def test_a_value_named_t_leaves_the_transpose_alone():
    Formula("outer", r"G = \delta x^\top").holds({"G": b @ x.T, r"\delta": b, "x": x, "T": 5})


def test_sides_may_be_taken_apart():
    formula = Formula("sides", r"y = 2x \ge x")
    assert formula.left({"y": 4, "x": 2}) == 4
    assert formula.right({"y": 4, "x": 2}) == 2
