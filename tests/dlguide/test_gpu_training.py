"""The bodies of tests/gpu/test_training.py and test_data.py without a GPU; see test_gpu_layers.py for how."""

import pytest
import torch
from torch import nn

from dlguide import models
from tests.dlguide.pretend import pretend
from tests.gpu import test_data, test_training
from tests.gpu.model_cases import MODEL_CASES
from tests.gpu.parity import DEEP, assert_close, run


def test_every_model_has_a_case():
    public = [(name, getattr(models, name)) for name in models.__all__]
    names = {name for name, made in public if isinstance(made, type) and issubclass(made, nn.Module)}
    assert names == {case.name for case in MODEL_CASES}, "add the new model to tests/gpu/model_cases.py"


@pytest.mark.parametrize("case", MODEL_CASES, ids=str)
def test_model_follows_the_device_and_float32_stays_within_its_tolerance(case):
    with pretend() as device:
        test_training.model_parity(case, device, torch.float64)
    exact, rounded = ([t.double() for t in run(case, "cpu", dtype)] for dtype in (torch.float64, torch.float32))
    assert_close(rounded, exact, torch.float32, DEEP)


@pytest.mark.parametrize("name", [name for name in test_training.MODELS if name != "ResNet"])
def test_twenty_steps_in_float32_stay_within_their_tolerance(name):
    exact, rounded = (test_training.after_twenty_steps(name, "cpu", dtype) for dtype in (torch.float64, torch.float32))
    assert {t.dtype for t in rounded} == {torch.float32}
    assert_close([t.double() for t in rounded], exact, torch.float32, DEEP)


@pytest.mark.parametrize(("name", "epochs", "least"), [("CNN", 6, 0.97), ("ResNet", 2, 0.95), ("LSTM", 12, 0.93)])
def test_models_train(name, epochs, least):
    trainer, accuracy = test_training.train_on_digits(name, "cpu", epochs, test_training.GOALS[name][1])
    assert trainer.epoch == epochs
    assert accuracy >= least


@pytest.mark.parametrize("deterministic", [False, True])
def test_runs_end_with_the_same_bits(deterministic):
    first, second = test_training.seeded_run("cpu", deterministic)
    assert torch.equal(first, second)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, precision):
    first, second = test_training.stopped_and_resumed("cpu", tmp_path, precision)
    assert len(first) == 4
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_each_alone(cell):
    packed, alone = test_training.packed_and_alone(cell, "cpu")
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", test_data.AUGMENTS)
def test_augmentation_follows_the_device_and_the_seed(name):
    with pretend() as device:
        assert torch.equal(test_data.augmented(name, device), test_data.augmented(name, "cpu"))
    assert not torch.equal(test_data.augmented(name, "cpu"), test_data.pictures())
    first, again, other = test_data.drawn_there(name, "cpu")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_three_ways_give_the_same_batches():
    with pretend() as device:
        given = test_data.batches(device)
    assert len(given[0]) == 8
    for other in given[1:]:
        assert all(torch.equal(a, b) for ours, theirs in zip(given[0], other, strict=True)
                   for a, b in zip(ours, theirs, strict=True))  # fmt: skip
