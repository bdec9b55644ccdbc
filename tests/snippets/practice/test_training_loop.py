"""Proofs of the formulas of practice/training-loop, and its exercises."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlguide.train import Callback

PAGE = "practice/training-loop"
GENERATOR = torch.Generator().manual_seed(7)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.proves("accumulate")
def test_accumulate(formula):
    """The gradient of the mean over all examples, by torch, from the gradients of unequal parts."""
    x, y, w = numbers(9, 4), numbers(9), numbers(4).requires_grad_()
    sizes = [4, 2, 3]

    def gradient(x, y):
        return torch.autograd.grad(F.mse_loss(x @ w, y), w)[0]

    parts = [gradient(*part) for part in zip(x.split(sizes), y.split(sizes), strict=True)]
    formula("accumulate").holds(
        {r"\nabla L": gradient(x, y), "k": 3, "n": torch.tensor(sizes, dtype=torch.float64), "g": torch.stack(parts)})


@pytest.mark.proves("average")
def test_average(formula):
    """torch's own average of a model."""
    model = nn.Linear(3, 2).double()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    average.update_parameters(model)
    before = average.module.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(numbers(2, 3))
    average.update_parameters(model)
    formula("average").holds({
        r"\bar\theta_t": average.module.weight.detach(), r"\bar\theta_{t-1}": before, "d": 0.7,
        r"\theta_t": model.weight.detach()})


def check_steps(step):
    """Against one step on the whole batch, for parts of every size; twice, so that old gradients would show."""
    torch.manual_seed(0)
    x, y = numbers(10, 4), torch.arange(10) % 3
    for size in (1, 3, 4, 10, 99):
        first, second = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
        second.load_state_dict(first.state_dict())
        whole = torch.optim.SGD(first.parameters(), lr=0.1)
        parts = torch.optim.SGD(second.parameters(), lr=0.1)
        for _ in range(2):
            whole.zero_grad()
            F.cross_entropy(first(x), y).backward()
            whole.step()
            step(second, parts, x, y, size)
        if not torch.allclose(first.weight, second.weight, rtol=1e-12):
            return False
    return True


def test_exercise_accumulate(page):
    assert check_steps(page(PAGE)["step_in_parts"])

    def mean_of_means(model, optimizer, x, y, size):
        optimizer.zero_grad()
        parts = list(zip(x.split(size), y.split(size), strict=True))
        for part in parts:
            (F.cross_entropy(model(part[0]), part[1]) / len(parts)).backward()
        optimizer.step()

    def never_forgets(model, optimizer, x, y, size):
        for part in zip(x.split(size), y.split(size), strict=True):
            (F.cross_entropy(model(part[0]), part[1], reduction="sum") / len(x)).backward()
        optimizer.step()

    assert not check_steps(mean_of_means)
    assert not check_steps(never_forgets)


def check_frozen(kind, names, epochs=2):
    """Which epochs change the first layer, in one run and in one that goes on from its state."""

    def changed(trainer, until):
        before = trainer.model[1].weight.detach().clone()
        last = trainer.model[-1].weight.detach().clone()
        trainer.fit(names["train"], epochs=until)
        assert not torch.equal(last, trainer.model[-1].weight)
        return not torch.equal(before, trainer.model[1].weight)

    first = names["learner"](kind(epochs))
    found = [changed(first, 1), changed(first, 2), changed(first, 3)]
    second, third = (names["learner"](kind(epochs)) for _ in range(2))
    changed(second, 1)
    third.load_state_dict(second.state_dict())
    found += [changed(third, 2), changed(third, 3)]
    return found == [False, False, True, False, True]


def test_exercise_frozen_start(page):
    names = page(PAGE)
    assert check_frozen(names["FrozenStart"], names)

    class Counts(Callback):
        """Counts the epochs of this process, which a resumed run begins anew."""

        def __init__(self, epochs):
            self.epochs, self.seen = epochs, 0

        def on_start(self, trainer):
            for layer in list(trainer.model)[:-1]:
                layer.requires_grad_(False)

        def on_epoch(self, trainer):
            self.seen += 1
            for layer in list(trainer.model)[:-1]:
                layer.requires_grad_(self.seen >= self.epochs)

    assert not check_frozen(Counts, names)


def test_the_trainer_is_the_loop(page):
    names = page(PAGE)
    hand, same = names["new_model"](), names["same"]
    names["train_by_hand"](hand, torch.optim.Adam(hand.parameters(), lr=0.01), epochs=5)
    assert all(torch.equal(a, b) for a, b in zip(hand.parameters(), same.parameters(), strict=True))


def test_what_goes_wrong_does(page):
    names = page(PAGE)
    assert names["rates"]["step"] < 1e-6
    assert names["rates"]["epoch"] > 0.9
    assert names["right"].max() > 0.6 > names["again"]
