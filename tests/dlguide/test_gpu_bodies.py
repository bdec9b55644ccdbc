"""The bodies of tests/gpu, run on a CPU: so a machine without a GPU still knows that they work."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

gpu = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "gpu" / "test_training.py")))


@pytest.mark.parametrize("name", ["MLP", "CNN", "RNN", "LSTM", "GRU"])
def test_float32_stays_within_the_stated_tolerance_of_float64(name):
    """A CPU has no second device to compare with, but it has a second precision: that bounds what roundings do."""
    for body in (gpu.forward_and_gradients, gpu.after_twenty_steps):
        exact, rounded = body(name, "cpu", torch.float64), body(name, "cpu", torch.float32)
        assert {t.dtype for t in exact} == {torch.float64}
        assert {t.dtype for t in rounded} == {torch.float32}
        gpu.assert_close([t.double() for t in rounded], exact, torch.float32)


@pytest.mark.parametrize(("name", "epochs", "lr", "least"), [("CNN", 10, 1e-3, 0.97), ("LSTM", 20, 3e-3, 0.95)])
def test_models_train(name, epochs, lr, least):
    history, accuracy = gpu.train_on_digits(name, "cpu", epochs, lr)
    assert len(history.train_loss) == epochs
    assert accuracy >= least


def test_dropout_follows_the_seed():
    first, second = gpu.seeded_run("cpu")
    assert torch.equal(first, second)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_each_alone(cell):
    packed, alone = gpu.packed_and_alone(cell, "cpu")
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-12)
