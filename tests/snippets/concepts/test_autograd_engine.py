"""Proofs of the formulas of concepts/autograd-engine, and its exercises."""

import math
import random
import re
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from dlguide.engine import Value
from tests.pages.project import page_path

PAGE = "concepts/autograd-engine"


def double(number) -> Tensor:
    return torch.as_tensor(number, dtype=torch.float64)


def leaf(number) -> Tensor:
    return double(number).requires_grad_()


def slopes(function, *numbers) -> list[Tensor]:
    """The derivatives of a function of numbers, by torch; the engine must give the same."""
    leaves, values = [leaf(n) for n in numbers], [Value(n) for n in numbers]
    function(*leaves).backward()
    function(*values).backward()
    assert [v.grad for v in values] == pytest.approx([x.grad.item() for x in leaves], rel=1e-12)
    return [x.grad for x in leaves if x.grad is not None]


@pytest.mark.proves("rule-arithmetic")
def test_arithmetic(formula):
    operations = {"(a + b)": lambda a, b: a + b, "(a - b)": lambda a, b: a - b, "(a b)": lambda a, b: a * b,
                  "(a / b)": lambda a, b: a / b}
    for a, b in product((-2.5, 0.0, 0.7, 3.0), (-1.5, 0.3, 4.0)):
        given: dict[str, Tensor | float] = {"a": double(a), "b": double(b)}
        for text, operation in operations.items():
            for name, slope in zip("ab", slopes(operation, a, b), strict=True):
                given[rf"\frac{{\partial {text}}}{{\partial {name}}}"] = slope
        given[r"\frac{\partial (-a)}{\partial a}"] = slopes(lambda a: -a, a)[0]
        assert given.pop(r"\frac{\partial (a - b)}{\partial a}") == 1
        formula("rule-arithmetic").holds(given)


@pytest.mark.proves("rule-power")
def test_power(formula):
    for a, b in product((0.3, 1.0, 2.5), (-2.0, 0.0, 0.5, 3.0)):
        to_a, to_b = slopes(lambda a, b: a**b, a, b)
        formula("rule-power").holds({r"\frac{\partial a^b}{\partial a}": to_a, r"\frac{\partial a^b}{\partial b}": to_b,
                                     "a": double(a), "b": double(b)})


@pytest.mark.proves("rule-functions")
def test_functions_of_one_value(formula):
    functions = {"e^a": lambda x: x.exp(), r"\ln a": lambda x: x.log(), r"\tanh a": lambda x: x.tanh(),
                 r"\sigma(a)": lambda x: x.sigmoid(), r"\operatorname{relu}(a)": lambda x: x.relu()}
    for a in (-1.5, 0.0, 0.2, 3.5):
        given = {rf"\frac{{d {text}}}{{d a}}": slopes(function, a)[0] for text, function in functions.items()}
        formula("rule-functions").holds({**given, "a": double(a), r"\sigma": torch.sigmoid})


@pytest.mark.proves("sigmoid-forms")
def test_two_forms_of_the_sigmoid(formula):
    for a in (-30.0, -1.0, 0.0, 2.5, 30.0):
        formula("sigmoid-forms").holds({r"\sigma": torch.sigmoid, "a": double(a)})
    assert Value(-1000.0).sigmoid().data == 0.0
    assert Value(1000.0).sigmoid().data == 1.0


@pytest.mark.proves("sum-over-uses")
def test_sum_over_uses(formula):
    p = leaf(0.7)
    children = [p * p, p.exp(), 3 / p, p.tanh()]
    local = [torch.autograd.grad(v, p, retain_graph=True)[0] for v in children]
    for v in children:
        v.retain_grad()
    (children[0] * children[1] + children[2].sin() * children[3] ** 2).backward()
    arrived = torch.stack([v.grad for v in children if v.grad is not None])
    formula("sum-over-uses").holds({r"\bar p": p.grad, r"\bar v": arrived, "d": torch.stack(local), "n": 4})


@pytest.mark.proves("worked")
def test_worked_example(formula):
    w, x, b = leaf(2.0), leaf(3.0), leaf(-4.0)
    p = w * x
    s = p + b
    q = s * s
    result = q + w
    for t in (p, s, q, result):
        t.retain_grad()
    result.backward()
    formula("worked").holds({r"\bar s": s.grad, r"\bar q": q.grad, "s": s, r"\bar w": w.grad, r"\bar p": p.grad, "x": x,
                             r"\bar L": result.grad})


@pytest.mark.proves("doubling")
def test_doubling(formula):
    for n in (0, 1, 6, 10):
        start = y = leaf(1.3)
        for _ in range(n):
            y = y + y
        y.backward()
        formula("doubling").holds({r"\frac{d y_n}{d y_0}": start.grad, "n": n})


