"""Each formula of mathematics/convolution against torch in float64, and each exercise against wrong answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.pages.project import page_path
from tests.snippets.sums import check_sums

PAGE = "mathematics/convolution"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return random(*shape, seed=seed).requires_grad_()


def as_matrix(function: Callable[[Tensor], Tensor], n: int) -> Tensor:
    """The matrix of a linear function of n numbers, column by column."""
    return torch.stack([function(column[None])[0] for column in torch.eye(n, dtype=torch.float64)], 1)


@pytest.mark.proves("conv1d", "options")
def test_one_dimension(formula: Formula) -> None:
    x, w, b = random(9), random(3, seed=1), random(1, seed=2)
    for s, p, d in ((1, 0, 1), (2, 2, 1), (2, 1, 3), (1, 3, 2)):
        y = F.conv1d(x[None], w[None, None], b, s, p, d)[0]
        for i in range(len(y)):
            values = {"y": y, "b": b.item(), "w": w, "i": i, "k": 3}
            formula("options").holds({r"\bar x": F.pad(x, (p, p)), "s": s, "d": d, **values}, first=0)
            if (s, p, d) == (1, 0, 1):
                formula("conv1d").holds({"x": x, **values}, first=0)


@pytest.mark.proves("grad-bias", "grad-kernel", "grad-input", "grad-flipped", "transposed")
def test_gradients(formula: Formula) -> None:
    for n, k in ((9, 3), (6, 4), (3, 3), (5, 1)):
        x, w, b = leaf(n), leaf(k, seed=1), leaf(1, seed=2)
        m = n - k + 1
        g = random(m, seed=3)
        out = F.conv1d(x[None], w[None, None], b)[0]
        at_x, at_w, at_b = torch.autograd.grad(out, (x, w, b), g)
        kernel = w.detach()
        M = as_matrix(partial(F.conv1d, weight=kernel[None, None]), n)
        values = {"g": g, "m": m, "k": k, "x": x.detach(), "w": kernel, "M": M, r"\bar g": F.pad(g, (k - 1, k - 1))}
        formula("grad-bias").holds({r"\frac{\partial L}{\partial b}": at_b[0], **values}, first=0)
        formula("grad-input").holds({r"\frac{\partial L}{\partial x}": at_x, **values})
        for a in range(k):
            formula("grad-kernel").holds({r"\frac{\partial L}{\partial w_a}": at_w[a], "a": a, **values}, first=0)
        for j in range(n):
            formula("grad-flipped").holds({r"\frac{\partial L}{\partial x_j}": at_x[j], "j": j, **values}, first=0)
        y = F.conv_transpose1d(g[None], kernel[None, None])[0]
        formula("transposed").holds({"y": y, "M": M, "z": g})


@pytest.mark.proves("size", "transposed-size")
def test_sizes(formula: Formula) -> None:
    for n, k, s, p, d in ((7, 3, 1, 0, 1), (28, 5, 2, 2, 1), (9, 2, 3, 1, 3), (12, 3, 4, 2, 2), (5, 5, 1, 0, 1)):
        m = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), None, s, p, d).shape[2]
        formula("size").holds({"m": m, "n": n, "k": k, "s": s, "p": p, "d": d})
        for u in range(max(s, d)):
            back = F.conv_transpose1d(torch.zeros(1, 1, m), torch.zeros(1, 1, k), None, s, p, u, 1, d).shape[2]
            formula("transposed-size").holds({"n": back, "m": m, "k": k, "s": s, "p": p, "d": d, "u": u})


@pytest.mark.proves("conv2d")
def test_two_dimensions(formula: Formula) -> None:
    x, w, b = random(3, 4, 5), random(2, 3, 2, 3, seed=1), random(2, seed=2)
    y = F.conv2d(x, w, b)
    for o in range(2):
        for i in range(3):
            for j in range(3):
                formula("conv2d").holds({"y": y, "x": x, "w": w, "b": b, "o": o, "i": i, "j": j}, first=0)


@pytest.mark.proves("matrix-products")
def test_three_matrix_products(formula: Formula) -> None:
    """X by torch's own unfold; its gradient by autograd, one column for each window."""
    x, w = random(1, 3, 5, 6), leaf(4, 3, 2, 3, seed=1)
    X = F.unfold(x, (2, 3)).requires_grad_()
    y = F.conv2d(x, w)
    G = random(*y.shape, seed=2)
    (at_w,) = torch.autograd.grad(y, w, G)
    rows = w.detach().flatten(1)
    through = torch.einsum("ok,nkl->nol", rows, X)  # what conv2d computes, as the next line says
    assert torch.allclose(through.detach(), y.detach().flatten(2), rtol=1e-12)
    (at_X,) = torch.autograd.grad(through, X, G.flatten(2))
    formula("matrix-products").holds({
        "Y": y.detach()[0].flatten(1), "W": rows, "X": X.detach()[0], r"\frac{\partial L}{\partial W}": at_w.flatten(1),
        r"\frac{\partial L}{\partial X}": at_X[0], r"\frac{\partial L}{\partial Y}": G[0].flatten(1),
    })  # fmt: skip
    (at_x,) = torch.autograd.grad(F.conv2d(x.requires_grad_(), w), x, G)
    assert torch.allclose(F.fold(at_X, (5, 6), (2, 3)), at_x, rtol=1e-12)  # and added up it is the input's


