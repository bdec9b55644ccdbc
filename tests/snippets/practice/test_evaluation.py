"""Proofs of the formulas of practice/evaluation against scikit-learn and torchmetrics, and its exercises."""

import itertools
import math

import pytest
import torch
from scipy import stats
from sklearn import metrics as truth
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import multiclass_calibration_error

from dlguide.train import evaluate

PAGE = "practice/evaluation"
GENERATOR = torch.Generator().manual_seed(7)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def classes(n, k):
    return torch.randint(k, (n,), generator=GENERATOR)


def answers(n=60, k=4):
    """Targets, and predictions that are right more often than not."""
    targets = classes(n, k)
    return targets, torch.where(torch.rand(n, generator=GENERATOR) < 0.6, targets, classes(n, k))


def one_hot(labels, k):
    return F.one_hot(labels, k).double()


@pytest.mark.proves("mean-loss")
def test_mean_loss(formula):
    logits, targets = numbers(23, 5), classes(23, 5)
    cuts = list(zip(logits.split(8), targets.split(8), strict=True))
    means = torch.stack([F.cross_entropy(z, y) for z, y in cuts])
    whole = F.cross_entropy(logits, targets)
    formula("mean-loss").holds({"L": whole, "N": 23, "B": 3, "n": torch.tensor([8.0, 8.0, 7.0]), r"\ell": means})
    assert not torch.isclose(means.mean(), whole)


@pytest.mark.proves("confusion")
def test_confusion(formula):
    targets, predictions = answers()
    matrix = torch.tensor(truth.confusion_matrix(targets, predictions)).double()
    assert not torch.equal(matrix, matrix.T)
    formula("confusion").holds({"M": matrix, "Y": one_hot(targets, 4), r"\hat Y": one_hot(predictions, 4)})


@pytest.mark.proves("precision-recall", "averages")
def test_precision_recall_and_averages(formula):
    targets, predictions = answers()
    precision, recall, f1, _ = (
        torch.as_tensor(v).double() for v in truth.precision_recall_fscore_support(targets, predictions))
    names = {"M": torch.tensor(truth.confusion_matrix(targets, predictions)).double(), "K": 4, "N": 60,
             "P": precision, "R": recall, "F": f1}
    for k in range(1, 5):
        formula("precision-recall").holds({**names, "k": k})
    formula("averages").holds({
        **names, "A": truth.accuracy_score(targets, predictions),
        r"F_{\text{macro}}": truth.f1_score(targets, predictions, average="macro"),
        r"F_{\text{micro}}": truth.f1_score(targets, predictions, average="micro")})
    for score in (truth.precision_score, truth.recall_score):  # the text says it of these too
        assert score(targets, predictions, average="micro") == truth.accuracy_score(targets, predictions)


@pytest.mark.proves("area")
def test_area(formula):
    for ties in (False, True):
        scores, positive = numbers(40), classes(40, 2).bool()
        scores = (2 * scores).round() if ties else scores
        formula("area").holds({"A": truth.roc_auc_score(positive, scores), "p": positive.sum().item(),
                               "q": (~positive).sum().item(), "s": scores[positive], "t": scores[~positive]})


@pytest.mark.proves("standard-error")
def test_standard_error(formula):
    for a, n in ((0.9, 50), (0.3, 7)):
        formula("standard-error").holds({r"\sigma": stats.binom(n, a).std() / n, "a": a, "n": n})


@pytest.mark.proves("calibration-error")
def test_calibration_error(formula, page):
    logits, targets = 2 * numbers(200, 5), classes(200, 5)
    probabilities = logits.softmax(1)
    confidence, predictions = probabilities.max(1)
    for bins in (10, 7):
        torchs = multiclass_calibration_error(probabilities, targets, num_classes=5, n_bins=bins, norm="l1")
        error, groups = page(PAGE)["calibration_error"](confidence, predictions == targets, bins)
        c, a, n = (torch.tensor(values, dtype=torch.float64) for values in zip(*groups, strict=True))
        formula("calibration-error").holds(
            {"E": torchs.double(), "G": len(groups), "n": n, "N": 200, "a": a, "c": c}, rtol=1e-5)
        assert error == pytest.approx(torchs.item(), rel=1e-5)


