"""Each formula of mathematics/recurrence against autograd in float64, and each exercise against wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

PAGE = "mathematics/recurrence"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]
T, INPUT, HIDDEN = 5, 3, 2


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@dataclass
class Unrolled:
    """A network of PyTorch cells, unrolled by hand, and what autograd says about a loss that every step feeds."""

    cell: nn.RNNCell
    x: Tensor  # [T, I]
    h: list[Tensor]  # h_0 to h_T
    a: list[Tensor]  # a_1 to a_T, behind a None
    e: Tensor  # [T, H]
    loss: Tensor

    def grad(self, of: Tensor) -> Tensor:
        return torch.autograd.grad(self.loss, of, retain_graph=True)[0]

    @property
    def deltas(self) -> Tensor:
        """[T + 1, H]; row 0 is of no step."""
        return torch.stack([torch.full((HIDDEN,), torch.nan).double(), *(self.grad(a) for a in self.a)])


def unrolled(seed: int = 0) -> Unrolled:
    torch.manual_seed(seed)
    cell = nn.RNNCell(INPUT, HIDDEN, dtype=torch.float64)
    x, e = random(T, INPUT, seed=seed).requires_grad_(), random(T, HIDDEN, seed=seed + 1)
    h, a = [random(HIDDEN, seed=seed + 2).requires_grad_()], []
    for x_t in x:
        a.append(torch.nn.functional.linear(x_t, cell.weight_ih, cell.bias_ih)
                 + torch.nn.functional.linear(h[-1], cell.weight_hh, cell.bias_hh))
        h.append(torch.tanh(a[-1]))
    torch.testing.assert_close(h[-1], nn.RNN.forward(whole(cell), x, h[0][None])[1][0])  # PyTorch's own run
    return Unrolled(cell, x, h, a, e, sum((e_t * h_t).sum() for e_t, h_t in zip(e, h[1:], strict=True)))


def whole(cell: nn.RNNCell) -> nn.RNN:
    layer = nn.RNN(INPUT, HIDDEN, dtype=torch.float64)
    values = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    layer.load_state_dict(dict(zip(layer.state_dict(), values, strict=True)))
    return layer


def partial(of: str, by: str = "L") -> str:
    return rf"\frac{{\partial {by}}}{{\partial {of}}}"


# formulas ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("step")
def test_step(formula: Formula) -> None:
    net = unrolled()
    w = net.cell
    for t in range(T):
        truth = w(net.x[t], net.h[t])
        formula("step").holds({"h_t": truth, "x_t": net.x[t], "h_{t-1}": net.h[t], "W_{ih}": w.weight_ih,
                               "W_{hh}": w.weight_hh, "b_{ih}": w.bias_ih, "b_{hh}": w.bias_hh})


@pytest.mark.proves("tree")
def test_tree(formula: Formula, page: Page) -> None:
    weight, left, right = random(2, 4, seed=1), random(2, seed=2), random(2, seed=3)
    below = torch.nn.functional.linear(torch.cat([left, right]), weight).sin()
    truth = torch.nn.functional.linear(torch.cat([below, left]), weight).sin()
    torch.testing.assert_close(page(PAGE)["TreeSum"](weight, f=torch.sin)(((left, right), left)), truth)
    formula("tree").holds({"h": truth, "f": torch.sin, "W_l": weight[:, :2], "W_r": weight[:, 2:], "h_l": below,
                           "h_r": left})


@pytest.mark.proves("slope")
def test_slope(formula: Formula) -> None:
    a = random(7).requires_grad_()
    truth = torch.autograd.grad(torch.tanh(a).sum(), a)[0]
    formula("slope").holds({r"\tanh'(a_t)": truth, "a_t": a, "h_t": torch.tanh(a)})


@pytest.mark.proves("delta", "last-delta")
def test_deltas(formula: Formula) -> None:
    net = unrolled()
    deltas = net.deltas
    for t in range(1, T):
        formula("delta").holds({r"\delta_t": deltas[t], r"\delta_{t+1}": deltas[t + 1], "e_t": net.e[t - 1],
                                "W_{hh}": net.cell.weight_hh, "h_t": net.h[t]})
    formula("last-delta").holds({r"\delta_T": deltas[T], "e_T": net.e[-1], "h_T": net.h[T]})


def columns(rows: Tensor) -> Tensor:
    """[T + 1, n] as columns [T + 1, n, 1], so that a column times a row is a matrix."""
    return rows.detach().unsqueeze(-1)


@pytest.mark.proves("gradient-hh", "gradient-ih")
def test_gradients_of_weights_and_biases(formula: Formula) -> None:
    for seed in range(2):
        net = unrolled(seed)
        w = net.cell
        behind_nothing = torch.cat([torch.full((1, INPUT), torch.nan).double(), net.x])  # x_1 stands at 1
        values = {r"\delta": columns(net.deltas), "x": columns(behind_nothing), "h": columns(torch.stack(net.h)),
                  "T": T, partial("W_{hh}"): net.grad(w.weight_hh), partial("W_{ih}"): net.grad(w.weight_ih)}
        formula("gradient-hh").holds(values, first=0)
        for bias in (w.bias_ih, w.bias_hh):
            formula("gradient-ih").holds({**values, partial("b"): net.grad(bias)[:, None]}, first=0)


@pytest.mark.proves("gradient-inputs")
def test_gradients_of_the_inputs(formula: Formula) -> None:
    net = unrolled()
    deltas, w = net.deltas, net.cell
    of_x, of_h0 = net.grad(net.x), net.grad(net.h[0])
    for t in range(1, T + 1):
        formula("gradient-inputs").holds({partial("x_t"): of_x[t - 1], partial("h_0"): of_h0, "W_{ih}": w.weight_ih,
                                          "W_{hh}": w.weight_hh, r"\delta_t": deltas[t], r"\delta_1": deltas[1]})


@pytest.mark.proves("truncated")
def test_truncated(formula: Formula) -> None:
    """PyTorch's own layer reads the first T - k steps without a graph; autograd gives the gradient of the rest."""
    net = unrolled()
    for k in range(1, T + 1):
        layer = whole(net.cell)
        with torch.no_grad():
            state = layer(net.x[:T - k], net.h[0][None])[1] if k < T else net.h[0][None]
        output, _ = layer(net.x[T - k:], state)
        truth = torch.autograd.grad((output * net.e[T - k:]).sum(), layer.weight_hh_l0)[0]
        formula("truncated").holds({"g_k": truth, r"\delta": columns(net.deltas), "h": columns(torch.stack(net.h)),
                                    "T": T, "k": k}, first=0)


