"""dlguide.backprop against autograd, finite differences and figures worked out beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import cache
from types import CodeType
from typing import Any

import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.nn import functional as F

from dlguide.backprop import (
    ACTIVATIONS,
    LOSSES,
    Activation,
    Layer,
    Loss,
    Report,
    Step,
    Trace,
    backprop,
    check,
    draw_network,
    plain,
    tex,
)
from dlguide.backprop.rules import log_softmax_jacobian, softmax_jacobian
from dlguide.functional import activations, losses
from tests.pages.tex import statements

F64 = torch.float64
ONE = torch.ones


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def net(W1: list[list[float]], W2: list[list[float]]) -> list[Layer]:
    return [
        Layer(torch.tensor(W1, dtype=F64), torch.zeros(len(W1), dtype=F64)),
        Layer(torch.tensor(W2, dtype=F64), torch.zeros(len(W2), dtype=F64)),
    ]


REPAIR_A = net([[1, 1, 1], [1, 1, 1]], [[1, 1]])
REPAIR_B = net([[1, 1, 1], [1, 1, 2]], [[1, 1]])
FRIENDLY = net([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]], [[0.5, -0.3]])
X, T = vector(1, 2, 3), vector(0.5)

# The symbol, the digits shown in the list of errata, one string per number.
FIGURES = {
    "A": (
        REPAIR_A,
        {
            "z1": ["6", "6"],
            "h": ["0.9975273768", "0.9975273768"],
            "z2": ["1.9950547537"],
            "y": ["0.8802768803"],
            "L": ["0.0723052528"],
            "delta_k": ["0.0400771881"],
            "db2": ["0.0400771881"],
            "dW2": ["0.0399780923", "0.0399780923"],
            "delta_h": ["9.885076e-5", "9.885076e-5"],
            "db1": ["9.885076e-5", "9.885076e-5"],
            "dW1": ["9.885076e-5", "1.977015e-4", "2.965523e-4"] * 2,
        },
    ),
    "B": (
        REPAIR_B,
        {
            "z1": ["6", "9"],
            "h": ["0.9975273768", "0.9998766054"],
            "z2": ["1.9974039823"],
            "y": ["0.8805242432"],
            "L": ["0.0723993498"],
            "delta_k": ["0.0400316452"],
            "db2": ["0.0400316452"],
            "dW2": ["0.0399326620", "0.0400267055"],
            "delta_h": ["9.873842e-5", "4.939078e-6"],
            "db1": ["9.873842e-5", "4.939078e-6"],
            "dW1": ["9.873842e-5", "1.974768e-4", "2.962153e-4", "4.939078e-6", "9.878157e-6", "1.481724e-5"],
        },
    ),
    "friendly": (
        FRIENDLY,
        {
            "z1": ["0.2", "0.3"],
            "h": ["0.549834", "0.574443"],
            "y": ["0.525624"],
            "delta_k": ["0.00638907"],
            "delta_h": ["0.000790701", "-0.000468559"],
        },
    ),
}


def digits(value: float, like: str) -> str:
    """`value` with as many decimals as `like` shows."""
    mantissa, _, power = like.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return f"{value / 10 ** int(power or 0):.{decimals}f}" + (f"e{power}" if power else "")


@pytest.mark.parametrize("name", FIGURES)
def test_worked_examples_digit_by_digit(name: str) -> None:
    layers, figures = FIGURES[name]
    trace = backprop(layers, X, T)
    for symbol, expected in figures.items():
        values = trace[symbol].flatten().tolist()
        assert [digits(v, e) for v, e in zip(values, expected, strict=True)] == expected, symbol
    assert check(layers, X, T).passed


# PyTorch's own functions: the truth. A fused loss stands behind the activation that its last layer must have.
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: getattr(torch, name, None) or getattr(F, name)
    for name in ("sigmoid", "tanh", "relu", "selu")
} | {name: getattr(F, name) for name in ("leaky_relu", "elu", "gelu", "silu", "mish", "softplus")} | {
    "identity": lambda z: z,
    "softmax": lambda z: torch.softmax(z, -1),
    "log_softmax": lambda z: torch.log_softmax(z, -1),
}


def cross_entropy_of_probabilities(y: Tensor, t: Tensor) -> Tensor:
    """-ln y of the right class, the mean over the samples; t are classes or probabilities."""
    if t.is_floating_point():
        return -(t * y.log()).sum() / (len(y) if y.ndim == 2 else 1)
    return F.nll_loss(y.log(), t)


TORCH_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    name: getattr(F, name) for name in LOSSES if hasattr(F, name) and name != "kl_div"
} | {
    "half_sse": lambda y, t: F.mse_loss(y, t, reduction="sum") / 2,
    "bce": F.binary_cross_entropy,
    "ce": cross_entropy_of_probabilities,
    "kl_div": lambda y, t: F.kl_div(y, t, reduction="sum") / (len(y) if y.ndim == 2 else 1),
}
LAST = {"bce": "sigmoid", "ce": "softmax", "binary_cross_entropy": "sigmoid"}  # what the loss needs of the last layer


def random(seed: int) -> Callable[..., Tensor]:
    gen = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, dtype=F64, generator=gen)


def targets(loss: str, y: tuple[int, ...], rand: Callable[..., Tensor]) -> list[Tensor]:
    """Targets that the loss can take, for an output of shape y: first numbers, then classes."""
    numbers, classes = torch.sigmoid(rand(*y)), rand(*y).argmax(-1)
    if loss == "hinge_embedding_loss":
        return [torch.sign(rand(*y))]
    if loss in ("nll_loss", "multi_margin_loss"):
        return [classes]
    if loss in ("ce", "cross_entropy"):
        return [torch.softmax(rand(*y), -1), classes]
    return [numbers]


def network(widths: list[int], names: list[str], rand: Callable[..., Tensor]) -> list[Layer]:
    return [Layer(rand(m, n) / 2, rand(m) / 2, f) for n, m, f in zip(widths, widths[1:], names, strict=False)]


def by_torch(layers: list[Layer], names: list[str], x: Tensor, t: Tensor, loss: str) -> dict[str, Tensor]:
    """Every value and every gradient from F.linear, PyTorch's functions and autograd."""
    depth, a = len(layers), x
    found: dict[str, Tensor] = {}
    for i, (layer, name) in enumerate(zip(layers, names, strict=True), 1):
        W, b = layer.W.clone().requires_grad_(), layer.b.clone().requires_grad_()
        z = F.linear(a, W, b)
        a = FUNCTIONS[name](z)
        hidden = "h" if depth == 2 else f"h{i}"
        found |= {f"W{i}": W, f"b{i}": b, f"z{i}": z, "y" if i == depth else hidden: a}
    L = TORCH_LOSSES[loss](a, t)
    of = [name for name in found if name[0] in "Wbz"]
    grads = dict(zip(of, torch.autograd.grad(L, [found[name] for name in of]), strict=True))
    result = {name: value.detach() for name, value in found.items() if name[0] not in "Wb"} | {"L": L.detach()}
    for i in range(1, depth + 1):
        hidden = "delta_h" if depth == 2 else f"delta_h{i}"
        result["delta_k" if i == depth else hidden] = grads[f"z{i}"]
        result |= {f"dW{i}": grads[f"W{i}"], f"db{i}": grads[f"b{i}"]}
    return result


