"""What the answers claim, against scikit-learn and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import PolynomialFeatures


@pytest.fixture
def faq(page):
    return page("faq")


def test_the_three_losses_have_the_values_of_their_formulas():
    error = torch.tensor([-0.5, 0.0, 4.0], dtype=torch.float64)
    zero = torch.zeros_like(error)
    torch.testing.assert_close(F.mse_loss(error, zero), torch.tensor((0.25 + 16) / 3, dtype=torch.float64))
    torch.testing.assert_close(F.l1_loss(error, zero), torch.tensor(4.5 / 3, dtype=torch.float64))
    # Huber, delta 1: half the square up to 1, then |e| - 1/2
    torch.testing.assert_close(F.huber_loss(error, zero), torch.tensor((0.125 + 3.5) / 3, dtype=torch.float64))


def test_softmax_before_cross_entropy_keeps_the_loss_away_from_zero():
    sure = torch.tensor([[100.0] + [0.0] * 9], dtype=torch.float64)
    label = torch.tensor([0])
    assert F.cross_entropy(sure, label) < 1e-12
    lowest = math.log(1 + 9 / math.e)  # the softmax of a one-hot vector over ten classes
    assert F.cross_entropy(sure.softmax(1), label).item() == pytest.approx(lowest, abs=1e-9)


@pytest.mark.proves("softmax")
def test_softmax(faq, formula):
    z = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for i in range(1, 8):
        formula("softmax").holds(
            {r"\operatorname{softmax}(z)": z.softmax(dim=0), "z": z, "i": i, "K": 7, "m": z.max()})
    for values in (z, 300 * z):
        torch.testing.assert_close(faq["softmax"](values), values.softmax(dim=0), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(faq["naive_softmax"](z), z.softmax(dim=0), rtol=1e-12, atol=1e-15)
    assert faq["naive_softmax"](1000 + z).isnan().any()


@pytest.mark.proves("f1")
def test_f1(formula):
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        y, guess = torch.randint(0, 2, (2, 40), generator=generator)
        (_, fp), (fn, tp) = metrics.confusion_matrix(y, guess)
        formula("f1").holds({
            "P": metrics.precision_score(y, guess), "R": metrics.recall_score(y, guess),
            "F_1": metrics.f1_score(y, guess), "TP": tp, "FP": fp, "FN": fn})


def test_the_counts_are_those_of_scikit_learn(faq):
    truth = metrics.confusion_matrix(faq["target"], faq["guess"])
    np.testing.assert_array_equal(faq["counts"], truth)
    assert faq["f1"] == pytest.approx(metrics.f1_score(faq["target"], faq["guess"]), rel=1e-12)


def test_first_steps_do_not_depend_on_the_gradient_except_for_sgd():
    def first_step(name, gradient):
        p = torch.zeros(1, requires_grad=True, dtype=torch.float64)
        optimizer = getattr(torch.optim, name)([p], lr=0.1)
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        return -p.item()

    assert first_step("SGD", 100.0) == pytest.approx(10.0)
    for name, step in {"RMSprop": 1.0, "Adagrad": 0.1, "Adam": 0.1, "AdamW": 0.1}.items():
        assert first_step(name, 0.01) == pytest.approx(step, rel=1e-5)
        assert first_step(name, 100.0) == pytest.approx(step, rel=1e-5)


def test_the_polynomials_are_fitted_as_scikit_learn_fits_them(faq):
    x, y = faq["few"]
    w = faq["fit"](x, y, 9, 0.1)
    X = PolynomialFeatures(9).fit_transform(x.numpy())
    truth = np.linalg.solve(X.T @ X + 0.1 * np.eye(10), X.T @ y.numpy())
    np.testing.assert_allclose(w.numpy(), truth, rtol=1e-8)
    assert faq["error"](w, x, y) == pytest.approx(mean_squared_error(y.numpy(), X @ truth), rel=1e-8)


def test_decay_and_more_data_each_narrow_the_gap(faq):
    def gap(data, decay):
        w = faq["fit"](*data, 9, decay)
        return faq["error"](w, *faq["unseen"]) - faq["error"](w, *data)

    overfitted = gap(faq["few"], 0.0)
    assert gap(faq["few"], 0.1) < overfitted / 10
    assert gap(faq["many"], 0.0) < overfitted / 10


def test_memory_by_hand(faq):
    """Float32 inputs of both linear layers; the segment's input alone; nothing. And 16 bytes with Adam."""
    net, batch, saved = faq["net"], faq["batch"], faq["saved_bytes"]
    assert saved(net, batch) == 4 * 256 * (100 + 400)
    assert saved(faq["once_more"], batch) == 4 * 256 * 100
    with torch.no_grad():
        assert saved(net, batch) == 0
    optimizer = torch.optim.Adam(net.parameters())
    net(batch).sum().backward()
    optimizer.step()
    tensors = [t for p in net.parameters() for t in (p, p.grad, *optimizer.state[p].values()) if t.dim()]
    count = sum(p.numel() for p in net.parameters())
    assert sum(t.numel() * t.element_size() for t in tensors) == 16 * count


def test_the_splits_are_disjoint_and_cover_the_data(faq):
    parts = [set(faq[name].indices) for name in ("train", "validation", "test")]
    assert set.union(*parts) == set(range(100))
    assert sum(map(len, parts)) == 100


def test_the_array_and_the_tensor_share_memory(faq):
    faq["tensor"][1] = 5
    assert faq["array"][1] == 5


def test_int8_has_a_quarter_of_the_bytes_and_rounds_each_weight_by_half_a_unit(faq):
    weight, whole, scale = faq["big"].weight, faq["whole"], faq["scale"]
    assert whole.dtype == torch.int8
    assert whole.abs().amax(1).eq(127).all()
    assert ((whole * scale - weight).abs() <= scale / 2 * (1 + 1e-3)).all()
    assert faq["megabytes"](weight, faq["big"].bias) == pytest.approx(4 * (1024**2 + 1024) / 1e6)
    assert faq["megabytes"](whole, scale, faq["big"].bias) == pytest.approx((1024**2 + 2 * 4 * 1024) / 1e6)


def test_a_mask_is_stored_beside_the_weights_and_saves_no_work(faq):
    pruned = faq["pruned"]
    assert (pruned.weight == 0).sum() == 9000
    assert sum(t.numel() for t in pruned.state_dict().values()) == 2 * 100**2 + 100
    assert faq["work"].get_total_flops() == 2 * 100**2


def test_the_mean_of_the_gradients_of_two_halves_is_that_of_the_whole(faq):
    batch, labels = faq["batch"], faq["labels"]
    whole, first, second = (faq["gradients"](batch[rows], labels[rows])
                            for rows in (slice(None), slice(128), slice(128, None)))
    torch.testing.assert_close((first + second) / 2, whole, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(first, whole, atol=1e-6)
