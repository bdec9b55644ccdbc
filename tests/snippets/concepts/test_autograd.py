"""Proofs of the formulas of concepts/autograd, and its exercises."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function, gradcheck

PAGE = "concepts/autograd"
Map = Callable[[Tensor], Tensor]


@pytest.fixture
def gen() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.fixture
def smooth(gen: torch.Generator) -> tuple[Map, Tensor, Tensor]:
    """A map from [4] to [3], a point, and its Jacobian written by hand, [3, 4]."""
    weight = torch.randn(3, 4, generator=gen, dtype=torch.float64)
    x = torch.randn(4, generator=gen, dtype=torch.float64)
    return lambda x: torch.sin(weight @ x), x, torch.cos(weight @ x)[:, None] * weight


@pytest.mark.proves("chain-rule")
def test_chain_rule(formula):
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    a = 3 * x
    b = a + 1
    y = b**2

    def slope(of: Tensor, to: Tensor) -> Tensor:
        return torch.autograd.grad(of, to, retain_graph=True)[0]

    formula("chain-rule").holds({
        r"\frac{dy}{dx}": slope(y, x), r"\frac{dy}{db}": slope(y, b), r"\frac{db}{da}": slope(b, a),
        r"\frac{da}{dx}": slope(a, x), "b": b,
    })


@pytest.mark.proves("accumulation", tex=r"w.\mathrm{grad} \leftarrow w.\mathrm{grad} + \frac{\partial L}{\partial w}")
def test_accumulation(gen):
    w = torch.randn(3, generator=gen, dtype=torch.float64, requires_grad=True)
    total = torch.zeros(3, dtype=torch.float64)
    for power in (1, 2, 3):
        loss = (w**power).sum()
        total = total + torch.autograd.grad(loss, w, retain_graph=True)[0]
        loss.backward()
        assert torch.equal(w.grad, total)


@pytest.mark.proves("jacobian", tex=r"J_{ij} = \frac{\partial f_i}{\partial x_j}")
def test_jacobian(smooth):
    f, x, jacobian = smooth
    for by_torch in (torch.func.jacrev(f)(x), torch.autograd.functional.jacobian(f, x)):
        assert torch.allclose(by_torch, jacobian, rtol=1e-12)


@pytest.mark.proves(
    "vjp",
    tex=r"\left(v^\top J\right)_j = \sum_{i=1}^{m} v_i \frac{\partial f_i}{\partial x_j} = "
        r"\frac{\partial}{\partial x_j} \left( \sum_{i=1}^{m} v_i f_i(x) \right)")
def test_vjp(smooth, gen):
    f, x, jacobian = smooth
    v = torch.randn(3, generator=gen, dtype=torch.float64)
    expected = (v[:, None] * jacobian).sum(dim=0)
    leaf = x.clone().requires_grad_()
    f(leaf).backward(gradient=v)
    assert torch.allclose(leaf.grad, expected, rtol=1e-12)
    assert torch.allclose(torch.func.vjp(f, x)[1](v)[0], expected, rtol=1e-12)
    (of_the_sum,) = torch.autograd.grad((v * f(leaf)).sum(), leaf)
    assert torch.allclose(of_the_sum, expected, rtol=1e-12)


@pytest.mark.proves("jvp", tex=r"J u = \left. \frac{d}{dt} f(x + t u) \right|_{t=0}")
def test_jvp(smooth, gen):
    f, x, jacobian = smooth
    u = torch.randn(4, generator=gen, dtype=torch.float64)
    t = torch.zeros((), dtype=torch.float64)
    along = torch.autograd.functional.jacobian(lambda t: f(x + t * u), t)
    assert torch.allclose(along, jacobian @ u, rtol=1e-12)
    assert torch.allclose(torch.autograd.functional.jvp(f, x, u)[1], jacobian @ u, rtol=1e-12)


@pytest.mark.proves("hessian", tex=r"H_{ij} = \frac{\partial^2 g}{\partial x_i\, \partial x_j}")
def test_hessian(gen):
    matrix = torch.randn(4, 4, generator=gen, dtype=torch.float64)
    x = torch.randn(4, generator=gen, dtype=torch.float64)
    # g = x^T A x / 2 + sum x^3 has the second derivatives (A + A^T) / 2 + diag(6 x)
    expected = (matrix + matrix.T) / 2 + torch.diag(6 * x)
    by_torch = torch.autograd.functional.hessian(lambda x: x @ matrix @ x / 2 + (x**3).sum(), x)
    assert torch.allclose(by_torch, expected, rtol=1e-12)
    assert torch.allclose(by_torch, by_torch.T, rtol=1e-12)


@pytest.mark.proves("hvp", tex=r"H v = \nabla_x \bigl( \nabla_x f(x)^\top v \bigr)")
def test_hvp(gen, page):
    x, v = torch.randn(2, 4, generator=gen, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        return torch.exp(x).prod() + (x[0] * x[3]) ** 2

    full = torch.autograd.functional.hessian(f, x) @ v
    assert torch.allclose(page(PAGE)["hvp"](f, x, v), full, rtol=1e-12)


@pytest.mark.proves("swish")
def test_swish(page, formula):
    x = torch.linspace(-6, 6, 49, dtype=torch.float64, requires_grad=True)
    (by_torch,) = torch.autograd.grad(nn.functional.silu(x).sum(), x)
    formula("swish").holds({r"\frac{d}{dx} x \sigma(x)": by_torch, r"\sigma": torch.sigmoid, "x": x})
    assert gradcheck(page(PAGE)["Swish"].apply, (x,))


@pytest.mark.proves(
    "central-difference",
    tex=r"\frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + O(h^4)")
def test_central_difference():
    """The error of sin at 0.4 is h^2 / 6 times the third derivative, up to h^4."""
    for h in (1e-1, 1e-2, 1e-3):
        slope = (math.sin(0.4 + h) - math.sin(0.4 - h)) / (2 * h)
        rest = slope - math.cos(0.4) - h**2 / 6 * -math.cos(0.4)
        assert abs(rest) < h**4 / 120 + 1e-12


@pytest.mark.proves(
    "mean-of-sample-gradients",
    tex=r"\nabla_\theta \left( \frac{1}{n} \sum_{i=1}^{n} \ell_i(\theta) \right) = \frac{1}{n} \sum_{i=1}^{n} "
        r"\nabla_\theta\, \ell_i(\theta)")
def test_mean_of_sample_gradients(gen):
    model = nn.Linear(3, 2, dtype=torch.float64)
    x, y = torch.randn(5, 3, generator=gen, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    whole = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), model.weight)[0]
    each = [torch.autograd.grad(nn.functional.cross_entropy(model(x[i]), y[i]), model.weight)[0] for i in range(len(x))]
    assert torch.allclose(torch.stack(each).mean(dim=0), whole, rtol=1e-12)


def check_hvp(solution: Callable[[Map, Tensor, Tensor], Tensor]) -> None:
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    v = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        return x[0] ** 3 * x[1] + torch.sin(x[1] * x[2])

    assert torch.allclose(solution(f, x, v), torch.autograd.functional.hessian(f, x) @ v, rtol=1e-10)


def test_exercise_hvp(page):
    check_hvp(page(PAGE)["hvp"])


def only_the_diagonal(f: Map, x: Tensor, v: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(f, x).diagonal() * v


def gradient_times_v(f: Map, x: Tensor, v: Tensor) -> Tensor:
    return torch.func.grad(f)(x) * v


@pytest.mark.parametrize("wrong", [only_the_diagonal, gradient_times_v])
def test_exercise_hvp_rejects(wrong):
    with pytest.raises(AssertionError):
        check_hvp(wrong)


def check_safe_norm(solution: Map) -> None:
    x = torch.tensor([3e-9, -4e-9], dtype=torch.float64)
    slope = torch.func.grad(solution)
    assert torch.allclose(solution(x), torch.linalg.vector_norm(x), rtol=1e-12, atol=0)
    assert torch.allclose(slope(x), torch.tensor([0.6, -0.8], dtype=torch.float64))
    assert torch.equal(solution(torch.zeros(2)), torch.zeros(()))
    assert torch.equal(slope(torch.zeros(2)), torch.zeros(2))


def test_exercise_safe_norm(page):
    check_safe_norm(page(PAGE)["safe_norm"])


def plain_norm(x: Tensor) -> Tensor:
    return torch.sqrt((x * x).sum())


def one_where(x: Tensor) -> Tensor:
    square = (x * x).sum()
    return torch.where(square == 0, 0.0, torch.sqrt(square))


def small_number_added(x: Tensor) -> Tensor:
    return torch.sqrt((x * x).sum() + 1e-12)


@pytest.mark.parametrize("wrong", [plain_norm, one_where, small_number_added])
def test_exercise_safe_norm_rejects(wrong):
    with pytest.raises(AssertionError):
        check_safe_norm(wrong)


def check_straight_through(solution: Map) -> None:
    x = torch.tensor([-1.6, 0.2, 3.7], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([2.0, -1.0, 5.0], dtype=torch.float64)
    y = solution(x)
    assert torch.equal(y, torch.tensor([-2.0, 0.0, 4.0], dtype=torch.float64))
    assert torch.equal(torch.autograd.grad(y, x, weight)[0], weight)


def test_exercise_straight_through(page):
    cls = page(PAGE)["StraightThroughRound"]
    check_straight_through(cls.apply)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(cls.apply, (torch.tensor([0.2, 1.7], dtype=torch.float64, requires_grad=True),))


class AlwaysOne(Function):
    """A wrong answer: it forgets what arrives from above."""

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad_output):
        return torch.ones_like(grad_output)


@pytest.mark.parametrize("wrong", [torch.round, AlwaysOne.apply, lambda x: x * 1], ids=["round", "one", "identity"])
def test_exercise_straight_through_rejects(wrong):
    with pytest.raises(AssertionError):
        check_straight_through(wrong)