CODE = {name: getattr(activations, name) for name in activations.__all__} | {
    name: getattr(losses, name) for name in losses.__all__
} | {"torch": torch, "F": F, "softmax_jacobian": softmax_jacobian, "log_softmax_jacobian": log_softmax_jacobian}
SLOPES = {ACTIVATIONS[name].symbol + "'": ACTIVATIONS[name].slope for name in ACTIVATIONS}
WORDS: dict[str, Any] = SLOPES | {
    **{ACTIVATIONS[name].symbol: function for name, function in FUNCTIONS.items()},
    r"\sum": torch.sum,
    r"\sum_s": lambda value: value.sum(0),
    r"\operatorname{clip}": lambda e: e.clamp(-1, 1),
    r"\operatorname{huber}": lambda e: F.huber_loss(e, torch.zeros_like(e), reduction="none"),
    r"\operatorname{hinge}": lambda y, t: F.hinge_embedding_loss(y, t, reduction="none"),
    r"\operatorname{margin}": lambda y, t: F.multi_margin_loss(y, t, reduction="sum"),
}


@cache
def compiled(line: str) -> CodeType:
    return compile(line, line, "exec")


def code_and_formulas_give_the_values(trace: Trace, layers: list[Layer], x: Tensor, t: Tensor, formulas: bool) -> None:
    """Run each line of code, and compute each formula from its TeX: both must give the step's value."""
    scope = CODE | {"x": x, "t": t} | {f"W{i}": layer.W for i, layer in enumerate(layers, 1)}
    scope |= {f"b{i}": layer.b for i, layer in enumerate(layers, 1)}
    rows = 1 if x.ndim == 1 else len(x)
    onehot = t if t.is_floating_point() else F.one_hot(t, len(layers[-1].W)).to(F64)
    known = WORDS | {"x": x, "t": t, "N": float(rows * len(layers[-1].W)), "S": float(rows)}
    known |= {tex(name): value for name, value in scope.items() if re.fullmatch(r"[Wb]\d+", name)}
    for step in trace:
        exec(compiled(step.code), scope)
        assert_equal(scope[step.symbol], step.value, step.code)
        batch_of_jacobians = x.ndim == 2 and r"softmax}'" in step.formula
        if formulas and "onehot" not in step.formula and r"\partial" not in step.formula and not batch_of_jacobians:
            names = known | {tex(s.symbol): s.value for s in trace}
            names["t"] = t if "margin" in step.formula else onehot
            ((_, value),) = statements(step.formula, names)[0]
            assert_equal(torch.as_tensor(value).reshape(step.shape), step.value, step.formula)


