"""Proofs of the formulas of mathematics/attention against torch in float64, and its exercises."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dlguide.functional.positions import rotary_encoding, sinusoidal_encoding

PAGE = "mathematics/attention"


def softmax(scores):
    return torch.softmax(scores, -1)


@pytest.fixture(params=range(3))
def run(request):
    """Random inputs, and what torch and autograd make of them."""
    generator = torch.Generator().manual_seed(request.param)

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)

    q, k, v, mask, grad = leaf(3, 4), leaf(5, 4), leaf(5, 2), leaf(3, 5).detach(), leaf(3, 2).detach()
    scores = q @ k.mT / 2 + mask
    a = softmax(scores)
    y = a @ v
    found = dict(zip("ZAQKV", torch.autograd.grad(y, [scores, a, q, k, v], grad, retain_graph=True), strict=True))
    return {"Q": q, "K": k, "V": v, "M": mask, "E": 4, "G": grad, "A": a, "Z": scores, "d": found}


@pytest.mark.proves("attention")
def test_attention(run, formula):
    y = F.scaled_dot_product_attention(run["Q"], run["K"], run["V"], attn_mask=run["M"])
    formula("attention").holds({**run, "Y": y, r"\operatorname{softmax}": softmax})


@pytest.mark.proves("weights")
def test_weights(run, formula):
    for i, j in itertools.product(range(1, 4), range(1, 6)):
        formula("weights").holds({"A": run["A"], "Z": run["Z"], "i": i, "j": j})


@pytest.mark.proves("variance")
def test_variance(formula):
    """Exactly, over all vectors of signs, whose entries have variance 1."""
    for width in (1, 2, 3):
        both = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        signs = torch.cartesian_prod(*[both] * 2 * width).reshape(-1, 2, width)
        products = (signs[:, 0] * signs[:, 1]).sum(-1)
        assert products.mean() == 0
        formula("variance").holds({
            r"\operatorname{Var}(q^\top k)": products.var(correction=0), "E": width,
            r"\operatorname{Var}(q_i)": signs[:, 0, 0].var(correction=0),
            r"\operatorname{Var}(k_i)": signs[:, 1, 0].var(correction=0)})


@pytest.mark.proves("value-gradient")
def test_value_gradient(run, formula):
    d = run["d"]
    formula("value-gradient").holds({
        r"\frac{\partial L}{\partial V}": d["V"], r"\dot A": d["A"], r"\frac{\partial L}{\partial A}": d["A"],
        "A": run["A"], "G": run["G"], "V": run["V"]})


@pytest.mark.proves("score-gradient")
def test_score_gradient(run, formula):
    for i, j in itertools.product(range(1, 4), range(1, 6)):
        formula("score-gradient").holds({r"\dot Z": run["d"]["Z"], "A": run["A"], r"\dot A": run["d"]["A"],
                                         "i": i, "j": j})
    assert run["d"]["Z"].sum(-1).abs().max() < 1e-14


@pytest.mark.proves("query-gradient")
def test_query_gradient(run, formula):
    d = run["d"]
    formula("query-gradient").holds({
        r"\frac{\partial L}{\partial Q}": d["Q"], r"\frac{\partial L}{\partial K}": d["K"], r"\dot Z": d["Z"],
        "K": run["K"], "Q": run["Q"], "E": 4})


@pytest.mark.proves("heads")
def test_heads(formula):
    """The outputs of the heads by F.scaled_dot_product_attention, their sum by nn.MultiheadAttention."""
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(6, 3).double(), torch.randn(4, 6, dtype=torch.float64)
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    q, k, v = ((x @ W.T + b).unflatten(-1, (3, 2)).transpose(0, 1) for W, b in
               zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True))
    formula("heads").holds({
        "Y": layer(x, x, x)[0], "H": F.scaled_dot_product_attention(q, k, v), "h": 3, "b_o": layer.out_proj.bias,
        "W": torch.stack(layer.out_proj.weight.chunk(3, dim=1))})
    assert sum(p.numel() for p in layer.parameters()) == 4 * 6 * 6 + 4 * 6


@pytest.mark.proves("cost")
def test_cost(formula):
    for length, width in [(16, 8), (33, 64)]:
        x = torch.randn(1, 1, length, width)
        with FlopCounterMode(display=False) as counter:
            F.scaled_dot_product_attention(x, x, x)
        formula("cost").holds({r"\text{FLOPs}": counter.get_total_flops(), "L": length, "E": width})


@pytest.mark.proves("permutation")
def test_permutation(formula):
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(6, 2).double(), torch.randn(4, 6, dtype=torch.float64)
    order = torch.eye(4, dtype=torch.float64)[torch.tensor([2, 0, 3, 1])]
    formula("permutation").holds({"f": lambda x: layer(x, x, x)[0], r"\Pi": order, "X": x})


@pytest.mark.proves("sinusoids")
def test_sinusoids(formula):
    found = sinusoidal_encoding(9, 6, base=50.0, dtype=torch.float64)
    for t, i in itertools.product(range(9), range(3)):
        formula("sinusoids").holds({"P": found, "t": t, "i": i, "b": 50, "E": 6}, first=0)


@pytest.mark.proves("rotation")
def test_rotation(formula):
    """A rotation is a product of complex numbers."""
    for a, b, angle in [(1.0, 0.0, 0.4), (0.3, -2.0, 1.0), (-1.0, 0.7, 3.0)]:
        turn = torch.polar(*torch.tensor([1.0, angle], dtype=torch.float64))
        turned = torch.complex(*torch.tensor([a, b], dtype=torch.float64)) * turn
        formula("rotation").holds({"u'": turned.real, "w'": turned.imag, "u": a, "w": b, r"\varphi": angle})
    x = torch.tensor([[0.0, 0.0], [0.3, -2.0]], dtype=torch.float64)
    by_formula = formula("rotation").right({"u'": 0, "w'": 0, "u": 0.3, "w": -2.0, r"\varphi": 1.0})
    torch.testing.assert_close(rotary_encoding(x)[1], by_formula.flatten())


@pytest.mark.proves("distance")
def test_distance(formula):
    """With rotations from the matrix exponential."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, dtype=torch.float64, generator=generator)
    spin = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    for m, n in [(0, 1), (4, 1), (2, 7)]:
        steps = {"R_m": m, "R_n": n, "R_{n-m}": n - m}
        turns = {name: torch.linalg.matrix_exp(0.3 * t * spin) for name, t in steps.items()}
        formula("distance").holds({**turns, "q": q, "k": k})


