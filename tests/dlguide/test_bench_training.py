"""The parts of the training benchmarks that a number depends on: data, order, schedule, and both sides' work."""

import importlib
import os
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from dlguide.data import Splits, Vocabulary, load
from tests.pages.paths import ROOT

BENCH = ROOT / "tests/bench"


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Import a program of tests/bench as it imports its neighbours; forget them afterwards."""
    before = set(sys.modules)
    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))

    def find(folder, name):
        monkeypatch.syspath_prepend(str(BENCH / folder))
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    yield find
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_learned_from_takes_training_and_validation_but_not_test(program):
    recipe, digits = program("fast", "recipe"), load("digits")
    x, y = recipe.learned_from(digits, 10_000).tensors
    assert len(y) == 1257 + 180
    assert torch.equal(x[:1257], digits.train.tensors[0])
    assert torch.equal(y[1257:], digits.validation.tensors[1])
    assert len(recipe.learned_from(digits, 100)) == 100


def test_texts_are_padded_to_the_longest_of_both_parts(program):
    def part(width, seed):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(2, 9, (3, width), generator=generator)
        return TensorDataset(ids, torch.full((3,), width), torch.arange(3))

    splits = Splits(part(4, 0), part(6, 1), part(5, 2), ("a", "b"), vocabulary=Vocabulary("abc"))
    ids, lengths, _ = program("fast", "recipe").learned_from(splits, 10).tensors
    assert ids.shape == (6, 6)
    assert (ids[:3, 4:] == 0).all()
    assert torch.equal(ids[3:], splits.validation.tensors[0])
    assert lengths.tolist() == [4, 4, 4, 6, 6, 6]


def test_the_rate_rises_and_falls_to_the_last_step(program):
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=2.0)
    scheduler = program("fast", "recipe").warm_up_then_linear(optimizer, 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25])


def padded(n, longest):
    """Texts of random lengths whose ids are 1 + their number, which is also their label."""
    lengths = torch.randint(1, longest + 1, (n,), generator=torch.Generator().manual_seed(0))
    ids = torch.arange(1, n + 1)[:, None] * (torch.arange(longest) < lengths[:, None])
    return TensorDataset(ids, lengths, torch.arange(n))


def two_epochs(batches, n):
    """Read two epochs, in each of which every text comes once, in two orders."""
    epochs = [list(batches) for _ in range(2)]
    orders = [torch.cat([y for *_, y in epoch]).tolist() for epoch in epochs]
    assert [len(epoch) for epoch in epochs] == [len(batches)] * 2
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert orders[0] != orders[1]
    return epochs


def test_batches_of_one_length_hold_each_name_once(program):
    names = padded(50, 6)
    ids, lengths, _ = names.tensors
    for epoch in two_epochs(program("fast", "names").OneLength(names, 4, seed=0), 50):
        for part, y in epoch:
            assert len(y) <= 4
            assert torch.equal(part, ids[y][:, : part.shape[1]])
            assert (lengths[y] == part.shape[1]).all()


def test_batches_of_similar_length_hold_each_text_once_and_pad_little(program):
    texts = padded(300, 40)
    ids, lengths, _ = texts.tensors
    for epoch in two_epochs(program("fast", "recipe").SimilarLength(texts, 8, seed=0), 300):
        for part, count, y in epoch:
            assert len(y) <= 8
            assert torch.equal(count, lengths[y])
            assert torch.equal(part, ids[y][:, : int(count.max())])
        assert sum(part.numel() for part, *_ in epoch) < 1.1 * lengths.sum()


def test_muon_for_filters_steps_as_that_of_torch_does_for_matrices(program):
    torch.manual_seed(0)
    filters = torch.randn(4, 2, 3, 3).requires_grad_()
    matrix = filters.detach().flatten(1).clone().requires_grad_()
    ours = program("fast", "muon").FilterMuon([filters], lr=0.1, momentum=0.9)
    theirs = torch.optim.Muon([matrix], lr=0.1, weight_decay=0, momentum=0.9, ns_steps=3)
    for _ in range(5):
        matrix.grad = torch.randn(4, 18)
        filters.grad = matrix.grad.view_as(filters)
        ours.step()
        theirs.step()
        torch.testing.assert_close(filters.flatten(1), matrix, atol=3e-3, rtol=0)  # both in bfloat16


def test_muon_gives_the_weights_one_length_where_it_is_asked_to(program):
    muon = program("fast", "muon")
    torch.manual_seed(0)
    p = torch.randn(4, 2, 3, 3).requires_grad_()
    before, p.grad = p.detach().clone(), torch.randn(4, 2, 3, 3)
    muon.FilterMuon([p], lr=0.1, momentum=0.6, keep_length=True).step()
    scaled = before / before.norm() * 2  # sqrt of 4 filters
    step = muon._orthogonal((1.6 * p.grad).flatten(1), muon.COEFFICIENTS, 3, 1e-7).view_as(p)
    torch.testing.assert_close(p.detach(), scaled - 0.1 * step)


def test_two_optimizers_step_as_one(program):
    """Each moves its parameters with its own rate, and one scheduler halves both."""
    first, second = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = program("fast", "muon").Together(torch.optim.SGD([first], lr=1.0), torch.optim.SGD([second], lr=4.0))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        (first + second).backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    assert (first.item(), second.item()) == (-1.5, -6.0)
    assert first.grad is second.grad is None


def test_the_models_for_imdb_can_be_built(program):
    imdb, reviews = program("fast", "imdb"), load("reviews")
    ids, lengths, _ = reviews.test[:4]
    for name in imdb.RECIPES:
        assert imdb.make(name, reviews)(ids, lengths).shape == (4, 2)


def test_the_lstm_does_not_read_the_padding(program):
    model = program("fast", "imdb").BiLSTM(10).eval()
    ids = torch.tensor([[3, 5, 2, 0, 0]])
    states, _ = model.lstm(model.embedding(ids))
    expected = model.out(states[:, :3].amax(1))
    torch.testing.assert_close(model(ids, torch.tensor([3])), expected)


def test_both_sides_of_names_read_the_same_kind_of_network(program):
    usual = program("usual", "names")
    assert usual.to_ascii("Ślusàrski") == "Slusarski"
    assert usual.to_ascii("Ł1") == "__"
    x = usual.to_tensor("Abe")
    assert x.shape == (3, 1, len(usual.LETTERS))
    assert x.sum(2).eq(1).all()
    torch.testing.assert_close(usual.Net(18)(x).exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize(("folder", "name", "make", "shape"), [
    ("usual", "mnist", "Net", (2, 1, 28, 28)), ("usual", "cifar", "Net", (2, 3, 32, 32)),
    ("fast", "mnist", "network", (2, 1, 28, 28)),
])  # fmt: skip
def test_networks_have_ten_outputs_and_the_known_size(program, folder, name, make, shape):
    model = getattr(program(folder, name), make)()
    assert model(torch.randn(shape)).shape == (2, 10)
    count = sum(p.numel() for p in model.parameters())
    convolutions = 4 * 16 * 9 + 16 * 32 * 9 + 32 * 64 * 9 + 64 * 128 * 9
    known = {"usual mnist": 1_199_882, "usual cifar": 62_006, "fast mnist": convolutions + 2 * 240 + 1290}
    assert count == known[f"{folder} {name}"]


def test_usual_pictures_come_one_by_one(program):
    pictures = program("usual", "pictures")
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    data = pictures.Pictures(pixels, np.array([3, 1]), lambda picture: np.asarray(picture) + 1)
    picture, label = data[1]
    assert (picture == pixels[1] + 1).all()
    assert (label, len(data)) == (1, 2)


@pytest.mark.skipif("DLGUIDE_DATA" not in os.environ, reason="needs the real MNIST in the folder DLGUIDE_DATA")
def test_real_pictures_are_the_same_on_both_sides(monkeypatch):
    data = load("mnist")
    monkeypatch.syspath_prepend(str(BENCH / "usual"))
    sys.modules.pop("pictures", None)
    pixels, labels = importlib.import_module("pictures").mnist("t10k")
    x, y = data.test.tensors
    assert torch.equal(torch.from_numpy(pixels.copy())[:, None] / 255, x)
    assert y.tolist() == labels.tolist()