def assert_equal(ours: Tensor, theirs: Tensor, what: str) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12, msg=lambda said: f"{what}: {said}")


@pytest.mark.parametrize("loss", LOSSES)
def test_every_activation_with_every_loss_in_every_depth(loss: str) -> None:
    assert set(FUNCTIONS) == set(ACTIVATIONS)
    assert set(TORCH_LOSSES) == set(LOSSES)
    for seed, (name, depth, rows) in enumerate(
        (name, depth, rows) for name in ACTIVATIONS for depth in (1, 2, 3, 4) for rows in ((), (3,))
    ):
        rand = random(seed)
        widths = [*[3, 2, 4, 2][:depth], 3]
        names = [name] * (depth - 1) + [LAST.get(loss, name)]
        layers = network(widths, names, rand)
        x = rand(*rows, 3)
        for t in targets(loss, (*rows, 3), rand):
            trace = backprop(layers, x, t, loss)
            expected = by_torch(layers, names, x, t, loss)
            for symbol, value in expected.items():
                assert_equal(trace[symbol], value, f"{symbol} of {name}, depth {depth}, rows {rows}, t {t}")
            code_and_formulas_give_the_values(trace, layers, x, t, formulas=depth == 2)
            if depth == 2 and not rows:
                assert check(layers, x, t, loss, step=1e-6).passed, (name, rows, t)


