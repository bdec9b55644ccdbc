"""Each formula of mathematics/gates against PyTorch's cells in float64, and each exercise against wrong answers.

PyTorch's cells do not show their gates. They are measured from outside: a gate is forced open or shut by a bias of
1000, or found as a quotient of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

PAGE = "mathematics/gates"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]
INPUT, HIDDEN, T = 3, 2, 4
OPEN, SHUT = 1000.0, -1000.0


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parts(cell: nn.Module, gates: str) -> dict[str, Tensor]:
    """The weights and biases of each gate, by their names in the formulas."""
    named: dict[str, Tensor] = {}
    blocks = {name: getattr(cell, name).detach().chunk(len(gates)) for name in
              ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    for k, gate in enumerate(gates):
        named |= {f"W_{{i{gate}}}": blocks["weight_ih"][k], f"W_{{h{gate}}}": blocks["weight_hh"][k],
                  f"b_{{i{gate}}}": blocks["bias_ih"][k], f"b_{{h{gate}}}": blocks["bias_hh"][k],
                  f"b_{gate}": blocks["bias_ih"][k] + blocks["bias_hh"][k]}
    return named


def lstm(seed: int = 0) -> nn.LSTMCell:
    torch.manual_seed(seed)
    return nn.LSTMCell(INPUT, HIDDEN, dtype=torch.float64)


def gru(seed: int = 0) -> nn.GRUCell:
    torch.manual_seed(seed)
    return nn.GRUCell(INPUT, HIDDEN, dtype=torch.float64)


def forced(cell: nn.Module, gate: int, bias: float) -> list[Tensor]:
    """The parameters of a cell with one gate held open or shut."""
    w_ih, w_hh, b_ih, b_hh = (p.detach().clone() for p in cell.parameters())
    b_ih[gate * HIDDEN : (gate + 1) * HIDDEN] = bias
    return [w_ih, w_hh, b_ih, b_hh]


def lstm_gates(cell: nn.LSTMCell, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    """What PyTorch's gates are, from what its cells give."""
    def run(weights: list[Tensor], c: float) -> tuple[Tensor, Tensor]:
        new_h, new_c = torch.lstm_cell(x[None], (h[None], torch.full((1, HIDDEN), c).double()), *weights)
        return new_h[0], new_c[0]

    usual = [p.detach() for p in cell.parameters()]
    new_h, added = run(usual, 0.0)  # i g
    g = run(forced(cell, 0, OPEN), 0.0)[1]
    return {"f_t": run(usual, 1.0)[1] - added, "g_t": g, "i_t": added / g, "o_t": new_h / torch.tanh(added)}


