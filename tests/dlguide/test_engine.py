"""dlguide.engine against torch in float64: operations, shared values, accumulation, depth, extremes, no imports."""

import gc
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlguide.engine import Value, as_value, topological_order
from tests.pages.paths import ROOT

BINARY = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
}
UNARY = {
    "neg": lambda a: -a, "exp": lambda a: a.exp(), "log": lambda a: a.log(), "tanh": lambda a: a.tanh(),
    "sigmoid": lambda a: a.sigmoid(), "relu": lambda a: a.relu(), "a+2": lambda a: a + 2, "2+a": lambda a: 2 + a,
    "a-2": lambda a: a - 2, "2-a": lambda a: 2 - a, "a*2": lambda a: a * 2, "2*a": lambda a: 2 * a,
    "a/2": lambda a: a / 2, "2/a": lambda a: 2 / a, "a**2": lambda a: a**2, "a**3": lambda a: a**3,
    "a**-1": lambda a: a**-1, "a**.5": lambda a: a**0.5, "a**0": lambda a: a**0, "2**a": lambda a: 2**a,
    "a+a": lambda a: a + a, "a*a": lambda a: a * a, "a/a": lambda a: a / a, "a-a": lambda a: a - a,
}
EXTREMES = [0.0, -0.0, 0.3, -0.3, 1.0, -1.0, 2.0, -2.0, 3.0, 37.5, -37.5, 1000.0, -1000.0, 1e200, -1e200, 1e-200,
            math.inf, -math.inf, math.nan]


def leaf(number):
    return torch.tensor(number, dtype=torch.float64, requires_grad=True)


def near(ours, theirs, rtol=1e-10, atol=0.0):
    """Equal, both NaN, the same infinity, or close."""
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    if math.isinf(ours) or math.isinf(theirs):
        return ours == theirs
    return abs(ours - theirs) <= atol + rtol * abs(theirs)


def compare(function, numbers):
    """The value and the gradients of one operation, ours beside torch's."""
    ours, theirs = [Value(n) for n in numbers], [leaf(n) for n in numbers]
    v, t = function(*ours), function(*theirs)
    v.backward()
    t.backward()
    pairs = [(v.data, t.item()), *((o.grad, p.grad.item()) for o, p in zip(ours, theirs, strict=True))]
    return [pair for pair in pairs if not near(*pair, rtol=1e-12, atol=1e-300)]


@pytest.mark.parametrize("name", UNARY)
def test_function_of_one_value(name):
    for number in EXTREMES:
        if name == "a**.5" and str(number) in ("-0.0", "-inf"):
            continue  # for the plain number 0.5 torch takes a root, which differs here from a power; ours is a power
        wrong = compare(UNARY[name], [number])
        assert not wrong, f"{name} at {number}: value or gradient (ours, torch) {wrong}"


@pytest.mark.parametrize("name", BINARY)
def test_function_of_two_values(name):
    for a in EXTREMES:
        for b in EXTREMES:
            wrong = compare(BINARY[name], [a, b])
            assert not wrong, f"{a} {name} {b}: value or gradients (ours, torch) {wrong}"


STEPS = st.lists(st.tuples(st.sampled_from([*BINARY, *UNARY]), st.integers(0, 99), st.integers(0, 99)),
                 min_size=1, max_size=14)
START = st.lists(st.floats(-2, 2).filter(lambda x: abs(x) > 1e-2), min_size=1, max_size=4)


def build(steps, leaves):
    """All values of a random graph; each step takes any earlier values, so they are shared."""
    values = list(leaves)
    for name, i, j in steps:
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        values.append(BINARY[name](a, b) if name in BINARY else UNARY[name](a))
    return values


