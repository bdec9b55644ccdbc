"""dlguide.train against a loop written by hand, scikit-learn's counts, and models built to expose a mistake."""

import ast
import builtins
import inspect
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.data import load
from dlguide.models import CNN, MLP, RNNClassifier
from dlguide.train import choose_device, evaluate, fit, predict
from dlguide.train.history import History


def made(n=50, features=6, classes=3, seed=0, dtype=torch.float64):
    """Points whose class is the largest of their first numbers: a net can learn it."""
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return x, x[:, :classes].argmax(1)


def net(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return MLP(6, (8,), 3).to(dtype)


quick = partial(fit, device="cpu", progress=False)


# ---- the loop


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.SGD, partial(torch.optim.SGD, momentum=0.9), torch.optim.Adam, torch.optim.RMSprop],
    ids=["SGD", "momentum", "Adam", "RMSprop"],
)
def test_fit_equals_a_loop_written_by_hand(optimizer):
    """Same batches, same steps, same weights; the best epoch is the last because both parts are the same here."""
    x, y = made()
    ours, by_hand = net(), net()
    history = quick(ours, (x, y), (x, y), epochs=4, lr=0.05, batch_size=16, optimizer=optimizer, seed=5)

    update = optimizer(by_hand.parameters(), lr=0.05)
    order = torch.Generator().manual_seed(5)
    losses = []
    for _ in range(4):
        total = 0.0
        shuffled = torch.randperm(50, generator=order)
        for start in range(0, 50, 16):  # the last batch has 2 examples
            rows = shuffled[start : start + 16]
            update.zero_grad()
            loss = F.cross_entropy(by_hand(x[rows]), y[rows])
            loss.backward()
            update.step()
            total += loss.item() * len(rows)
        losses.append(total / 50)
    assert history.best_epoch == 4
    for a, b in zip(ours.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)
    assert history.train_loss == pytest.approx(losses, rel=1e-6)  # fit adds the losses up in float32


def test_best_weights_come_back_when_the_model_gets_worse():
    """The validation labels contradict the training labels, so each epoch makes the validation loss worse."""
    x, y = made(60, classes=2)
    wrong = 1 - y

    def linear():
        model = nn.Linear(6, 2).double()
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        return model

    descend = partial(quick, lr=0.1, batch_size=60, optimizer=torch.optim.SGD)
    model, after_one_epoch = linear(), linear()
    descend(after_one_epoch, (x, y), (x, y), epochs=1)
    history = descend(model, (x, y), (x, wrong), epochs=30)
    assert history.validation_loss == sorted(history.validation_loss)  # it only gets worse
    assert history.validation_loss[-1] > history.validation_loss[0] + 0.05
    assert history.best_epoch == 1
    for a, b in zip(model.parameters(), after_one_epoch.parameters(), strict=True):
        assert torch.equal(a, b)
    assert evaluate(model, (x, wrong)).loss == history.validation_loss[0]


def test_buffers_belong_to_the_best_weights():
    x, y = made(64)
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    quick(model, (x, y), (x, (y + 1) % 3), epochs=5, lr=0.5, batch_size=16)
    assert model[0].num_batches_tracked == 4  # those of epoch 1, not of epoch 5


def test_history_counts_what_happened():
    x, y = made(64)
    model = net()
    history = quick(model, (x, y), (x, y), epochs=7, lr=0.01)
    columns = (history.train_loss, history.train_accuracy, history.validation_loss, history.validation_accuracy)
    assert [len(column) for column in columns] == [7] * 4
    assert history.validation_loss[history.best_epoch - 1] == min(history.validation_loss)
    scores = evaluate(model, (x, y))
    assert scores.loss == min(history.validation_loss)
    assert scores.accuracy == history.validation_accuracy[history.best_epoch - 1]


def test_one_seed_gives_the_same_bits_and_another_does_not():
    x, y = made(dtype=torch.float32)

    def weights(seed):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 3))
        torch.rand(seed)  # whatever the reader drew in between has no part in it
        quick(model, (x, y), (x, y), epochs=3, lr=0.05, batch_size=8, seed=seed)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_global_generator_is_given_back():
    x, y = made(dtype=torch.float32)
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3))
    before = torch.get_rng_state()
    quick(model, (x, y), (x, y), epochs=2)
    assert torch.equal(before, torch.get_rng_state())


def test_modes_while_training_and_after():
    x, y = made(dtype=torch.float32)
    modes = []

    class Watched(nn.Linear):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    model = Watched(6, 3)
    model.eval()  # fit must switch to training by itself
    quick(model, (x, y), (x[:5], y[:5]), epochs=2, batch_size=25)
    assert modes == [(True, True), (True, True), (False, False)] * 2
    assert not model.training