@pytest.mark.proves("jacobian", "bound")
def test_jacobians(formula: Formula) -> None:
    net = unrolled()
    w = net.cell.weight_hh
    for t in range(1, T + 1):
        truth = torch.stack([torch.autograd.grad(entry, net.h[t - 1], retain_graph=True)[0] for entry in net.h[t]])
        formula("jacobian").holds({partial("h_{t-1}", "h_t"): truth, "h_t": net.h[t], "W_{hh}": w})
    for size in (0.1, 1.0, 3.0):
        cell = unrolled(seed=4)
        with torch.no_grad():
            cell.cell.weight_hh.mul_(size)
        h = start = random(HIDDEN, seed=6).mul(0.01).requires_grad_()
        for _ in range(T):
            h = torch.tanh(cell.cell.weight_hh @ h)
        whole_way = torch.stack([torch.autograd.grad(entry, start, retain_graph=True)[0] for entry in h])
        left = rf"\lVert {partial('h_0', 'h_T')} \rVert_2"
        norms = {left: torch.linalg.matrix_norm(whole_way, 2), "T": T,
                 r"\lVert W_{hh} \rVert_2": torch.linalg.matrix_norm(cell.cell.weight_hh, 2)}
        formula("bound").holds(norms)


@pytest.mark.proves("eigenvector")
def test_eigenvector(formula: Formula) -> None:
    root = random(3, 3)
    w = root + root.T
    values, vectors = torch.linalg.eigh(w)
    for k, (value, v) in enumerate(zip(values, vectors.T, strict=True), 2):
        h = v
        for _ in range(k):
            h = torch.nn.functional.linear(h, w)
        formula("eigenvector").holds({"W_{hh}": w, "v": v, r"\lambda": value, "h_k": h, "k": k})


# what the page says ---------------------------------------------------------------------------------------------------


def test_the_page_shows_what_it_claims(page: Page) -> None:
    ns = page(PAGE)
    curves = ns["curves"]
    assert curves["RNN"][0] < 1e-11
    assert curves["LSTM"][0] < 1e-9
    assert curves["LSTM, forget bias 2"][0] > 0.1
    assert ns["named"] == []
    assert ns["moved"].any(dim=1).tolist() == [True, False, False, False]
    errors = [(ns["gradient"](k) - ns["full"]).norm().item() for k in (1, 5, 20, 40)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


# exercises ------------------------------------------------------------------------------------------------------------


def right_jacobian(solution: Callable[..., Any]) -> bool:
    for seed, steps in ((0, 1), (1, 2), (2, 6)):
        w, h0 = random(3, 3, seed=seed), random(3, seed=seed + 9)

        def run(h: Tensor, w: Tensor = w, steps: int = steps) -> Tensor:
            return torch.stack([h := torch.tanh(w @ h) for _ in range(steps)])

        truth = torch.autograd.functional.jacobian(lambda h, run=run: run(h)[-1], h0)
        if not torch.allclose(solution(w, run(h0)), truth, rtol=1e-9, atol=1e-12):
            return False
    return True


def test_exercise_jacobian(page: Page) -> None:
    assert right_jacobian(page(PAGE)["state_jacobian"])

    def other_order(w: Tensor, states: Tensor) -> Tensor:
        product = torch.eye(len(w)).double()
        for h in states:
            product = product @ ((1 - h**2)[:, None] * w)
        return product

    def columns(w: Tensor, states: Tensor) -> Tensor:
        product = torch.eye(len(w)).double()
        for h in states:
            product = (1 - h**2) * w @ product
        return product

    assert not right_jacobian(other_order)
    assert not right_jacobian(columns)
    assert not right_jacobian(lambda w, states: torch.linalg.matrix_power(w, len(states)))


def right_last(solution: Callable[..., Any]) -> bool:
    output = random(5, 4, 2)
    lengths = torch.tensor([2, 5, 1, 4])
    truth = torch.stack([output[length - 1, n] for n, length in enumerate(lengths.tolist())])
    found = solution(output, lengths)
    return found.shape == truth.shape and torch.equal(found, truth)


def test_exercise_last(page: Page) -> None:
    assert right_last(page(PAGE)["last_states"])
    assert not right_last(lambda output, lengths: output[-1])
    assert not right_last(lambda output, lengths: output[lengths - 1])
    assert not right_last(lambda output, lengths: output[lengths % 5, torch.arange(len(lengths))])
