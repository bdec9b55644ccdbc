"""Proofs of the formulas of scale/distributed, and its exercises."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.pages.paths import ROOT

PROGRAM = (ROOT / "snippets" / "scale" / "distributed.py").read_text("utf-8")


def section(name):
    """The names of one section of the page's program, which as a whole starts many processes."""
    [text] = re.findall(rf"\[start:{name}\]\n(.*?)# --8<-- \[end:{name}\]", PROGRAM, re.S)
    names = {"torch": torch}
    exec(compile(text, name, "exec"), names)
    return names


def gradient(net, x, y):
    grads = torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))
    return torch.cat([g.flatten() for g in grads])


def task(n):
    return nn.Linear(4, 3).double(), torch.randn(n, 4, dtype=torch.float64), torch.arange(n) % 3


@pytest.mark.proves("mean-gradient")
def test_mean_gradient(formula):
    net, x, y = task(12)
    shares = torch.stack([gradient(net, x[r::3], y[r::3]) for r in range(3)])
    formula("mean-gradient").holds({r"\nabla L": gradient(net, x, y), "W": 3, "g": shares}, first=0)


@pytest.mark.proves("weighted-gradient")
def test_weighted_gradient(formula):
    net, x, y = task(11)
    shares = torch.stack([gradient(net, x[r::3], y[r::3]) for r in range(3)])
    counts = torch.tensor([float(len(y[r::3])) for r in range(3)], dtype=torch.float64)
    assert counts.tolist() == [4, 4, 3]
    values = {r"\nabla L": gradient(net, x, y), "W": 3, "g": shares, "n": counts, "N": 11}
    formula("weighted-gradient").holds(values, first=0)


def kept(net):
    """Bytes of weights, gradients and Adam's averages after a step."""
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    tensors = [t for p in net.parameters() for t in (p, p.grad)]
    tensors += [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    return sum(t.nbytes for t in tensors), sum(p.numel() for p in net.parameters())


@pytest.mark.proves("memory-ddp", "memory-fsdp")
def test_memory(formula):
    """One process of W has the parameters of a model that is W times as small; on the page FSDP itself is counted."""
    whole, count = kept(nn.Linear(8, 24))
    formula("memory-ddp").holds({"M": whole, "P": count})
    part, _ = kept(nn.Linear(8, 6))
    formula("memory-fsdp").holds({"m": part, "P": count, "W": 4})


@pytest.mark.proves("ring", "fsdp-traffic")
def test_ring(formula):
    """Numbers sent by the ring of the page; its two halves are the two exchanges of which FSDP needs one and two."""
    ring = section("ring")["ring_all_reduce"]
    for world_size in (2, 3, 5):
        vectors = [torch.randn(world_size * 7, dtype=torch.float64) for _ in range(world_size)]
        sums, sent = ring(vectors)
        for found in sums:
            torch.testing.assert_close(found, torch.stack(vectors).sum(0))
        assert len(set(sent)) == 1
        formula("ring").holds({"s": sent[0], "W": world_size, "V": world_size * 7})
        formula("fsdp-traffic").holds({"z": sent[0] / 2 * 3, "W": world_size, "V": world_size * 7})


@pytest.mark.proves("efficiency")
def test_efficiency(formula):
    """Against a clock that computes first and sends then, byte by byte."""
    efficiency = section("plan")["efficiency"]
    for world_size, parameters, seconds, bandwidth in ((2, 1000, 0.5, 4000.0), (8, 500, 2.0, 100.0)):
        sent = 2 * (world_size - 1) / world_size * 4 * parameters
        values = {"E": efficiency(parameters, seconds, world_size, bandwidth), "T": seconds, "s": sent, "b": bandwidth}
        formula("efficiency").holds(values)
        assert values["E"] == pytest.approx(1 - (sent / bandwidth) / (seconds + sent / bandwidth))


@pytest.mark.proves("linear-scaling")
def test_linear_scaling(formula):
    """Steps of torch's SGD along gradients that do not depend on the weights."""
    w, gradients = torch.randn(4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    leaf = w.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.1)
    for g in gradients:
        leaf.grad = g.clone()
        optimizer.step()
    formula("linear-scaling").holds({"w_{t+k}": leaf.detach(), "w_t": w, r"\eta": 0.1, "k": 3, "g": gradients})


def wrong_seconds(parameters, world_size, bandwidth, bytes_each=4, sharded=False):
    """Forgets that nobody sends its own part."""
    return (3 if sharded else 2) * parameters * bytes_each / bandwidth


def check_seconds(function):
    assert function(1e6, 1, 1e9) == 0  # alone nothing is sent
    assert function(1e6, 4, 1e6) == pytest.approx(6)
    assert function(1e6, 4, 1e6, bytes_each=2, sharded=True) == pytest.approx(4.5)


def test_exercise_ring():
    check_seconds(section("exercise-ring")["seconds_of_exchange"])
    with pytest.raises(AssertionError):
        check_seconds(wrong_seconds)


def check_loss(function):
    losses, counts = torch.rand(11, dtype=torch.float64), [5, 4, 2]
    means = [part.mean().item() for part in losses.split(counts)]
    assert function(means, counts) == pytest.approx(losses.mean().item())


def test_exercise_loss():
    check_loss(section("exercise-loss")["loss_of_all"])
    with pytest.raises(AssertionError):
        check_loss(lambda losses, counts: sum(losses) / len(losses))  # the mean of the means