@pytest.mark.proves("lp", "lp-gradient", "max-gradient", "average-gradient")
def test_pooling(formula: Formula) -> None:
    x = random(6).abs().add(0.1).requires_grad_()
    for q in (1, 2, 3.5):
        y = F.lp_pool1d(x[None], q, 6)[0, 0]
        formula("lp").holds({"y": y.detach(), "x": x.detach(), "q": q, "K": 6})
        (slope,) = torch.autograd.grad(y, x)
        for i in range(1, 7):
            values = {r"\frac{\partial y}{\partial x_i}": slope[i - 1], "x": x.detach(), "y": y.detach()}
            formula("lp-gradient").holds({"q": q, "i": i, **values})
    (at_max,) = torch.autograd.grad(F.max_pool1d(x[None], 6).sum(), x)
    (at_mean,) = torch.autograd.grad(F.avg_pool1d(x[None], 6).sum(), x)
    for i in range(1, 7):
        h = int(x.argmax()) + 1
        formula("max-gradient").holds({r"\frac{\partial y}{\partial x_i}": at_max[i - 1], "i": i, "h": h})
        formula("average-gradient").holds({r"\frac{\partial y}{\partial x_i}": at_mean[i - 1], "K": 6})


@pytest.mark.proves("adaptive")
def test_adaptive_windows(formula: Formula) -> None:
    for n, o in ((5, 3), (7, 2), (12, 4), (3, 5), (1, 1)):
        matrix = as_matrix(partial(F.adaptive_avg_pool1d, output_size=o), n)
        for i in range(o):
            own = matrix[i].nonzero().flatten()
            formula("adaptive").holds({"f_i": int(own[0]), "e_i": int(own[-1]) + 1, "i": i, "n": n, "m": o})


@pytest.mark.proves("parameters", "multiplications")
def test_counts(formula: Formula) -> None:
    for cin, cout, kernel, groups in ((3, 8, (3, 3), 1), (4, 6, (5, 2), 2), (6, 6, (3, 1), 6)):
        layer = nn.Conv2d(cin, cout, kernel, groups=groups)
        with FlopCounterMode(display=False) as counter:
            y = layer(torch.rand(1, cin, 9, 8))
        values = {"C_o": cout, "C_i": cin, "G": groups, "k_H": kernel[0], "k_W": kernel[1]}
        formula("parameters").holds({"P": sum(p.numel() for p in layer.parameters()), **values})
        size = {"H_o": y.shape[2], "W_o": y.shape[3]}
        formula("multiplications").holds({"A": counter.get_total_flops() / 2, **size, **values})


@pytest.mark.proves("receptive-field")
def test_receptive_field(formula: Formula) -> None:
    for layers in ([(3, 1)], [(3, 2), (3, 2), (5, 1)], [(2, 2), (3, 1), (4, 3), (2, 1)]):
        x = torch.zeros(1, 1, 90, requires_grad=True)
        h = x
        for kernel, stride in layers:
            h = F.conv1d(h, torch.ones(1, 1, kernel), stride=stride)
        h[0, 0, 0].backward()
        k, s = (torch.tensor(column, dtype=torch.float64) for column in zip(*layers, strict=True))
        formula("receptive-field").holds({"r": int((x.grad != 0).sum()), "k": k, "s": s, "D": len(layers)})