@settings(deadline=None, max_examples=120, derandomize=True)
@given(START, STEPS)
def test_random_graph(numbers, steps):
    ours = build(steps, [Value(n) for n in numbers])
    theirs = build(steps, [leaf(n) for n in numbers])
    for t in theirs:
        t.retain_grad()
    ours[-1].backward()
    theirs[-1].backward()
    grads = [0.0 if t.grad is None else t.grad.item() for t in theirs]  # None: not below the result
    numbers = [*grads, *(t.item() for t in theirs)]
    assume(all(abs(n) < 1e6 for n in numbers))  # else rounding grows too large to compare, or to NaN by another way
    for v, t, grad in zip(ours, theirs, grads, strict=True):
        assert near(v.data, t.item(), atol=1e-10)
        assert near(v.grad, grad, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(START, STEPS)
def test_order(numbers, steps):
    """Every value once, parents before what was made of them, nothing else."""
    root = build(steps, [Value(n) for n in numbers])[-1]
    order = topological_order(root)
    place = {id(node): i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert order[-1] is root
    assert all(place[id(parent)] < place[id(node)] for node in order for parent in node.parents)
    used = {id(parent) for node in order for parent in node.parents}
    assert all(id(node) in used for node in order[:-1])


def test_gradients_add_up_over_calls():
    """Leaves as in PyTorch, values on the way as in PyTorch after retain_grad()."""
    def both(make):
        x = make(2.0)
        h = x * 3
        if isinstance(h, torch.Tensor):
            h.retain_grad()
        y, z = h * h + x, h.exp()
        seen = []
        for root, gradient in ((y, 1.0), (y, 1.0), (z, 0.5), (y, -2.0)):
            if isinstance(root, Value):
                root.backward(gradient)
            else:
                root.backward(torch.tensor(gradient, dtype=torch.float64), retain_graph=True)
            seen += [float(x.grad), float(h.grad)]
        return seen

    assert both(Value) == pytest.approx(both(leaf), rel=1e-12)


def test_backward_of_a_leaf():
    x = Value(5)
    x.backward()
    x.backward(3)
    assert x.grad == 4.0


def test_a_value_used_twice():
    x = Value(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0
    y = x = Value(1.0)
    for _ in range(60):  # 2**60 paths, 60 values
        y = y + y
    y.backward()
    assert x.grad == 2.0**60
    assert len(topological_order(y)) == 61


def test_long_chain():
    limit = sys.getrecursionlimit()
    x = Value(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.00001 + 0.0
    y.backward()
    assert x.grad == pytest.approx(1.00001**100_000, rel=1e-9)
    assert sys.getrecursionlimit() == limit
    del y  # a long chain must also be let go without an overflow
    gc.collect()


def test_sigmoid_and_its_slope_far_out():
    for a, value in ((1000.0, 1.0), (-1000.0, 0.0)):
        x = Value(a)
        y = x.sigmoid()
        y.backward()
        assert (y.data, x.grad) == (value, 0.0)


def test_relu_at_zero():
    for a in (0.0, -0.0):
        x = Value(a)
        (x.relu() * math.inf).backward()  # an infinite gradient is cut off, not multiplied by 0
        assert x.grad == 0.0


def test_change_after_the_forward_pass():
    """A rule keeps the numbers that it needs: the gradient belongs to the pass that was run."""
    a, b = Value(2.0), Value(5.0)
    for operation in (BINARY["*"], BINARY["/"], BINARY["**"]):
        a.data, b.data, a.grad, b.grad = 2.0, 5.0, 0.0, 0.0
        y = operation(a, b)
        a.data, b.data = 70.0, -80.0
        y.backward()
        assert compare(operation, [2.0, 5.0]) == []
        p, q = leaf(2.0), leaf(5.0)
        operation(p, q).backward()
        assert (a.grad, b.grad) == pytest.approx((p.grad.item(), q.grad.item()), rel=1e-12)


def test_comparisons():
    one, two = Value(1), Value(2.0)
    assert one < two
    assert one <= 1
    assert two > 1
    assert two >= Value(2)
    assert one == 1.0
    assert one == Value(1)
    assert one != two
    assert one != "1"
    assert Value(math.nan) != Value(math.nan)
    assert not Value(math.nan) >= 0
    assert len({one, Value(1)}) == 2
    assert Value(3)
    assert Value(-3)
    assert Value(math.nan)
    assert not Value(0)
    assert float(two) == 2.0
    assert as_value(one) is one


def test_representation():
    x = Value(3)
    y = x * x
    y.backward()
    assert repr(x) == "Value(data=3, grad=6)"
    assert (y.op, y.parents, x.op, x.parents) == ("*", (x, x), "", ())


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Value("3"), "not str"), (lambda: Value(1) + "a", "not str"), (lambda: Value(1j), "not complex"),
    (lambda: [] * Value(1), "not list"), (lambda: Value(Value(1)), "not Value"),
    (lambda: 2j ** Value(1), "not complex"),
])
def test_bad_input(make, said):
    with pytest.raises(TypeError, match=f"one int or float, {said}: convert it by float"):
        make()


def test_training_step_by_step():
    """Twenty steps of gradient descent on a small network: the same weights as torch."""
    def train(make):
        w = [make(n) for n in (0.5, -0.4, 0.3, 0.2, -0.1, 0.7)]
        for _ in range(20):
            loss = make(0.0)
            for x, t in ((0.5, 1.0), (-1.0, 0.0), (2.0, 0.3)):
                h, k = (w[0] * x + w[1]).tanh(), (w[2] * x + w[3]).relu()
                loss = loss + (((w[4] * h + w[5] * k).sigmoid() - t) ** 2) / 3
            loss.backward()
            for p in w:
                p.data = p.data - 0.5 * p.grad
                p.grad = 0.0 if isinstance(p, Value) else None
        return [p.data if isinstance(p, Value) else p.item() for p in w]

    assert train(Value) == pytest.approx(train(leaf), rel=1e-12)


def test_standard_library_only():
    """In a fresh interpreter without site-packages, where importing anything else would fail."""
    code = ("import sys; sys.path.insert(0, 'src'); from dlguide.engine import Value; x = Value(2.0);"
            "(x * x).exp().backward(); print(round(x.grad, 4),"
            "*sorted({name.partition('.')[0] for name in sys.modules} - {*sys.stdlib_module_names} - {'__main__'}))")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=ROOT,
                          check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["218.3926", "dlguide"]