def test_the_learned_head_looks_backwards(page):
    weights = page(PAGE)["weights"]  # of the last block that draws them
    assert weights is not None
    model = page(PAGE)["model"]
    with torch.no_grad():
        _, learned = model(torch.randint(0, 10, (100, 8), generator=torch.Generator().manual_seed(0)))
    assert torch.equal(learned.mean(0).argmax(-1), torch.arange(7, -1, -1))


def check_window(window):
    for length, back in [(1, 0), (5, 2), (6, 0), (4, 9)]:
        mask = window(length, back)
        for i, j in itertools.product(range(length), repeat=2):
            assert bool(mask[i, j]) == (i - back <= j <= i), (i, j)


def test_exercise_window(page):
    check_window(page(PAGE)["window"])


@pytest.mark.parametrize("wrong", [
    lambda n, back: torch.ones(n, n).tril().bool(), lambda n, back: ~torch.ones(n, n).tril(-1).triu(-back).bool(),
    lambda n, back: torch.ones(n, n).triu().tril(back).bool(),
], ids=["no window", "inverted", "future"])
def test_exercise_window_rejects(wrong):
    with pytest.raises(AssertionError):
        check_window(wrong)


def check_cache(cache_numbers):
    """Against the tensors that a cache would hold."""
    for layers, heads, key_heads, width, length in [(2, 4, 4, 16, 5), (3, 8, 2, 32, 7)]:
        one = torch.empty(key_heads, length, width // heads)
        assert cache_numbers(layers, heads, key_heads, width, length) == 2 * layers * one.numel()


def test_exercise_cache(page):
    check_cache(page(PAGE)["cache_numbers"])


@pytest.mark.parametrize("wrong", [lambda n, h, g, w, t: 2 * n * t * w, lambda n, h, g, w, t: n * t * g * w // h],
                         ids=["no sharing", "keys only"])
def test_exercise_cache_rejects(wrong):
    with pytest.raises(AssertionError):
        check_cache(wrong)


def check_linear(linear_attention):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    v = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(linear_attention(q, k, v), (q @ k.mT).tril() @ v, rtol=1e-10, atol=1e-12)


def test_exercise_linear(page):
    check_linear(page(PAGE)["linear_attention"])


@pytest.mark.parametrize("wrong", [
    lambda q, k, v: q @ (k.mT @ v), lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
], ids=["sees the future", "softmax"])
def test_exercise_linear_rejects(wrong):
    with pytest.raises(AssertionError):
        check_linear(wrong)


def test_dividing_by_the_root_gives_variance_one(page):
    assert math.isclose(page(PAGE)["scores"].div(32).var().item(), 1, abs_tol=0.05)
