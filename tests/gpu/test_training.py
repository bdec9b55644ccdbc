"""Models and training on a GPU: to a stated accuracy, and step for step what the CPU does.

Each body is a function of the device, so that tests/dlguide/test_gpu_training.py can run the same lines on a CPU.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dlguide.data import TensorBatches, load
from dlguide.models import CNN, MLP, ResNet, RNNClassifier
from dlguide.train import EMA, Checkpoint, EarlyStopping, Trainer, choose_device, evaluate, fit, predict, resume
from tests.gpu.model_cases import MODEL_CASES
from tests.gpu.parity import DEEP, DTYPES, assert_close, exact, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

MODELS: dict[str, Callable[[], nn.Module]] = {
    "MLP": lambda: MLP(64),
    "CNN": CNN,
    "ResNet": lambda: ResNet(8, in_channels=1),
    "RNN": lambda: RNNClassifier("RNN"),
    "LSTM": lambda: RNNClassifier("LSTM"),
    "GRU": lambda: RNNClassifier("GRU"),
}
ROWS = ("RNN", "LSTM", "GRU")
# What each must reach on the test part of the digits: epochs, learning rate, accuracy.
GOALS = {"CNN": (30, 1e-3, 0.98), "ResNet": (30, 3e-3, 0.98), "LSTM": (40, 3e-3, 0.95)}


def examples(name: str, dtype: torch.dtype, count: int = 128) -> tuple[Tensor, Tensor]:
    x, y = load("digits", layout="rows" if name in ROWS else "pictures").train.tensors
    return x[:count].to(dtype), y[:count]


def model_parity(case, device: str, dtype: torch.dtype) -> None:
    with exact():
        assert_close(run(case, device, dtype), run(case, "cpu", dtype), dtype, DEEP)


def after_twenty_steps(name: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Weights after twenty steps of SGD with momentum: five epochs of four batches by `fit`."""
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)
    part = examples(name, dtype)
    descend = partial(torch.optim.SGD, momentum=0.9)
    history = fit(model, part, part, epochs=5, lr=0.05, batch_size=32, optimizer=descend, device=device, progress=False)
    assert history.best_epoch == 5
    return [p.detach().cpu() for p in model.parameters()]


def train_on_digits(name: str, device: str, epochs: int, lr: float, **options) -> tuple[Trainer, float]:
    """Train on digits, all tensors on the device, and give the accuracy on the test part, looked at once."""
    data = load("digits", layout="rows" if name in ROWS else "pictures", standardize=True)
    torch.manual_seed(0)
    model = MODELS[name]()
    trainer = Trainer(model, torch.optim.Adam(model.parameters(), lr=lr), device=device, **options)
    train, validation, test = (
        TensorBatches(part, size, shuffle=size == 32, device=device)
        for part, size in ((data.train, 32), (data.validation, 1024), (data.test, 1024))
    )
    history = trainer.fit(train, validation, epochs=epochs)
    assert {p.device.type for p in model.parameters()} == {torch.device(device).type}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert history.train_loss[-1] < history.train_loss[0]
    accuracy = trainer.evaluate(test)["accuracy"]
    if trainer.dtype is None:
        assert accuracy == pytest.approx(evaluate(model, data.test).accuracy, abs=1e-12)
        x, y = data.test.tensors
        assert accuracy == pytest.approx((predict(model, x) == y).double().mean().item(), abs=1e-12)
    return trainer, accuracy


def seeded_run(device: str, deterministic: bool = False) -> tuple[Tensor, Tensor]:
    """Train a model with dropout twice from one seed, with draws from the global generator in between."""
    train = load("digits").train
    weights = []
    for draws in (0, 5):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 32), nn.Dropout(0.5), nn.Linear(32, 10)
        )
        before = torch.rand(draws + 1, device=device)
        trainer = Trainer(
            model, torch.optim.SGD(model.parameters(), lr=0.05), device=device, deterministic=deterministic
        )
        trainer.fit(TensorBatches(train, 64, shuffle=True, device=device), epochs=2)
        assert not torch.equal(before, torch.rand(draws + 1, device=device))
        assert not torch.are_deterministic_algorithms_enabled()
        weights.append(torch.cat([p.detach().flatten().cpu() for p in model.parameters()]))
    return weights[0], weights[1]


def stopped_and_resumed(device: str, folder, precision: str = "float32") -> tuple[list[Tensor], list[Tensor]]:
    """Weights of a run of 30 steps, and of one that stopped after 12 of them and went on from its checkpoint."""
    data, ends = load("digits"), []
    for steps in ((30,), (12, 30)):
        where = folder / str(len(steps))
        for limit in steps:
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.3), nn.ReLU(), nn.Linear(32, 10))
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
            trainer = Trainer(
                model, optimizer, device=device, precision=precision, clip=1.0, deterministic=True,
                scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30),
                callbacks=[EMA(0.9), EarlyStopping(5), Checkpoint(where)],
            )  # fmt: skip
            assert resume(trainer, where) == (limit == 30 and len(steps) == 2)
            train = TensorBatches(data.train, 128, shuffle=True, device=device)
            trainer.fit(train, TensorBatches(data.validation, 512, device=device), steps=limit)
        ends.append([t.cpu() for t in trainer.model.state_dict().values()])
    return ends[0], ends[1]


def packed_and_alone(cell: str, device: str) -> tuple[Tensor, Tensor]:
    """Logits of sequences packed in one batch, and of each sequence by itself."""
    torch.manual_seed(0)
    model = RNNClassifier(cell).to(device, torch.float64)
    x, _ = examples("LSTM", torch.float64, 4)
    x, lengths = x.to(device), torch.tensor([3, 8, 1, 5], device=device)
    with torch.no_grad():
        alone = torch.cat([model(x[i : i + 1, : int(n)]) for i, n in enumerate(lengths)])
        return model(x, lengths).cpu(), alone.cpu()


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("case", MODEL_CASES, ids=str)
def test_model_equals_the_cpus(case, dtype):
    model_parity(case, "cuda", dtype)


@pytest.mark.parametrize(("name", "dtype"), [
    *[(name, torch.float64) for name in MODELS],
    *[(name, torch.float32) for name in MODELS if name != "ResNet"],  # BatchNorm lets roundings grow from step to step
], ids=str)
def test_twenty_steps_equal_the_cpus(name, dtype):
    with exact():
        ours, cpus = (after_twenty_steps(name, device, dtype) for device in ("cuda", "cpu"))
    assert_close(ours, cpus, dtype, DEEP)


@pytest.mark.parametrize("name", GOALS)
def test_reaches_the_stated_accuracy(name, record_property):
    epochs, lr, least = GOALS[name]
    _, accuracy = train_on_digits(name, "cuda", epochs, lr)
    record_property("accuracy", accuracy)
    assert accuracy >= least


def test_dropout_follows_the_seed():
    first, second = seeded_run("cuda")
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_deterministic_runs_end_with_the_same_bits():
    first, second = seeded_run("cuda", deterministic=True)
    assert torch.equal(first, second)


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, precision):
    first, second = stopped_and_resumed("cuda", tmp_path, precision)
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_each_alone(cell):
    packed, alone = packed_and_alone(cell, "cuda")
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-11)


def test_auto_takes_the_gpu():
    assert choose_device().type == "cuda"
