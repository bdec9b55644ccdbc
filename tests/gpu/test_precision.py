"""Precision and speed on a GPU that must not change what is computed: autocast, TF32, torch.compile, channels_last."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.data import TensorBatches, load
from dlguide.models import CNN, MLP, ResNet, RNNClassifier
from dlguide.train import Trainer
from tests.gpu.parity import DEEP, assert_close, exact, numbers
from tests.gpu.test_training import GOALS, train_on_digits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
# A number is rounded to within half of its last bit: 2^-9 of it in bfloat16, 2^-12 in fp16, 2^-11 in TF32. A few layers
# add up such errors, which partly cancel: a whole gradient is off by some of them. That holds for smooth activations:
# with ReLU and pooling a rounding also decides which way a gradient takes, and costs ten times as much.
ROUNDING = {"bf16": 2**-9, "fp16": 2**-12}
MANY = 8


def gradient(precision: str, device: str) -> Tensor:
    """The gradient of all parameters after one step of the trainer with SGD, read off from the weights."""
    data = load("digits").train
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.GELU(), nn.Conv2d(16, 32, 3), nn.GELU(), nn.Flatten(), nn.Linear(512, 10)
    )
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=1.0), device=device, precision=precision)
    with exact():
        trainer.fit(TensorBatches(data, 256, device=device), steps=1)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    return (before - torch.cat([p.detach().flatten().cpu() for p in model.parameters()])).double()


def relative_error(precision: str, device: str) -> float:
    """How far the gradient in mixed precision lies from that in float32."""
    whole = gradient("float32", device)
    return ((gradient(precision, device) - whole).norm() / whole.norm()).item()


def dtypes_inside(precision: str, device: str) -> tuple[torch.dtype, torch.dtype]:
    """The dtype of the logits, and of the loss, in a step of the trainer."""
    seen: list[torch.dtype] = []

    def loss(output: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(output, y)
        seen.extend((output.dtype, value.dtype))
        return value

    model = MLP(64)
    trainer = Trainer(model, torch.optim.SGD(model.parameters()), loss=loss, device=device, precision=precision)
    trainer.fit(TensorBatches(load("digits").train, 256, device=device), steps=1)
    return seen[0], seen[1]


def overflowing_run(device: str) -> tuple[int, int, float, bool, float]:
    """A loss so large that its scaled gradient overflows fp16: steps, left-out steps, scale, finite, learning rate."""
    torch.manual_seed(0)
    model = MLP(64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    trainer = Trainer(model, optimizer, scheduler=scheduler, device=device, precision="fp16",
                      loss=lambda output, y: 1e3 * F.cross_entropy(output, y))  # fmt: skip
    left_out = 0
    train = TensorBatches(load("digits").train, 64, device=device)
    for step in range(1, 13):
        before = [p.detach().clone() for p in model.parameters()]
        trainer.fit(train, steps=step)
        left_out += all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    finite = all(bool(p.isfinite().all()) for p in model.parameters())
    return trainer.step, left_out, trainer.scaler.get_scale(), finite, optimizer.param_groups[0]["lr"]


def small_gradients(device: str) -> tuple[float, float]:
    """A gradient of 1e-8 by way of fp16, whose smallest number is 6e-8: without and with a scaled loss."""
    found = []
    for scale in (1.0, 2.0**16):
        w = torch.ones(1, device=device, requires_grad=True)
        (1e-8 * scale * (w.half() * 1.0).float()).sum().backward()  # the gradient passes through fp16
        assert w.grad is not None
        found.append(w.grad.item() / scale)
    return found[0], found[1]


def matmul_error(device: str, setting: str, n: int = 512) -> float:
    """Relative error of a float32 product, against float64."""
    a, b = numbers("a", n, n).to(device), numbers("b", n, n).to(device)
    with exact(setting):
        rounded = (a.float() @ b.float()).double()
    return ((rounded - a @ b).norm() / (a @ b).norm()).item()


COMPILED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (lambda: MLP(64), (32, 64)),
    "CNN": (CNN, (32, 1, 8, 8)),
    "ResNet": (lambda: ResNet(8, 1), (32, 1, 8, 8)),
}


def eager_and_compiled(name: str, device: str, backend: str) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and logits after five steps, as written and by torch.compile."""
    make, shape = COMPILED[name]
    x, y = numbers("x", *shape).float().to(device), (numbers("y", shape[0]) > 0).long().to(device)
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = make().to(device)
        run = torch.compile(model, backend=backend) if compiled else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(run(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            ends.append([t.detach().cpu() for t in (run(x), *model.parameters())])
    torch.compiler.reset()
    return ends[0], ends[1]


def formats(name: str, device: str, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor], bool]:
    """Logits and gradients with channels first and last, and whether the activations kept the format."""
    results, kept = [], []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = COMPILED[name][0]().to(device, dtype).to(memory_format=layout)
        x = numbers("x", 8, 1, 8, 8).to(device, dtype).to(memory_format=layout)
        convolution = [m for m in model.modules() if isinstance(m, nn.Conv2d)][1]
        convolution.register_forward_hook(
            lambda _, __, out: kept.append(out.is_contiguous(memory_format=torch.channels_last)))
        logits = model(x)
        logits.square().sum().backward()
        results.append([t.detach().cpu() for t in (logits, *(p.grad for p in model.parameters()))])
    return results[0], results[1], kept == [False, True]


def lstm_in_half(device: str, dtype: torch.dtype) -> float:
    """Relative error of the logits of an LSTM under autocast."""
    torch.manual_seed(0)
    model, x = RNNClassifier("LSTM").to(device), numbers("rows", 16, 8, 8).float().to(device)
    with torch.no_grad():
        whole = model(x)
        with torch.autocast(torch.device(device).type, dtype):
            half = model(x)
    assert half.dtype == dtype
    return ((half - whole).norm() / whole.norm()).item()


@pytest.mark.parametrize("precision", ROUNDING)
def test_gradient_is_off_by_roundings_only(precision):
    error = relative_error(precision, "cuda")
    assert ROUNDING[precision] / MANY < error < ROUNDING[precision] * MANY


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_layers_compute_in_half_and_the_loss_in_float32(precision, dtype):
    assert dtypes_inside(precision, "cuda") == (dtype, torch.float32)


@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize("name", GOALS)
def test_reaches_the_stated_accuracy(name, precision, record_property):
    epochs, lr, least = GOALS[name]
    _, accuracy = train_on_digits(name, "cuda", epochs, lr, precision=precision)
    record_property("accuracy", accuracy)
    assert accuracy >= least


def test_an_overflow_leaves_the_step_out_and_halves_the_scale():
    steps, left_out, scale, finite, lr = overflowing_run("cuda")
    assert steps == 12
    assert 0 < left_out < 12
    assert scale == 2**16 / 2**left_out
    assert finite
    assert lr == pytest.approx(1e-6 * 0.5 ** (12 - left_out))  # the scheduler waits, too


def test_a_scaled_loss_saves_small_gradients():
    lost, kept = small_gradients("cuda")
    assert lost == 0
    assert kept == pytest.approx(1e-8, rel=2**-10)


def test_tf32_is_off_where_the_tests_say_so():
    assert matmul_error("cuda", "ieee") < 1e-6
    if torch.cuda.get_device_capability() >= (8, 0):  # the first cards that have TF32
        assert 1e-5 < matmul_error("cuda", "tf32") < 2**-10


@pytest.mark.filterwarnings("ignore")  # the compiler recommends TF32, and warns about parts of its own
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_equals_eager(name):
    eager, compiled = eager_and_compiled(name, "cuda", "inductor")
    for a, b in zip(eager, compiled, strict=True):  # convolutions in TF32, as by default
        torch.testing.assert_close(a, b, rtol=1e-2, atol=5e-3)


@pytest.mark.parametrize("name", ["CNN", "ResNet"])
def test_channels_last_changes_the_layout_only(name):
    with exact():
        first, last, kept = formats(name, "cuda", torch.float32)  # cuDNN has no channels_last in float64
    assert kept
    assert_close(last, first, torch.float32, DEEP)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_lstm_in_half_precision_is_off_by_roundings_only(dtype):
    assert lstm_in_half("cuda", dtype) < MANY * torch.finfo(dtype).eps / 2