@pytest.mark.proves("temperature")
def test_temperature(formula):
    z = numbers(5)
    for k, T in itertools.product(range(1, 6), (0.5, 3.0)):
        formula("temperature").holds({r"\pi": (z / T).softmax(0), "z": z, "T": T, "K": 5, "k": k})


@pytest.mark.proves("best-temperature")
def test_best_temperature(formula, page):
    logits, targets = 3 * numbers(50, 4), classes(50, 4)
    logits[torch.arange(50), targets] += 2.0
    T = page(PAGE)["temperature"](logits, targets)
    formula("best-temperature").holds({"Y": one_hot(targets, 4), "z": logits, r"\pi": (logits / T).softmax(1),
                                       "N": 50, "K": 4}, rtol=1e-7)
    best = F.cross_entropy(logits / T, targets)
    assert all(F.cross_entropy(logits / (T * factor), targets) > best for factor in (0.9, 0.99, 1.01, 1.1))


@pytest.mark.proves("optimism")
def test_optimism(formula):
    """The mean of the best of m binomial numbers, from its exact distribution."""
    for m, n in itertools.product((1, 2, 10, 1000, 100_000), (10, 100, 1000)):
        at_most = stats.binom(n, 0.5).cdf(range(n))
        best = 1 - (at_most**m).sum() / n
        names = {r"\operatorname{E}[a^*]": best, "m": m, "n": n}
        formula("optimism").holds(names, atol=1e-12)
        above = (formula("optimism").right(names) - 0.5).item()
        assert min(m, n) < 1000 or 1 < above / (best - 0.5) < 1.4  # the bound is no mere formality


def test_optimism_drawn_is_the_exact_one(page):
    names = page(PAGE)
    for m, found in zip(names["tries"].tolist(), names["expected"], strict=True):
        assert found == pytest.approx(1 - (stats.binom(100, 0.5).cdf(range(100)) ** m).sum() / 100, abs=1e-9)


def test_the_loop_does_not_depend_on_the_batches(page):
    names = page(PAGE)
    model, test = names["model"], names["test"]
    x, y = test.tensors
    whole = evaluate(model, (x, y))
    for size in (1, 7, 360):
        loss, accuracy, logits, targets = names["evaluate"](model, DataLoader(test, batch_size=size))
        assert loss == pytest.approx(whole.loss, rel=1e-6)
        assert accuracy == pytest.approx(whole.accuracy, rel=1e-12)
        assert torch.equal(targets, y)
        assert not logits.requires_grad
        assert torch.equal(logits.argmax(1), logits.softmax(1).argmax(1))


