"""dlguide.backprop against autograd, finite differences and figures worked out beforehand."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlguide.backprop import Layer, backprop, check
from dlguide.functions import ACTIVATIONS, LOSSES, Activation
from dlguide.trace import Step, plain, tex

F64 = torch.float64
MODULES = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "identity": nn.Identity}
TORCH_LOSSES = {
    "half_sse": lambda y, t: nn.functional.mse_loss(y, t, reduction="sum") / 2,
    "mse": nn.functional.mse_loss,
    "bce": nn.functional.binary_cross_entropy,
}


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


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Layer], Tensor, Tensor, str, list[str]]:
    loss = draw(st.sampled_from(sorted(LOSSES)))
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    names = [draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in widths[1:]]
    if LOSSES[loss].cancels:
        names[-1] = LOSSES[loss].cancels
    batch = draw(st.one_of(st.just(()), st.tuples(st.integers(1, 4))))
    gen = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=F64, generator=gen)

    sizes = zip(widths, widths[1:], names, strict=False)
    layers = [Layer(random(m, n), random(m), name) for n, m, name in sizes]
    x, t = random(*batch, widths[0]), torch.rand(*batch, widths[-1], dtype=F64, generator=gen)
    return layers, x, t, loss, names


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_equals_nn_sequential_and_autograd(problem: tuple[list[Layer], Tensor, Tensor, str, list[str]]) -> None:
    layers, x, t, loss, names = problem
    model = nn.Sequential()
    for layer, name in zip(layers, names, strict=True):
        linear = nn.Linear(layer.W.shape[1], layer.W.shape[0], dtype=F64)
        linear.load_state_dict({"weight": layer.W, "bias": layer.b})
        model.extend([linear, MODULES[name]()])
    y = model(x)
    L = TORCH_LOSSES[loss](y, t)
    L.backward()

    trace = backprop(layers, x, t, loss)
    torch.testing.assert_close(trace["y"], y.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(trace["L"], L.detach(), rtol=1e-9, atol=1e-12)
    linears = [module for module in model if isinstance(module, nn.Linear)]
    for i, linear in enumerate(linears, 1):
        assert linear.weight.grad is not None
        assert linear.bias.grad is not None
        torch.testing.assert_close(trace[f"dW{i}"], linear.weight.grad, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(trace[f"db{i}"], linear.bias.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_slope_is_the_derivative(name: str) -> None:
    f = ACTIVATIONS[name]
    z = torch.linspace(-3, 3, 20, dtype=F64, requires_grad=True)  # 20 points miss 0, where ReLU has a corner
    assert torch.autograd.gradcheck(f.value, z)
    (auto,) = torch.autograd.grad(f.value(z).sum(), z)
    torch.testing.assert_close(f.slope(z.detach()), auto)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_adds_up_its_samples(loss: str) -> None:
    x, t = torch.stack([X, X / 2, -X]), vector(0.1, 0.5, 0.9)[:, None]
    batch = backprop(FRIENDLY, x, t, loss).gradients()
    single = [backprop(FRIENDLY, xs, ts, loss).gradients() for xs, ts in zip(x, t, strict=True)]
    scale = 1 if loss == "half_sse" else 1 / 3  # the other two take the mean
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


def test_check_works_in_float32_and_for_every_loss() -> None:
    layers = [Layer(layer.W.float(), layer.b.float()) for layer in FRIENDLY]
    for loss in LOSSES:
        assert check(layers, X.float(), T.float(), loss).passed


def test_check_rejects_a_wrong_derivative() -> None:
    sigmoid = ACTIVATIONS["sigmoid"]
    wrong = Activation(r"\sigma", sigmoid.value, sigmoid.value)  # the activation in place of its derivative
    report = check([Layer(layer.W, layer.b, wrong) for layer in FRIENDLY], X, T)
    assert not report.passed
    assert all((auto, diff) == (False, False) for _, auto, diff in report.rows)


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
    row = str(backprop(FRIENDLY, X[None], T[None]))
    assert "x W₁ᵀ + b₁" in row
    assert "Σₛ δₖ" in row


def test_formulas_in_tex_and_in_plain_text() -> None:
    assert plain(r"\tfrac{2}{N} (y - t) \odot \operatorname{ReLU}'(z_{12})") == "2/N (y - t) ⊙ ReLU′(z₁₂)"
    assert [tex(s) for s in ("h", "z1", "delta_k", "delta_h2", "db1")] == [
        *["h", "z_1", r"\delta_k", r"\delta_{h2}", r"\partial L / \partial b_1"],
    ]


ONE = torch.ones
SENTENCES = {
    "W1 is 2×2 but x has 3 entries: W1 must be 2×3": lambda: backprop([Layer(ONE(2, 2), ONE(2))], ONE(3), ONE(2)),
    "W2 is 1×3 but h has 2 entries: W2 must be 1×2": lambda: backprop(
        [Layer(ONE(2, 3), ONE(2)), Layer(ONE(1, 3), ONE(1))], ONE(3), ONE(1)
    ),
    "W has shape (3,), but a layer needs a matrix": lambda: Layer(ONE(3), ONE(3)),
    "W is 2×3 but b has shape (3,): give b one entry per row": lambda: Layer(ONE(2, 3), ONE(3)),
    "unknown activation 'softmin': use 'sigmoid', 'tanh'": lambda: Layer(ONE(2, 3), ONE(2), "softmin"),
    "unknown loss 'mae': use 'half_sse', 'mse', 'bce'": lambda: backprop(FRIENDLY, X, T, "mae"),
    "t has shape (2,) but y has shape (1,)": lambda: backprop(FRIENDLY, X, ONE(2, dtype=F64)),
    "t has shape (1,) but y has shape (4, 1)": lambda: backprop(FRIENDLY, ONE(4, 3, dtype=F64), T),
    "all tensors need one floating dtype, but came x float32": lambda: backprop(FRIENDLY, X.float(), T),
    "but came x int64, t int64, W1 int64": lambda: backprop(
        [Layer(ONE(1, 1, dtype=torch.int64), ONE(1, dtype=torch.int64))],
        ONE(1, dtype=torch.int64),
        ONE(1, dtype=torch.int64),
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


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(KeyError, match="no step 'dW3': the steps are z1, h, z2"):
        backprop(FRIENDLY, X, T)["dW3"]
