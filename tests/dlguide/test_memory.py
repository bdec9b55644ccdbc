"""The counters of bytes, against sums by hand and against PyTorch's own profiler."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dlguide.memory import MemoryMeter, TrainingBytes, saved_bytes, training_bytes


def network(width=32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 5))


def profiled_peak(run):
    """The most bytes that PyTorch's CPU allocator gave out at once, as its profiler tells it."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        run()
    total = peak = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert events
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


@pytest.mark.parametrize("depth", [1, 6])
def test_the_meter_agrees_with_the_profiler(depth):
    """On a network whose kernels need no memory of their own; the allocator rounds each tensor up."""
    torch.manual_seed(0)
    blocks = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(depth)))
    x = torch.randn(512, 64)

    def run():
        blocks.zero_grad()
        blocks(x).sum().backward()

    run()
    blocks.zero_grad()
    with MemoryMeter() as meter:
        run()
    blocks.zero_grad()
    assert meter.peak == pytest.approx(profiled_peak(run), rel=0.01)


def test_the_meter_follows_what_is_made_until_it_is_freed():
    before, other = torch.ones(100), torch.zeros(100)
    with MemoryMeter() as meter:
        assert (meter.now, meter.peak) == (0, 0)
        a = torch.zeros(1000)
        assert meter.now == 4000
        view = a[10:20]
        a.add_(1)
        before.mul_(2)
        before.view(10, 10)
        torch.exp(other, out=before)
        assert meter.now == 4000  # views and results in place lie in memory that is counted, or was there
        del a
        assert meter.now == 4000  # the view keeps it
        del view
        assert meter.now == 0
        torch.split(torch.zeros(6, dtype=torch.float64), 2)
        b = torch.empty(10).exp()
        c = torch.tensor([1.0, 2.0])
        assert meter.now == 48
    del b, c
    assert meter.now == 0  # what was made inside is followed afterwards
    torch.zeros(10_000)
    assert meter.peak == 4000


def test_the_meter_sees_optimizers_and_backward():
    model = network()
    count = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.Adam(model.parameters())
    with MemoryMeter() as meter:
        model(torch.randn(3, 8)).sum().backward()
        assert meter.now == 4 * count
        optimizer.step()
        assert meter.now == 12 * count + 4 * 4  # and the four step counts
        optimizer.zero_grad()
        assert meter.now == 8 * count + 4 * 4
    assert meter.now == training_bytes(model, optimizer).optimizer


def test_the_meter_stops_with_an_error():
    with pytest.raises(RuntimeError), MemoryMeter() as meter:
        torch.zeros(2) @ torch.zeros(3)
    kept = torch.zeros(100)
    assert meter.now == 0
    assert kept.sum() == 0


def test_saved_bytes_by_hand():
    x = torch.randn(16, 8)
    model = network()
    assert saved_bytes(model, x) == 4 * 16 * (8 + 32)
    assert saved_bytes(model.double(), x.double()) == 8 * 16 * (8 + 32)
    with torch.no_grad():
        assert saved_bytes(model, x.double()) == 0


def test_saved_bytes_counts_each_storage_once_and_whole():
    w = torch.randn(100, requires_grad=True)
    assert saved_bytes(lambda t: (t * t).sum(), w) == 400
    assert saved_bytes(lambda t: (t[:10] * t[10:20]).sum(), w) == 400  # two views of one storage
    assert saved_bytes(lambda t: t.exp().sum(), w) == 400
    assert saved_bytes(lambda t: (t + 1).sum(), w) == 0


def test_saved_bytes_leaves_parameters_and_buffers_out():
    norm = nn.BatchNorm1d(6)
    x = torch.randn(10, 6)
    assert saved_bytes(norm, x) == 4 * (10 * 6 + 2 * 6)  # its input, mean and deviation of the batch
    assert saved_bytes(norm.eval(), x) <= 4 * (10 * 6 + 2 * 6)
    linear = nn.Linear(6, 3)
    assert saved_bytes(linear, x.requires_grad_()) == 4 * 10 * 6  # the weight is kept, and is a parameter
    assert saved_bytes(lambda t: F.linear(t, linear.weight), x) == 4 * (10 * 6 + 6 * 3)  # here it is not known as one


def test_saved_bytes_forgets_graphs_that_are_gone():
    w = torch.randn(100, requires_grad=True)

    def run(t):
        (t.exp().sum() * 2).backward()  # its graph is freed
        return t.sin()

    assert saved_bytes(run, w) == 400
    assert w.grad is not None


def test_saved_bytes_changes_no_gradient():
    w = torch.randn(5, dtype=torch.float64, requires_grad=True)
    grads = []

    def run(t):
        grads.extend(torch.autograd.grad((t.exp() * t).sum(), t))
        return t.exp()

    saved_bytes(run, w)
    torch.testing.assert_close(grads[0], w.detach().exp() * (1 + w.detach()))


def test_checkpoint_keeps_its_input_only():
    model, x = network(), torch.randn(16, 8, requires_grad=True)
    assert saved_bytes(lambda t: checkpoint(model, t, use_reentrant=False), x) == 4 * 16 * 8


def test_meta_counts_as_much_as_a_real_device():
    counted = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            model, x = network(), torch.randn(16, 8)
            optimizer = torch.optim.Adam(model.parameters())
            saved = saved_bytes(model, x)
            with MemoryMeter() as meter:
                model(x).sum().backward()
        optimizer.step()  # Adam's counts of steps are read, so they lie on the CPU
        counted.append((saved, meter.peak, training_bytes(model, optimizer)))
    assert counted[0] == counted[1]


def test_training_bytes():
    model = nn.Sequential(nn.Linear(10, 20), nn.BatchNorm1d(20))
    count = 10 * 20 + 20 + 40
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    buffers = 2 * 4 * 20 + 8
    assert training_bytes(model, optimizer) == TrainingBytes(4 * count, 0, 0, buffers)
    model(torch.randn(3, 10)).sum().backward()
    assert training_bytes(model, optimizer) == TrainingBytes(4 * count, 4 * count, 0, buffers)
    optimizer.step()
    assert training_bytes(model, optimizer) == TrainingBytes(4 * count, 4 * count, 4 * count, buffers)
    optimizer.zero_grad()
    assert training_bytes(model, optimizer).gradients == 0


def test_training_bytes_counts_shared_weights_once():
    model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
    model[1].weight = model[0].weight
    assert training_bytes(model, torch.optim.SGD(model.parameters(), lr=0.1)).parameters == 100


def test_a_copy_of_the_weights_belongs_to_the_optimizer():
    model = nn.Linear(10, 10, bias=False).bfloat16()
    copy = model.weight.detach().float().requires_grad_()
    optimizer = torch.optim.Adam([copy])
    copy.grad = torch.ones_like(copy)
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    assert training_bytes(model, optimizer) == TrainingBytes(200, 200, (4 + 4 + 8) * 100 + 4, 0)


def test_nothing_is_left_behind():
    """The counters keep no tensor alive: no object of theirs holds one afterwards."""
    model, x = network(), torch.randn(16, 8)
    saved_bytes(model, x)
    with MemoryMeter() as meter:
        loss = model(x).sum()
        loss.backward()
    del loss
    model.zero_grad()
    gc.collect()
    assert meter.now == 0
