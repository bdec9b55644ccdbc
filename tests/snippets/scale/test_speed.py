"""Proofs of the formulas of scale/speed, and its exercises."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

PAGE = "scale/speed"


@pytest.mark.proves("epoch-time")
def test_epoch_time(formula):
    """A clock that advances by a for each batch and by b for each example in it."""
    for n, size, a, b in ((12, 3, 5.0, 0.25), (40, 8, 1.5, 2.0), (7, 7, 3.0, 1.0)):
        clock = sum(a + b * len(batch) for batch in torch.arange(n).split(size))
        formula("epoch-time").holds({"T": clock, "N": n, "B": size, "a": a, "b": b})


@pytest.mark.proves("amdahl")
def test_amdahl(page, formula):
    for part, rest, s in ((6.0, 4.0, 3.0), (1.0, 9.0, 50.0), (5.0, 0.5, 2.0)):
        before, after = part + rest, part / s + rest
        formula("amdahl").holds({"S": before / after, "p": part / before, "s": s})
        assert page(PAGE)["whole"]({"part": part, "rest": rest}, {"part": s}) == pytest.approx(before / after)


@pytest.mark.proves("flops")
def test_flops(formula):
    for n, m, examples in ((64, 128, 10), (5, 3, 7)):
        with FlopCounterMode(display=False) as work:
            nn.Linear(n, m)(torch.zeros(examples, n))
        formula("flops").holds({"F": work.get_total_flops(), "N": examples, "n": n, "m": m})


def test_the_tensors_need_one_operation_where_the_loader_needs_one_for_each_picture(page):
    names = page(PAGE)
    assert names["slow"].calls["sub"] == names["slow"].calls["div"] == len(names["y"])
    assert names["fast"].calls["sub"] == names["fast"].calls["div"] == 1


def test_compare_leaves_out_the_first_call_and_runs_in_turn(page):
    order, compare = [], page(PAGE)["compare"]
    now = iter(range(1000))
    low, middle, high = compare(lambda: order.append(1), lambda: order.append(2), 5, clock=lambda: next(now))
    assert order == [1, 2] * 6
    assert low == middle == high == 1.0


def test_the_graphs_of_compile(page):
    names = page(PAGE)
    assert len(names["graphs"]) == 2  # one for 64 examples, one for any number
    torch.testing.assert_close(names["compiled"](names["x"][:30]), names["mlp"](names["x"][:30]))


def test_the_recipe_beats_97_percent(page):
    names = page(PAGE)
    assert names["accuracy"] > 0.97
    assert names["trainer"].step == names["steps"]


def test_subnormal_numbers_are_on_again(page):
    names = page(PAGE)
    assert names["tiny_numbers"]()
    assert torch.tensor([1e-39]).mul(1).item() != 0


def check_whole(whole):
    parts = {"data": 6.0, "model": 3.0, "rest": 1.0}
    return (
        whole(parts, {}) == pytest.approx(1) and whole(parts, {"data": 2}) == pytest.approx(10 / 7)
        and whole(parts, {"data": 3, "model": 3}) == pytest.approx(10 / 4)
        and whole(parts, {"rest": 1e9}) == pytest.approx(10 / 9)
    )  # fmt: skip


def test_exercise_amdahl(page):
    assert check_whole(page(PAGE)["whole"])

    def mean_of_factors(parts, factors):
        total = sum(parts.values())
        return sum(seconds / total * factors.get(name, 1) for name, seconds in parts.items())

    def product(parts, factors):
        result = 1.0
        for factor in factors.values():
            result *= factor
        return result

    assert not check_whole(mean_of_factors)
    assert not check_whole(product)


def check_batches(batches_of):
    x, y = torch.arange(10.0)[:, None], torch.arange(10)
    generator = torch.Generator().manual_seed(3)
    epochs = [list(batches_of(x, y, 4, generator)) for _ in range(2)]
    orders = [torch.cat([labels for _, labels in epoch]) for epoch in epochs]
    return (
        all([len(labels) for _, labels in epoch] == [4, 4, 2] for epoch in epochs)
        and all(torch.equal(order.sort().values, y) for order in orders)
        and not torch.equal(*orders)
        and all(torch.equal(inputs[:, 0].long(), labels) for epoch in epochs for inputs, labels in epoch)
    )  # fmt: skip


def test_exercise_batches(page):
    assert check_batches(page(PAGE)["epoch_of_batches"])

    def drops_the_last(x, y, size, generator):
        order = torch.randperm(len(y), generator=generator)
        for i in range(len(y) // size):
            rows = order[i * size : (i + 1) * size]
            yield x[rows], y[rows]

    def draws_with_replacement(x, y, size, generator):
        for part in torch.arange(len(y)).split(size):
            rows = torch.randint(len(y), (len(part),), generator=generator)
            yield x[rows], y[rows]

    def always_the_same(x, y, size, generator):
        for rows in torch.randperm(len(y), generator=torch.Generator().manual_seed(0)).split(size):
            yield x[rows], y[rows]

    def labels_apart(x, y, size, generator):
        for rows in torch.randperm(len(y), generator=generator).split(size):
            yield x[rows], y[rows.sort().values]

    for wrong in (drops_the_last, draws_with_replacement, always_the_same, labels_apart):
        assert not check_batches(wrong)


def test_what_goes_wrong_does(page):
    names = page(PAGE)
    assert not names["is_last"](names["again"])
    assert torch.equal(names["again"], names["last"])
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        names["mlp"][3](names["features"]).sum().backward()
