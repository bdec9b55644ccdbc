"""Training on a GPU: to a stated accuracy, and step for step what the CPU does.

Each body is a function of the device, so that tests/dlguide/test_gpu_bodies.py can run the same lines on a CPU.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.data import load
from dlguide.models import CNN, MLP, RNNClassifier
from dlguide.train import History, evaluate, fit, predict

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

MODELS: dict[str, Callable[[], nn.Module]] = {
    "MLP": lambda: MLP(64),
    "CNN": CNN,
    "RNN": lambda: RNNClassifier("RNN"),
    "LSTM": lambda: RNNClassifier("LSTM"),
    "GRU": lambda: RNNClassifier("GRU"),
}
# float64 differs only in the order of additions. In float32 one rounding is 6e-8 of a value, twenty steps let roundings
# grow, and a convolution or a matrix product on a GPU may use TF32 unless it is switched off (`exact` does that).
TOLERANCE = {torch.float64: (1e-9, 1e-11), torch.float32: (1e-3, 1e-4)}  # relative, absolute


@pytest.fixture(autouse=True)
def exact():
    """Compute float32 in float32, not in TF32, and give the settings back."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


def examples(name: str, dtype: torch.dtype, count: int = 128) -> tuple[Tensor, Tensor]:
    x, y = load("digits", layout="rows" if name in ("RNN", "LSTM", "GRU") else "pictures").train.tensors
    return x[:count].to(dtype), y[:count]


def forward_and_gradients(name: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Logits, and the gradient of each parameter, on one batch; moved back to the CPU."""
    torch.manual_seed(0)
    model = MODELS[name]().to(device, dtype)
    x, y = (t.to(device) for t in examples(name, dtype))
    logits = model(x)
    F.cross_entropy(logits, y).backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.device.type == torch.device(device).type for g in gradients)
    return [t.detach().cpu() for t in (logits, *gradients) if t is not None]


def after_twenty_steps(name: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Weights after twenty steps of SGD with momentum: five epochs of four batches by `fit`."""
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)
    part = examples(name, dtype)
    descend = partial(torch.optim.SGD, momentum=0.9)
    history = fit(model, part, part, epochs=5, lr=0.05, batch_size=32, optimizer=descend, device=device, progress=False)
    assert history.best_epoch == 5
    return [p.detach().cpu() for p in model.parameters()]


def train_on_digits(name: str, device: str, epochs: int, lr: float) -> tuple[History, float]:
    """Train on digits and give the history and the accuracy on the test part, looked at once."""
    data = load("digits", layout="rows" if name == "LSTM" else "pictures", standardize=True)
    torch.manual_seed(0)
    model = MODELS[name]()
    history = fit(model, data.train, data.validation, epochs=epochs, lr=lr, device=device, progress=False)
    assert next(model.parameters()).device.type == torch.device(device).type
    x, y = data.test.tensors
    accuracy = evaluate(model, data.test).accuracy
    assert accuracy == pytest.approx((predict(model, x) == y).double().mean().item(), abs=1e-12)
    return history, accuracy


def seeded_run(device: str) -> tuple[Tensor, Tensor]:
    """Train a model with dropout twice from one seed, with draws from the global generator in between."""
    part = examples("MLP", torch.float32)
    weights = []
    for draws in (0, 5):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 10))
        before = torch.rand(draws + 1, device=device)
        fit(model, part, part, epochs=2, lr=0.05, optimizer=torch.optim.SGD, device=device, progress=False)
        assert not torch.equal(before, torch.rand(draws + 1, device=device))
        weights.append(torch.cat([p.detach().flatten().cpu() for p in model.parameters()]))
    return weights[0], weights[1]


def packed_and_alone(cell: str, device: str) -> tuple[Tensor, Tensor]:
    """Logits of sequences packed in one batch, and of each sequence by itself."""
    torch.manual_seed(0)
    model = RNNClassifier(cell).to(device, torch.float64)
    x, _ = examples("LSTM", torch.float64, 4)
    x, lengths = x.to(device), torch.tensor([3, 8, 1, 5], device=device)
    with torch.no_grad():
        alone = torch.cat([model(x[i : i + 1, : int(n)]) for i, n in enumerate(lengths)])
        return model(x, lengths).cpu(), alone.cpu()


def assert_close(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype) -> None:
    relative, absolute = TOLERANCE[dtype]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=relative, atol=absolute)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_forward_and_gradients_equal_the_cpus(name, dtype):
    assert_close(forward_and_gradients(name, "cuda", dtype), forward_and_gradients(name, "cpu", dtype), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_twenty_steps_equal_the_cpus(name, dtype):
    assert_close(after_twenty_steps(name, "cuda", dtype), after_twenty_steps(name, "cpu", dtype), dtype)


def test_cnn_reaches_98_percent():
    history, accuracy = train_on_digits("CNN", "cuda", epochs=30, lr=1e-3)
    assert history.train_loss[-1] < history.train_loss[0]
    assert accuracy >= 0.98


def test_lstm_reaches_95_percent():
    history, accuracy = train_on_digits("LSTM", "cuda", epochs=40, lr=3e-3)
    assert history.train_loss[-1] < history.train_loss[0]
    assert accuracy >= 0.95


def test_dropout_follows_the_seed():
    first, second = seeded_run("cuda")
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_each_alone(cell):
    packed, alone = packed_and_alone(cell, "cuda")
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-11)


def test_auto_takes_the_gpu():
    from dlguide.train import choose_device

    assert choose_device().type == "cuda"
