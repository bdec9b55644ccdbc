"""The bodies of tests/gpu/test_optim.py without a GPU; see test_gpu_layers.py for how."""

import pytest
import torch

from dlguide import optim
from dlguide.optim import lr_scheduler
from tests.dlguide.pretend import pretend
from tests.gpu import test_optim as gpu

WHOLE = [run for run in gpu.RUNS if run[0] != "SparseAdam"]  # a sparse gradient cannot be put on the pretended device


def test_every_optimizer_schedule_and_clip_has_a_case():
    clips = {name for name in optim.__all__ if name.islower()}
    assert set(gpu.OPTIMIZERS) == set(optim.__all__) - clips
    assert set(gpu.CLIPS) == clips
    assert set(gpu.SCHEDULES) == set(lr_scheduler.__all__)


@pytest.mark.parametrize(("name", "options"), WHOLE, ids=str)
def test_optimizer_follows_the_device(name, options):
    with pretend() as device:
        gpu.parity(name, options, device, torch.float64)


@pytest.mark.parametrize(("name", "options"), gpu.RUNS, ids=gpu.IDS)
def test_float32_stays_within_the_stated_tolerance_of_float64(name, options):
    exact, rounded = (gpu.descend(optim, name, options, "cpu", dtype) for dtype in (torch.float64, torch.float32))
    start = [p.detach() for p in gpu.network("cpu", torch.float64).parameters()]
    moved = max((a - b).abs().max().item() for a, b in zip(exact.weights, start, strict=False) if a.shape == b.shape)
    assert moved > 10 * gpu.TOLERANCE[torch.float32][1]  # or else the tolerance would see nothing
    gpu.close([t.double() for t in rounded.weights], exact.weights, torch.float32, name)


@pytest.mark.parametrize(("name", "options"), gpu.RUNS, ids=gpu.IDS)
def test_optimizer_equals_torchs(name, options):
    ours, theirs = (gpu.descend(module, name, options, "cpu", torch.float64) for module in (optim, torch.optim))
    gpu.close(ours.weights, theirs.weights, torch.float64)


@pytest.mark.parametrize("name", gpu.SCHEDULES)
def test_schedule_follows_the_device(name):
    options, made = {"lr": 0.05, "momentum": 0.9}, gpu.scheduler_of(lr_scheduler, name)
    with pretend() as device:
        gpu.parity("SGD", options, device, torch.float64, made)
    theirs = gpu.scheduler_of(torch.optim.lr_scheduler, name)
    rates = [gpu.descend(optim, "SGD", options, "cpu", torch.float64, made).rates for made in (made, theirs)]
    torch.testing.assert_close(*rates)
    assert len(rates[0].unique()) > 1


@pytest.mark.parametrize("name", gpu.CLIPS)
def test_clipping_follows_the_device(name):
    with pretend() as device:
        gpu.close(gpu.clipped(name, device, torch.float64), gpu.clipped(name, "cpu", torch.float64), torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", gpu.FUSED)
def test_fused_foreach_and_loop_agree(name, dtype):
    results = gpu.implementations(name, "cpu", dtype)
    assert len(results) == 4
    for weights in results.values():
        gpu.close(weights, results["loop"], dtype)


def test_a_rate_that_is_a_tensor_follows_its_schedule():
    rates, rate = gpu.rates_on_the_device("cpu")
    torch.testing.assert_close(rates, 0.05 * 0.8 ** torch.arange(gpu.STEPS, dtype=torch.float64), rtol=1e-5, atol=0)
    assert rate.item() == pytest.approx(0.05 * 0.8**gpu.STEPS)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_saved_state_goes_on_bit_for_bit(name):
    for first, second in (gpu.resumed(name, gpu.OPTIMIZERS[name][-1], "cpu"),):
        assert all(map(torch.equal, first, second))
    with pretend() as device:
        first, second = gpu.resumed(name, gpu.OPTIMIZERS[name][-1], device)
        assert all(map(torch.equal, first, second))