def test_dlguides_own_optimizers_fit_the_loop():
    import dlguide.optim as optim

    x, y = made()
    for name, options in (("SGD", {"momentum": 0.9}), ("RMSprop", {}), ("Adagrad", {}), ("Adam", {}), ("AdamW", {})):
        ours, theirs = net(), net()
        quick(
            ours, (x, y), (x, y), epochs=3, lr=0.01, batch_size=16, optimizer=partial(getattr(optim, name), **options)
        )
        quick(
            theirs,
            (x, y),
            (x, y),
            epochs=3,
            lr=0.01,
            batch_size=16,
            optimizer=partial(getattr(torch.optim, name), **options),
        )
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_several_inputs_go_to_the_model_together():
    """Sequences with lengths: rows of zeros after the length must not matter."""
    x, y = load("digits", layout="rows").validation.tensors
    lengths = torch.full((len(y),), 8)
    padded = torch.cat([x, torch.ones(len(y), 4, 8)], dim=1)
    torch.manual_seed(0)
    plain = RNNClassifier("GRU", hidden_size=16)
    torch.manual_seed(0)
    packed = RNNClassifier("GRU", hidden_size=16)
    quick(plain, (x, y), (x, y), epochs=1, lr=0.01)
    quick(packed, TensorDataset(padded, lengths, y), TensorDataset(padded, lengths, y), epochs=1, lr=0.01)
    for a, b in zip(plain.parameters(), packed.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert torch.equal(predict(plain, x), predict(packed, padded, lengths))


@pytest.mark.parametrize(
    ("model", "layout", "least"),
    [
        (lambda: MLP(64), "pictures", 0.95),
        (lambda: CNN(), "pictures", 0.95),
        (lambda: RNNClassifier("GRU"), "rows", 0.9),
    ],
    ids=["MLP", "CNN", "GRU"],
)
def test_digits_are_learned(model, layout, least):
    data = load("digits", layout=layout)
    torch.manual_seed(0)
    trained = model()
    quick(trained, data.train, data.validation, epochs=15, lr=0.01)
    assert evaluate(trained, data.test).accuracy > least


# ---- evaluate and predict


def test_evaluate_equals_scikit_learn():
    x, y = made(70)
    model = net(3)
    with torch.no_grad():
        p = model(x).softmax(1).numpy()
    scores = evaluate(model, (x, y), batch_size=32)
    assert scores.accuracy == pytest.approx(accuracy_score(y.numpy(), p.argmax(1)), abs=1e-15)
    assert scores.loss == pytest.approx(log_loss(y.numpy(), p), rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_evaluation_does_not_depend_on_the_batch_even_with_batchnorm_and_dropout(batch_size):
    x, y = made(70)
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    model.train()
    with torch.no_grad():
        assert not torch.equal(model(x)[:7], model(x[:7]))  # in train mode it does depend on it
    whole = evaluate(model, (x, y), batch_size=70)
    buffers = [b.clone() for b in model.buffers()]
    parts = evaluate(model, (x, y), batch_size=batch_size)
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert torch.equal(predict(model, x, batch_size=batch_size), predict(model, x))
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))
    assert model.training  # the mode is what it was


def test_predict_gives_classes_on_the_cpu_without_gradients():
    x, _ = made(30)
    classes = predict(net(), x, batch_size=8)
    assert classes.dtype == torch.int64
    assert classes.shape == (30,)
    assert not classes.requires_grad
    with pytest.raises(ValueError, match=r"expected inputs of one length, got lengths \[30, 3\]"):
        predict(net(), x, x[:3])


def test_mode_comes_back_after_an_error():
    model = net()
    model.train()
    with pytest.raises(RuntimeError):
        evaluate(model, (torch.zeros(2, 1, 6).int(), torch.tensor([0, 1])))
    assert model.training


# ---- devices


def test_devices_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"'auto' or 'cpu' or 'cuda:0' or 'cuda:1', got 'cuda:2'"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device() == choose_device("cpu") == choose_device(torch.device("cpu"))
    for name in ("cuda", "mps", "gpu", "tpu", "meta"):
        with pytest.raises(ValueError, match=f"expected a device that is here, 'auto' or 'cpu', got '{name}'"):
            choose_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == choose_device("mps") == torch.device("mps")


# ---- wrong input


X, Y = made(20, dtype=torch.float32)