def test_a_deep_network_of_all_activations() -> None:
    """Eleven layers, so that numbers with two digits occur."""
    names = [name for name in ACTIVATIONS if name != "log_softmax"][:11]
    rand = random(3)
    layers = network([3, 4, 3, 2, 5, 3, 4, 3, 2, 4, 3, 2], names, rand)
    x, t = rand(4, 3), rand(4, 2)
    trace, expected = backprop(layers, x, t), by_torch(layers, names, x, t, "half_sse")
    for symbol, value in expected.items():
        assert_equal(trace[symbol], value, symbol)
    assert list(trace.gradients())[-4:] == ["W10", "b10", "W11", "b11"]
    assert check(layers, x, t).passed
    code_and_formulas_give_the_values(trace, layers, x, t, formulas=True)
    assert "h₁₀ W₁₁ᵀ + b₁₁" in str(trace)


def test_softmax_and_cross_entropy_leave_y_minus_t() -> None:
    rand = random(0)
    layers = [Layer(rand(4, 3), rand(4), "gelu"), Layer(rand(3, 4), rand(3), "softmax")]
    x, classes = rand(5, 3), torch.tensor([0, 2, 1, 1, 0])
    for t, onehot in ((classes, F.one_hot(classes, 3)), (F.one_hot(classes, 3).double(),) * 2):
        trace = backprop(layers, x, t, "ce")
        assert_equal(trace["delta_k"], (trace["y"] - onehot) / 5, "delta_k")
        one = backprop(layers, x[0], t[0], "ce")
        assert_equal(one["delta_k"], one["y"] - onehot[0], "delta_k of one sample")
    assert next(step.symbol for step in backprop(layers, x, classes, "ce")) == "t"
    logits = [layers[0], Layer(layers[1].W, layers[1].b, "identity")]
    for name, value in backprop(logits, x, classes, "cross_entropy").gradients().items():
        assert_equal(trace.gradients()[name], value, name)  # the same network in two spellings


def test_a_vector_activation_of_ones_own() -> None:
    """y / |y|: each output depends on every input, so the derivative is a Jacobian."""

    def unit(z: Tensor) -> Tensor:
        return z / z.norm(dim=-1, keepdim=True)

    def unit_jacobian(z: Tensor) -> Tensor:
        u, eye = unit(z), torch.eye(z.shape[-1], dtype=z.dtype)
        return (eye - u[..., :, None] * u[..., None, :]) / z.norm(dim=-1)[..., None, None]

    f = Activation(r"\operatorname{unit}", unit, unit_jacobian, jacobian=True)
    rand = random(1)
    layers = [Layer(rand(4, 3), rand(4), f), Layer(rand(2, 4), rand(2), f)]
    for rows in ((), (6,)):
        trace, report = (call(layers, rand(*rows, 3), rand(*rows, 2), "huber_loss") for call in (backprop, check))
        assert report.passed
        assert "unit_jacobian(z2)" in str(trace)
    wrong = Activation(f.symbol, unit, lambda z: unit_jacobian(z) * 1.001, jacobian=True)
    assert not check([layers[0], Layer(rand(2, 4), rand(2), wrong)], rand(3), rand(2)).passed