def check_input(gradient_of_input: Callable[[Tensor, Tensor], Tensor]) -> bool:
    for n, k in ((9, 3), (6, 4), (4, 4), (5, 1)):
        x, w = leaf(n), random(k, seed=1)
        g = random(n - k + 1, seed=2)
        (truth,) = torch.autograd.grad(F.conv1d(x[None], w[None, None])[0], x, g)
        ours = gradient_of_input(g, w)
        if ours.shape != truth.shape or not torch.allclose(ours, truth, rtol=1e-12):
            return False
    return True


def test_exercise_input(page: Page) -> None:
    assert check_input(page(PAGE)["gradient_of_input"])
    assert not check_input(lambda g, w: F.conv1d(g[None], w[None, None], padding=len(w) - 1)[0])  # not flipped
    assert not check_input(lambda g, w: F.conv1d(g[None], w.flip(0)[None, None], padding=len(w) // 2)[0])
    assert not check_input(lambda g, w: F.conv1d(g.flip(0)[None], w[None, None], padding=len(w) - 1)[0])


def check_blur(blur: Callable[[Tensor, int], Tensor]) -> bool:
    pictures = random(2, 3, 6, 5)
    for k in (1, 3, 5):
        truth = F.avg_pool2d(pictures, k, 1, k // 2)  # the padding counts
        ours = blur(pictures, k)
        if ours.shape != truth.shape or not torch.allclose(ours, truth, rtol=1e-12):
            return False
    return True


def test_exercise_blur(page: Page) -> None:
    assert check_blur(page(PAGE)["blur"])

    def mixed(pictures: Tensor, k: int) -> Tensor:
        return F.conv2d(pictures, pictures.new_full((3, 3, k, k), 1 / (3 * k * k)), padding=k // 2)

    def smaller(pictures: Tensor, k: int) -> Tensor:
        return F.conv2d(pictures, pictures.new_full((3, 1, k, k), 1 / k**2), groups=3)

    def brighter(pictures: Tensor, k: int) -> Tensor:
        return F.conv2d(pictures, pictures.new_full((3, 1, k, k), 1 / k), padding=k // 2, groups=3)

    def only_inside(pictures: Tensor, k: int) -> Tensor:
        return F.avg_pool2d(pictures, k, 1, k // 2, count_include_pad=False)

    for wrong in (mixed, smaller, brighter, only_inside):
        assert not check_blur(wrong)


def test_the_page_shows_what_it_claims(page: Page) -> None:
    names = page(PAGE)
    assert names["agree"] == names["total"]  # every size as the formula says
    assert names["same"] is True  # two convolutions without ReLU are one
    assert names["broken"][:-1](torch.rand(1, 1, 28, 28)).shape[1] == 64 * 5 * 5
    assert not torch.equal(names["M"] @ names["M"].T, torch.eye(3, dtype=torch.float64))
    below = torch.tensor([[-3.0, 1.0, 0.0]])
    assert F.lp_pool1d(below, 1, 3) == -2  # no absolute values
    assert F.lp_pool1d(below, 3.0, 3).isnan()
    sizes = {n: F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, 3), stride=3).shape[2] for n in range(6, 9)}
    assert len(set(sizes.values())) == 1  # with stride 3, three sizes become one


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_of_symbols_holds_the_example(page: Page, lang: str) -> None:
    names, found = page(PAGE), 0
    lines = page_path(PAGE, lang).read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| $")]
    for symbol, _, _, numbers, code in rows:
        shown = [int(number) for number in re.findall(r"-?\d+", numbers.replace("−", "-"))]
        if symbol.strip("| $") in tuple("xwygz"):
            value = names[re.findall(r"`(\w+)`", code)[0]]
            assert shown == value.tolist(), symbol
            found += 1
        elif "X" in symbol:
            windows = F.unfold(names["x"][None, None, None], (1, 3))[0]
            assert shown == [*windows.flatten().tolist(), *names["w"].tolist(), *(names["w"] @ windows).tolist()]
            found += 1
    assert found == 6


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_sums_in_the_text_are_right(lang: str) -> None:
    assert check_sums(PAGE, lang) >= 8