def gru_gates(cell: nn.GRUCell, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    def run(weights: list[Tensor]) -> Tensor:
        return torch.gru_cell(x[None], h[None], *weights)[0]

    usual = [p.detach() for p in cell.parameters()]
    shut = forced(cell, 1, SHUT)  # z = 0: the candidate alone comes out
    n = run(shut)
    candidates = []
    for bias in (SHUT, OPEN):
        w_ih, w_hh, b_ih, b_hh = (p.clone() for p in shut)
        b_ih[:HIDDEN] = bias  # r = 0, r = 1
        candidates.append(torch.atanh(run([w_ih, w_hh, b_ih, b_hh])))
    without, with_all = candidates
    m = with_all - without
    return {"n_t": n, "z_t": (run(usual) - n) / (h - n), "m_t": m, "r_t": (torch.atanh(n) - without) / m}


# forward --------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("lstm-gates", "lstm-state")
def test_lstm(formula: Formula) -> None:
    for seed in range(3):
        cell, x, h, c = lstm(seed), random(INPUT, seed=seed), random(HIDDEN, seed=7), random(HIDDEN, seed=8)
        gates = lstm_gates(cell, x, h)
        formula("lstm-gates").holds({"x_t": x, "h_{t-1}": h, r"\sigma": torch.sigmoid, **gates, **parts(cell, "ifgo")},
                                    rtol=1e-8)
        new_h, new_c = cell(x, (h, c))
        formula("lstm-state").holds({"c_t": new_c, "h_t": new_h, "c_{t-1}": c, **gates}, rtol=1e-8)


@pytest.mark.proves("count")
def test_count(formula: Formula) -> None:
    for kind, k in ((nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)):
        for inputs, hidden in ((1, 1), (3, 5), (7, 2)):
            count = sum(p.numel() for p in kind(inputs, hidden).parameters())
            formula("count").holds({"P": float(count), "k": float(k), "H": float(hidden), "I": float(inputs)})


@pytest.mark.proves("gru-gates", "gru-state")
def test_gru(formula: Formula) -> None:
    for seed in range(3):
        cell, x, h = gru(seed), random(INPUT, seed=seed), random(HIDDEN, seed=7)
        gates = gru_gates(cell, x, h)
        formula("gru-gates").holds({"x_t": x, "h_{t-1}": h, r"\sigma": torch.sigmoid, **gates, **parts(cell, "rzn")},
                                   rtol=1e-8)
        formula("gru-state").holds({"h_t": cell(x, h), "h_{t-1}": h, **gates}, rtol=1e-8)


@pytest.mark.proves("cho-candidate")
def test_the_candidate_of_the_paper(formula: Formula, page: Page) -> None:
    """PyTorch's candidate is the paper's where the matrix is diagonal and has no bias; elsewhere they differ."""
    cell, x, h = gru(), random(INPUT), random(HIDDEN, seed=7)
    own = page(PAGE)["gru_1406_1078"]
    with torch.no_grad():
        assert not torch.allclose(own(x, h, *cell.parameters()), cell(x, h))
        cell.weight_hh[2 * HIDDEN :] = torch.diag(random(HIDDEN, seed=3))
        cell.bias_hh[2 * HIDDEN :] = 0
        assert torch.allclose(own(x, h, *cell.parameters()), cell(x, h), rtol=1e-10)
    formula("cho-candidate").holds({"x_t": x, "h_{t-1}": h, **gru_gates(cell, x, h), **parts(cell, "rzn")}, rtol=1e-8)


# backward -------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("cell-bar", "gate-deltas", "state-bar")
def test_lstm_backward(formula: Formula) -> None:
    """An LSTM unrolled with every sum as a tensor of its own, so that autograd gives each gradient."""
    cell, xs, e = lstm(), random(T, INPUT), random(T, HIDDEN, seed=1)
    h, c = [random(HIDDEN, seed=2).requires_grad_()], [random(HIDDEN, seed=3).requires_grad_()]
    sums, gates = [], []
    for x in xs:
        a = [block.clone() for block in (torch.nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
                                         + torch.nn.functional.linear(h[-1], cell.weight_hh, cell.bias_hh)).chunk(4)]
        i, f, g, o = torch.sigmoid(a[0]), torch.sigmoid(a[1]), torch.tanh(a[2]), torch.sigmoid(a[3])
        true_h, true_c = cell(x, (h[-1], c[-1]))
        c.append(f * c[-1] + i * g)
        h.append(o * torch.tanh(c[-1]))
        torch.testing.assert_close((h[-1], c[-1]), (true_h, true_c))
        sums.append(a)
        gates.append((i, f, g, o))
    loss = sum((e_t * h_t).sum() for e_t, h_t in zip(e, h[1:], strict=True))

    def bar(of: Tensor) -> Tensor:
        return torch.autograd.grad(loss, of, retain_graph=True)[0]

    for t in range(1, T + 1):
        i, f, g, o = gates[t - 1]
        values = {r"\bar c_t": bar(c[t]), r"\bar h_t": bar(h[t]), "c_t": c[t], "c_{t-1}": c[t - 1], "i_t": i, "f_t": f,
                  "g_t": g, "o_t": o}
        deltas = dict(zip((r"\delta_i", r"\delta_f", r"\delta_g", r"\delta_o"), map(bar, sums[t - 1]), strict=True))
        formula("gate-deltas").holds({**values, **deltas})
        if t < T:
            behind = {r"\bar c_{t+1}": bar(c[t + 1]), "f_{t+1}": gates[t][1], r"\delta_{t+1}": torch.cat(
                [bar(a) for a in sums[t]]), "W_{hh}": cell.weight_hh, "e_t": e[t - 1]}
            formula("cell-bar").holds({**values, **behind})
            formula("state-bar").holds({**values, **behind})


@pytest.mark.proves("conveyor")
def test_conveyor(formula: Formula) -> None:
    """The gates do not read the state here, so the cell is the only path."""
    cell, xs = lstm(), random(T, INPUT)
    with torch.no_grad():
        cell.weight_hh.zero_()
    start = random(HIDDEN, seed=2).requires_grad_()
    state = (random(HIDDEN, seed=3), start)
    f = torch.stack([lstm_gates(cell, x, state[0])["f_t"] for x in xs])
    for x in xs:
        state = cell(x, state)
    slope = torch.autograd.grad(state[1].sum(), start)[0]
    formula("conveyor").holds({r"\frac{\partial c_T}{\partial c_0}": slope, "f": f, "T": T}, rtol=1e-8)


@pytest.mark.proves("gru-deltas", "gru-old-state")
def test_gru_backward(formula: Formula) -> None:
    for seed in range(3):
        cell, x, bar = gru(seed), random(INPUT, seed=seed), random(HIDDEN, seed=1)
        h = random(HIDDEN, seed=2).requires_grad_()
        inner = torch.zeros(3 * HIDDEN).double().requires_grad_()  # added to the sums: its gradient is theirs
        new = torch.gru_cell(x[None], h[None], cell.weight_ih, cell.weight_hh, cell.bias_ih + inner, cell.bias_hh)[0]
        old, sums = torch.autograd.grad(new, (h, inner), bar)
        deltas = dict(zip((r"\delta_r", r"\delta_z", r"\delta_n"), sums.chunk(3), strict=True))
        values = {r"\bar h_t": bar, "h_{t-1}": h, r"\frac{\partial L}{\partial h_{t-1}}": old, **deltas,
                  **gru_gates(cell, x, h.detach()), **parts(cell, "rzn")}
        formula("gru-deltas").holds(values, rtol=1e-8)
        formula("gru-old-state").holds(values, rtol=1e-8)


# what the page says ---------------------------------------------------------------------------------------------------


def test_the_task_does_not_hang_on_the_seed(page: Page) -> None:
    accuracy = page(PAGE)["accuracy"]
    for seed in (1, 2):
        assert accuracy(nn.RNN, 40, None, seed) < 0.6
        assert accuracy(nn.LSTM, 40, None, seed) < 0.6
        assert accuracy(nn.LSTM, 40, 3, seed) > 0.99
        assert accuracy(nn.GRU, 40, 3, seed) > 0.99


# exercises ------------------------------------------------------------------------------------------------------------


def right_bias(solution: Callable[..., Any]) -> bool:
    for layers, both in ((1, False), (2, True)):
        torch.manual_seed(0)
        layer = nn.LSTM(3, 4, num_layers=layers, bidirectional=both)
        before = {name: p.detach().clone() for name, p in layer.named_parameters()}
        solution(layer, 1.5)
        for name, p in layer.named_parameters():
            rows = torch.ones(len(p), dtype=torch.bool)
            if name.startswith("bias"):
                rows[4:8] = False
                twin = dict(layer.named_parameters())[name.replace("_ih", "_xx").replace("_hh", "_ih")
                                                      .replace("_xx", "_hh")]
                if not torch.allclose((p + twin)[4:8], torch.tensor(1.5)):
                    return False
            if not torch.equal(p[rows], before[name][rows]):
                return False
    return True


def test_exercise_forget(page: Page) -> None:
    assert right_bias(page(PAGE)["set_forget_bias"])

    def write(rows: slice, names: tuple[str, ...]) -> Callable[..., None]:
        def wrong(layer: nn.LSTM, value: float) -> None:
            with torch.no_grad():
                for name, bias in layer.named_parameters():
                    if name.startswith(names):
                        bias[rows] = value
        return wrong

    assert not right_bias(write(slice(4, 8), ("bias",)))  # twice the value
    assert not right_bias(write(slice(4, 8), ("bias_ih",)))  # the other bias stays
    assert not right_bias(write(slice(0, 4), ("bias_ih",)))  # the input gate


def right_summary(solution: Callable[..., Any]) -> bool:
    for layers in (1, 3):
        torch.manual_seed(0)
        layer = nn.GRU(2, 4, num_layers=layers, bidirectional=True)
        output, h_n = layer(torch.randn(5, 3, 2))
        truth = torch.cat([output[-1, :, :4], output[0, :, 4:]], dim=1)
        found = solution(h_n, layers)
        if found.shape != truth.shape or not torch.equal(found, truth):
            return False
    return True


def test_exercise_summary(page: Page) -> None:
    assert right_summary(page(PAGE)["summary"])
    assert not right_summary(lambda h_n, layers: h_n[-1])
    assert not right_summary(lambda h_n, layers: torch.cat([h_n[-1], h_n[-2]], dim=1))
    assert not right_summary(lambda h_n, layers: torch.cat([h_n[layers - 1], h_n[-1]], dim=1))