def test_batchnorm_needs_eval():
    """In training mode the answer for one picture depends on its batch, and the averages move."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()
    x = numbers(10, 4)
    before = net[1].running_mean.clone()
    with torch.no_grad():
        assert not torch.allclose(net(x)[:2], net(x[:2]))
        assert not torch.equal(net[1].running_mean, before)
        net.eval()
        after = net[1].running_mean.clone()
        torch.testing.assert_close(net(x)[:2], net(x[:2]))
    assert torch.equal(net[1].running_mean, after)


def test_results_of_inference_mode_take_no_part_in_a_gradient():
    w = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        x = torch.ones(3) * 2
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        w * x
    with torch.no_grad():
        x = torch.ones(3) * 2
    (w * x).sum().backward()
    assert torch.equal(w.grad, x)


def test_metrics_over_batches(page):
    """torchmetrics agrees with scikit-learn; the mean of the batches does not."""
    names = page(PAGE)
    *_, logits, targets = names["evaluate"](names["model"], DataLoader(names["test"], batch_size=360))
    predictions = logits.argmax(1)
    expected = truth.f1_score(targets, predictions, average="macro")
    assert names["whole"]["F1"] == pytest.approx(expected, rel=1e-6)
    assert names["whole"]["accuracy"] == pytest.approx(truth.accuracy_score(targets, predictions), rel=1e-6)
    assert names["f1"].mean().item() == pytest.approx(expected, rel=1e-12)
    assert abs(sum(names["each"]) / len(names["each"]) - expected) > 0.02
    assert torch.equal(names["matrix"], torch.tensor(truth.confusion_matrix(targets, predictions)).double())


def test_all_negative():
    labels, no = [1] + [0] * 9, [0] * 10
    assert truth.accuracy_score(labels, no) == 0.9
    assert truth.recall_score(labels, no) == 0
    assert truth.f1_score(labels, no) == 0


def test_the_overconfident_network(page):
    """Its confidence is above its accuracy, larger logits lower its training loss, one temperature mends it."""
    names = page(PAGE)
    assert names["confidence"].mean() - names["accuracy"] > 0.08
    assert names["after"] < 0.6 * names["before"]
    assert names["T"] > 1.5
    with torch.no_grad():
        logits = names["wide"](names["x"].double())
    assert (logits.argmax(1) == names["y"]).all()  # wrong labels too
    assert F.cross_entropy(2 * logits, names["y"]) < F.cross_entropy(logits, names["y"])


def test_the_best_of_many_is_lucky(page):
    names = page(PAGE)
    best = names["best"]
    assert names["tested"][best] > 0.63
    assert abs(names["fresh"][best] - 0.5) < 4 * 0.5 / 100


def test_chosen_columns_leak(page):
    """Over many draws: half without the leak, far more with it."""
    selected = page(PAGE)["selected"]
    means = []
    for rows in (torch.arange(200), torch.arange(100)):
        scores = []
        for _ in range(20):
            x, y = numbers(200, 500), classes(200, 2).double()
            columns = selected(x, y, rows)
            w = torch.linalg.lstsq(x[:100][:, columns], y[:100] * 2 - 1).solution
            scores.append(((x[100:][:, columns] @ w > 0) == y[100:].bool()).double().mean())
        means.append(torch.stack(scores).mean().item())
    assert means[0] > 0.65
    assert abs(means[1] - 0.5) < 4 * 0.5 / math.sqrt(2000)


def test_shapes_that_do_not_match(page):
    names = page(PAGE)
    assert names["wrong"].shape == (4, 4)
    assert names["right"].shape != names["wrong"].shape


def check_macro(macro_f1):
    targets, predictions = classes(50, 3), classes(50, 3)  # class 3 occurs nowhere
    cases = [(targets, predictions, 3), (targets, predictions, 4), (targets, targets, 3)]
    return all(
        math.isclose(macro_f1(list(zip(p.split(size), t.split(size), strict=True)), k),
                     truth.f1_score(t, p, average="macro", labels=list(range(k)), zero_division=0), rel_tol=1e-12)
        for t, p, k in cases for size in (7, 50))


def test_exercise_macro(page):
    names = page(PAGE)
    assert check_macro(names["macro_f1"])

    def mean_of_batches(batches, k):
        scores = [truth.f1_score(t, p, average="macro", labels=list(range(k)), zero_division=0) for p, t in batches]
        return sum(scores) / len(scores)

    def micro(batches, k):
        return sum((p == t).sum().item() for p, t in batches) / sum(len(t) for _, t in batches)

    def f1_of_the_means(batches, k):  # of mean precision and mean recall
        p, t = (torch.cat(parts) for parts in zip(*batches, strict=True))
        mean = [score(t, p, average="macro", labels=list(range(k)), zero_division=0)
                for score in (truth.precision_score, truth.recall_score)]
        return 2 * mean[0] * mean[1] / sum(mean)

    assert not check_macro(mean_of_batches)
    assert not check_macro(micro)
    assert not check_macro(f1_of_the_means)


def check_wilson(wilson):
    for right, n in ((50, 50), (0, 9), (324, 360), (1, 3)):
        found = stats.binomtest(right, n).proportion_ci(confidence_level=2 * stats.norm.cdf(1.5) - 1, method="wilson")
        if not torch.allclose(torch.tensor(wilson(right, n, 1.5)).double(), torch.tensor(found).double(), atol=1e-12):
            return False
    return True


def test_exercise_wilson(page):
    assert check_wilson(page(PAGE)["wilson"])

    def plain(right, n, w):
        a = right / n
        reach = w * (a * (1 - a) / n) ** 0.5
        return a - reach, a + reach

    def not_moved(right, n, w):
        low, high = page(PAGE)["wilson"](right, n, w)
        reach = (high - low) / 2
        return right / n - reach, right / n + reach

    assert not check_wilson(plain)
    assert not check_wilson(not_moved)