class Returns(nn.Module):
    """A model that returns what it is told to, whatever it is given."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.make(x) + self.weight


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            {"train": (X, Y.float())},
            TypeError,
            r"targets of train as torch.int64 class indices, got torch.float32: use y.long",
        ),
        (
            {"train": (X, Y[:5])},
            ValueError,
            r"expected train as x \[N, ...\] and y \[N\] .* got shapes \[\[20, 6\], \[5\]\]",
        ),
        ({"train": (X, F.one_hot(Y))}, ValueError, r"got shapes \[\[20, 6\], \[20, 3\]\]"),
        ({"train": (X[:0], Y[:0])}, ValueError, "one N of 1 or more"),
        ({"train": (X, Y - 1)}, ValueError, "count from 0, got -1"),
        (
            {"train": (X.double(), Y)},
            TypeError,
            r"the model's dtype torch.float32, got torch.float64: use x.to\(torch.float32\)",
        ),
        ({"train": X}, TypeError, r"a TensorDataset or a tuple \(x, y\) of tensors, got Tensor"),
        ({"train": torch.utils.data.DataLoader(TensorDataset(X, Y))}, TypeError, "got DataLoader"),
        ({"validation": (X, Y.float())}, TypeError, "targets of validation"),
        ({"epochs": 0}, ValueError, "expected epochs >= 1"),
        ({"batch_size": 0}, ValueError, "batch_size >= 1"),
        ({"lr": 0.0}, ValueError, "lr > 0"),
        ({"lr": float("nan")}, ValueError, "lr > 0"),
        ({"device": "gpu"}, ValueError, "expected a device that is here"),
        ({"validation": (X, Y + 7)}, ValueError, r"at least 10 logits .* the highest target is 9, got 3"),
        ({"model": MLP(6, (), 2)}, ValueError, r"at least 3 logits .* the highest target is 2, got 2"),
        (
            {"model": Returns(lambda x: torch.zeros(25, 3))},
            ValueError,
            r"\[20, classes\] for 20 examples, got \[25, 3\]",
        ),
        ({"model": Returns(lambda x: torch.zeros(20))}, ValueError, "must keep the batch dimension"),
        (
            {"model": Returns(lambda x: torch.full((20, 3), torch.nan))},
            FloatingPointError,
            r"the loss is nan in step 1 \(epoch 1\): .* the output of the model is not",
        ),
    ],
)
def test_wrong_input_gets_one_clear_sentence(change, error, sentence):
    arguments = {"model": MLP(6, (8,), 3), "train": (X, Y), "validation": (X, Y)} | change
    with pytest.raises(error, match=sentence) as caught:
        fit(**({"device": "cpu", "progress": False} | arguments))
    assert "\n" not in str(caught.value)


def test_a_step_too_large_is_named():
    with pytest.raises(FloatingPointError, match=r"lower lr \(now 1e\+30\)"):
        quick(MLP(6, (8,), 3), (X, Y), (X, Y), lr=1e30, epochs=5, optimizer=torch.optim.SGD)


# ---- the bar, the picture, the imports


def test_silent_when_not_on_a_terminal(capsys):
    fit(net(), made(), made(), epochs=2, device="cpu", progress=True)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_a_bar_and_can_switch_it_off(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit(net(), made(), made(), epochs=2, device="cpu")
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "validation_accuracy" in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit(net(), made(), made(), epochs=2, device="cpu", progress=False)
    assert capsys.readouterr() == ("", "")


def test_works_without_tqdm(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert len(fit(net(), made(), made(), epochs=3, device="cpu").train_loss) == 3


def test_importing_needs_only_torch():
    """A machine with a GPU often has torch, torchvision, numpy, scikit-learn and pytest, and nothing else."""
    program = """
import sys
import dlguide.data, dlguide.models, dlguide.train
print(sorted({"tqdm", "matplotlib", "torchvision", "sklearn"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(result.stdout)) <= {"tqdm"}  # torch itself may import tqdm


def test_history_draws_its_curves():
    import matplotlib.pyplot as plt

    history = History([2.0, 1.0], [0.2, 0.6], [1.8, 1.2], [0.3, 0.5], best_epoch=2)
    figure = history.plot()
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "best epoch"]
    assert list(np.asarray(loss.lines[0].get_ydata())) == [2.0, 1.0]
    assert list(np.asarray(accuracy.lines[1].get_ydata())) == [0.3, 0.5]
    assert accuracy.get_ylabel() == "accuracy"
    plt.close(figure)


def test_the_loop_never_sees_a_test_part():
    assert "test" not in inspect.signature(fit).parameters