def test_a_loss_of_ones_own() -> None:
    loss = Loss(r"\sum (y - t)^4", r"4 (y - t)^3", lambda y, t: ((y - t) ** 4).sum(), lambda y, t: 4 * (y - t) ** 3)
    rand = random(2)
    layers = [Layer(rand(2, 3), rand(2), "mish")]
    assert check(layers, rand(3), rand(2), loss).passed
    assert "L = loss(y, t)" in str(backprop(layers, rand(3), rand(2), loss))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_slope_is_the_derivative(name: str) -> None:
    f = ACTIVATIONS[name]
    z = torch.linspace(-3, 3, 20, dtype=F64, requires_grad=True)  # 20 points miss 0, where ReLU has a corner
    assert torch.autograd.gradcheck(f.value, z)
    auto = torch.autograd.functional.jacobian(f.value, z.detach())
    slope = f.slope(z.detach())
    torch.testing.assert_close(slope if f.jacobian else torch.diag(slope), auto, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", ["half_sse", "mse_loss", "bce"])
def test_a_batch_adds_up_its_samples(loss: str) -> None:
    x, t = torch.stack([X, X / 2, -X]), vector(0.1, 0.5, 0.9)[:, None]
    batch = backprop(FRIENDLY, x, t, loss).gradients()
    single = [backprop(FRIENDLY, xs, ts, loss).gradients() for xs, ts in zip(x, t, strict=True)]
    scale = 1 if loss == "half_sse" else 1 / 3  # the others take the mean
    for name, value in batch.items():
        torch.testing.assert_close(value, scale * sum(s[name] for s in single))


def test_bce_survives_what_a_logarithm_would_not() -> None:
    layer = Layer(torch.tensor([[1000.0]], dtype=F64), vector(0))
    trace = backprop([layer], vector(1), vector(0), "bce")
    assert trace["L"].item() == 1000
    assert trace["delta_k"].item() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_inputs_are_not_touched(dtype: torch.dtype) -> None:
    linear = nn.Linear(3, 2, dtype=dtype)
    before = linear.weight.detach().clone()
    x = torch.ones(3, dtype=dtype, requires_grad=True)
    trace = backprop([Layer(linear.weight, linear.bias)], x, torch.zeros(2, dtype=dtype))
    assert {step.value.dtype for step in trace} == {dtype}
    assert not any(step.value.requires_grad for step in trace)
    assert torch.equal(linear.weight, before)
    assert x.grad is None
    with pytest.raises(FrozenInstanceError):
        trace.steps = ()  # type: ignore[misc]


def test_check_works_in_float32() -> None:
    layers = [Layer(layer.W.float(), layer.b.float()) for layer in FRIENDLY]
    for loss in ("half_sse", "l1_loss", "huber_loss", "bce"):
        assert check(layers, X.float(), T.float(), loss).passed


def test_check_rejects_a_wrong_derivative() -> None:
    sigmoid = ACTIVATIONS["sigmoid"]
    wrong = Activation(r"\sigma", sigmoid.value, sigmoid.value)  # the activation in place of its derivative
    report = check([Layer(layer.W, layer.b, wrong) for layer in FRIENDLY], X, T)
    assert not report.passed
    assert all((auto, diff) == (False, False) for _, auto, diff in report.rows)


def test_check_sees_a_tenth_of_a_percent() -> None:
    sigmoid = ACTIVATIONS["sigmoid"]
    wrong = Activation(r"\sigma", sigmoid.value, lambda z: 1.001 * sigmoid.slope(z))
    for found in check([Layer(layer.W, layer.b, wrong) for layer in FRIENDLY], X, T).rows:
        assert found[1:] == (False, False)
    for row in (("dW1", True, False), ("dW1", False, True)):
        assert not Report((("db1", True, True), row)).passed


def test_check_takes_the_step_that_it_is_given() -> None:
    assert check(FRIENDLY, X, T, step=1e-4).passed
    too_far = check(FRIENDLY, X, T, step=2.0)
    assert all((auto, diff) == (True, False) for _, auto, diff in too_far.rows)


def test_check_works_without_and_with_a_graph_around_it() -> None:
    with torch.no_grad():
        assert check(FRIENDLY, X, T).passed
    x, t = X.clone().requires_grad_(), T.clone().requires_grad_()
    assert check(FRIENDLY, x, t).passed
    assert x.grad is None
    assert not backprop(FRIENDLY, x, t)["L"].requires_grad


def test_layers_are_cut_off_their_graph() -> None:
    linear = nn.Linear(3, 2)
    layer = Layer(linear.weight, linear.bias)
    assert not layer.W.requires_grad
    assert not layer.b.requires_grad
    assert layer.b.data_ptr() == linear.bias.data_ptr()


def test_an_empty_batch() -> None:
    for t in (torch.zeros(0, dtype=torch.int64), ONE(0, 3)):
        trace = backprop(SOFTMAX, ONE(0, 3), t, "ce")
        assert trace["y"].shape == (0, 3)
        assert torch.equal(trace["dW1"], torch.zeros(3, 3))


def test_names_and_shapes_of_two_layers_and_of_three() -> None:
    assert [(s.symbol, s.shape) for s in backprop(FRIENDLY, X, T)] == [
        *[("z1", (2,)), ("h", (2,)), ("z2", (1,)), ("y", (1,)), ("L", ())],
        *[("delta_k", (1,)), ("dW2", (1, 2)), ("db2", (1,)), ("delta_h", (2,)), ("dW1", (2, 3)), ("db1", (2,))],
    ]
    three = [*FRIENDLY, Layer(torch.ones(1, 1, dtype=F64), vector(0))]
    symbols = [s.symbol for s in backprop(three, X, T)]
    assert symbols[:7] == ["z1", "h1", "z2", "h2", "z3", "y", "L"]
    assert [s for s in symbols if "delta" in s] == ["delta_k", "delta_h2", "delta_h1"]
    assert list(backprop(three, X, T).gradients()) == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_the_table_is_readable() -> None:
    text = str(backprop(FRIENDLY, X, T))
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "z1"
    assert "dW1      δₕ xᵀ              (2, 3)  [[0.000790701, 0.0015814, 0.0023721]," in lines
    assert all(len(line) <= 88 for line in lines)
    assert str(Step("L", "L", torch.tensor(-0.0))).endswith(" 0")
    assert str(Step("h", "h", torch.tensor([-0.0, -1.0]))).endswith(" [0, -1]")
    row = str(backprop(FRIENDLY, X[None], T[None]))
    assert "x W₁ᵀ + b₁" in row
    assert "Σₛ δₖ" in row


def test_the_table_shows_the_code_below_each_step() -> None:
    trace = backprop(FRIENDLY, X, T)
    lines = str(trace).splitlines()
    at = lines.index(next(line for line in lines if line.startswith("delta_h")))
    assert lines[at + 1].strip() == "delta_h = (W2.T @ delta_k) * sigmoid_derivative(z1)"
    assert not any(" = " in line for line in trace.table(code=False).splitlines())
    notebook = trace._repr_markdown_().splitlines()
    assert notebook[0] == "| symbol | formula | shape | number | code |"
    assert len(notebook) == 2 + len(trace.steps)
    assert all(line.count("|") == 6 for line in notebook)
    assert notebook[6].startswith(r"| $L$ | $\tfrac{1}{2} \Vert y - t\Vert ^2$ | () | 0.000328284 | `L = ")


def test_formulas_in_tex_and_in_plain_text() -> None:
    assert plain(r"\tfrac{2}{N} (y - t) \odot \operatorname{ReLU}'(z_{12})") == "2/N (y - t) ⊙ ReLU′(z₁₂)"
    assert [tex(s) for s in ("h", "z1", "delta_k", "delta_h2", "db1")] == [
        *["h", "z_1", r"\delta_k", r"\delta_{h2}", r"\partial L / \partial b_1"],
    ]


SOFTMAX = [Layer(ONE(3, 3), ONE(3), "softmax")]
SENTENCES = {
    "W1 is 2×2 but x has 3 entries: W1 must be 2×3": lambda: backprop([Layer(ONE(2, 2), ONE(2))], ONE(3), ONE(2)),
    "W2 is 1×3 but h has 2 entries: W2 must be 1×2": lambda: backprop(
        [Layer(ONE(2, 3), ONE(2)), Layer(ONE(1, 3), ONE(1))], ONE(3), ONE(1)
    ),
    "W has shape (3,), but a layer needs a matrix": lambda: Layer(ONE(3), ONE(3)),
    "W is 2×3 but b has shape (3,): give b one entry per row": lambda: Layer(ONE(2, 3), ONE(3)),
    "unknown activation 'softmin': use 'sigmoid', 'tanh', 'relu'": lambda: Layer(ONE(2, 3), ONE(2), "softmin"),
    "unknown loss 'mae': use 'half_sse', 'bce', 'ce', 'mse_loss'": lambda: backprop(FRIENDLY, X, T, "mae"),
    "t has shape (2,) but y has shape (1,)": lambda: backprop(FRIENDLY, X, ONE(2, dtype=F64)),
    "t has shape (1,) but y has shape (4, 1)": lambda: backprop(FRIENDLY, ONE(4, 3, dtype=F64), T),
    "all tensors need one floating dtype, but came x float32": lambda: backprop(FRIENDLY, X.float(), T),
    "but came x int64, t int64, W1 int64": lambda: backprop(
        [Layer(ONE(1, 1, dtype=torch.int64), ONE(1, dtype=torch.int64))],
        ONE(1, dtype=torch.int64),
        ONE(1, dtype=torch.int64),
    ),
    "t has shape (2,) but y has shape (2, 3): give one target per output": lambda: backprop(
        SOFTMAX, ONE(2, 3), ONE(2), "ce"
    ),
    "t has shape (3,) but y has shape (2, 3): give one class per sample": lambda: backprop(
        SOFTMAX, ONE(2, 3), torch.zeros(3, dtype=torch.int64), "ce"
    ),
    "t holds classes from 0 to 3 but y has 3 entries: count from 0": lambda: backprop(
        SOFTMAX, ONE(2, 3), torch.tensor([0, 3]), "ce"
    ),
    "t holds classes from -1 to 2 but y has 3 entries: count from 0": lambda: backprop(
        SOFTMAX, ONE(2, 3), torch.tensor([2, -1]), "ce"
    ),
    "this loss needs a softmax output but the last layer is Layer(3 inputs -> 3 neurons, sigmoid)": lambda: backprop(
        [Layer(ONE(3, 3), ONE(3))], ONE(3), ONE(3), "ce"
    ),
    "x has shape 1×1×3: give one sample as a vector": lambda: backprop(FRIENDLY, X[None, None], T),
    "the list of layers is empty": lambda: backprop([], X, T),
    "needs a sigmoid output but the last layer is Layer(3 inputs -> 1 neurons, relu)": lambda: backprop(
        [Layer(ONE(1, 3), ONE(1), "relu")], ONE(3), ONE(1), "bce"
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_errors_are_one_sentence(sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        SENTENCES[sentence]()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("loss", ["nll_loss", "multi_margin_loss"])
def test_some_losses_take_only_an_index(loss: str) -> None:
    layers = [Layer(ONE(3, 3), ONE(3), "identity")]
    with pytest.raises(RuntimeError, match=r"target has dtype torch.float32.*use target.long\(\)"):
        backprop(layers, ONE(3), ONE(3), loss)


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(KeyError, match="no step 'dW3': the steps are z1, h, z2"):
        backprop(FRIENDLY, X, T)["dW3"]


# the picture ----------------------------------------------------------------------------------------------------------


def test_the_picture_shows_every_value_delta_and_weight() -> None:
    plt.switch_backend("agg")
    figure = draw_network(FRIENDLY, X, T)
    ax = figure.axes[0]
    texts = [text.get_text() for text in ax.texts]
    trace = backprop(FRIENDLY, X, T)
    values = [*X.tolist(), *trace["h"].tolist(), *trace["y"].tolist()]
    assert all(f"{v:.3g}" in texts for v in values)
    assert all(rf"$\delta$ = {d:.3g}" in texts for d in [*trace["delta_h"].tolist(), *trace["delta_k"].tolist()])
    assert all(f"{w:.3g}" in texts for layer in FRIENDLY for w in layer.W.flatten().tolist())
    assert len(ax.patches) == 6
    assert len(ax.lines) == 8
    plt.close(figure)


def test_the_picture_refuses_a_batch() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\), but the picture shows one sample"):
        draw_network(FRIENDLY, X[None], T[None])