@pytest.mark.proves("neuron")
def test_neuron(formula, page):
    layer = nn.Linear(2, 1).double()
    for x in ([0.3, -1.2], [0.0, 0.0]):
        h = torch.tanh(layer(double(x)))[0]
        formula("neuron").holds({"h": h, "w": layer.weight[0], "x": double(x), "b": layer.bias[0]})
        neuron = page(PAGE)["Neuron"](2)
        neuron.w, neuron.b = [Value(n) for n in layer.weight[0].tolist()], Value(layer.bias.item())
        assert neuron(x).tanh().data == pytest.approx(h.item(), rel=1e-12)


@pytest.mark.proves("xor-step")
def test_step_of_the_training(formula):
    t = double([0.0, 1.0, 1.0, 0.0])
    theta = leaf([0.3, -0.2, 0.8, 0.1])
    y = torch.sigmoid(theta)
    loss = nn.functional.mse_loss(y, t)
    loss.backward()
    before, gradient = theta.detach().clone(), theta.grad.clone()
    torch.optim.SGD([theta], lr=2.0).step()
    formula("xor-step").holds({"L": loss, "y": y, "t": t, r"\theta_{1}": theta, r"\theta_{0}": before, r"\eta": 2.0,
                               r"\bar \theta": gradient})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_and_the_picture_hold_the_numbers_of_the_example(page, lang):
    names, arrived = page(PAGE)["names"], page(PAGE)["added"]
    text = page_path(PAGE, lang).read_text("utf-8").replace("−", "-")
    rows = [line.split(" | ") for line in text.splitlines() if line[:3] == "| $"]
    _, x, b, p, s, _, result = names.values()
    slope, share = arrived[id(s)], p.rule(arrived[id(p)])[0]  # of s; from p to w
    expected = [[s.data], [result.data], [slope], [p.data, b.data], [slope], [x.data], [share]]
    assert [sorted(map(float, re.findall(r"-?\d+", row[3]))) for row in rows] == [sorted(row) for row in expected]
    (alt,) = re.findall(r"!\[(.*)\]\(figure:picture\)", text)
    values = dict(re.findall(r"\b([wxbpsqL]) = (-?\d+)", alt))
    slopes = dict(re.findall(r"([wxbpsqL]) (?:为 )?(-?\d+)", alt))
    assert values == {name: f"{node.data:g}" for name, node in names.items()}
    assert slopes == {name: f"{arrived[id(node)]:g}" for name, node in names.items()}


def test_the_wrong_walks_are_wrong(page):
    names = page(PAGE)
    assert names["added"][id(names["names"]["w"])] == 13
    assert names["assigned"][id(names["names"]["w"])] == 6
    assert names["gap"] < 1e-10
    assert [round(names["predict"](x).data) for x, _ in names["table"]] == [0, 1, 1, 0]


def right_sin(sin) -> bool:
    for number in (-2.0, 0.0, 0.4, 7.0):
        x, t = Value(number), leaf(number)
        y, z = sin(3 * x) * x, torch.sin(3 * t) * t
        y.backward()
        z.backward()
        if abs(y.data - z.item()) > 1e-12 or abs(x.grad - t.grad.item()) > 1e-12:
            return False
    return True


def test_exercise_sin(page):
    assert right_sin(page(PAGE)["sin"])
    assert not right_sin(page(PAGE)["wrong_sin"])
    assert not right_sin(lambda x: Value(math.sin(x.data), "sin", (x,), lambda g: (math.cos(x.data),)))
    assert not right_sin(lambda x: Value(math.sin(x.data)))


def right_maximum(maximum) -> bool:
    for numbers in ((1.0, 2.0), (3.0, -2.0), (2.0, 2.0), (0.0, -0.0)):
        ours, theirs = [Value(n) for n in numbers], [leaf(n) for n in numbers]
        result, expected = maximum(*ours) * 5, torch.maximum(*theirs) * 5
        result.backward()
        expected.backward()
        if result.data != expected.item() or [v.grad for v in ours] != [t.grad.item() for t in theirs]:
            return False
    return True


def test_exercise_maximum(page):
    assert right_maximum(page(PAGE)["maximum"])

    def one_of_them(a, b):
        return (a if a >= b else b) * 1

    def both(a, b):
        return Value(max(a.data, b.data), "max", (a, b), lambda g: (g * (a >= b), g * (b >= a)))

    assert not right_maximum(one_of_them)
    assert not right_maximum(both)


def finds_errors(largest_error) -> bool:
    def wrong_square(x):
        return Value(x.data**2, "square", (x,), lambda g: (g * x.data,))

    generator = random.Random(0)
    for _ in range(3):
        numbers = [generator.uniform(0.5, 2), generator.uniform(0.5, 2)]
        if largest_error(lambda a, b: (a * b).tanh() + b**a, numbers) > 1e-7:
            return False
        if largest_error(lambda a, b: a + wrong_square(b), numbers) < 0.1:  # the second input, too
            return False
    return True


def test_exercise_check(page):
    check = page(PAGE)["largest_error"]
    assert finds_errors(check)
    assert not finds_errors(lambda function, numbers: 0.0)

    def first_only(function, numbers):
        return check(lambda a: function(a, *(Value(n) for n in numbers[1:])), numbers[:1])

    assert not finds_errors(first_only)
