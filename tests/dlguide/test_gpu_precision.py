"""The bodies of tests/gpu/test_precision.py without a GPU."""

from typing import Any

import pytest
import torch

from tests.gpu import test_precision as gpu
from tests.gpu.parity import assert_close, exact


@pytest.mark.parametrize("precision", gpu.ROUNDING)
def test_gradient_is_off_by_roundings_only(precision):
    error = gpu.relative_error(precision, "cpu")
    assert gpu.ROUNDING[precision] / gpu.MANY < error < gpu.ROUNDING[precision] * gpu.MANY


@pytest.mark.parametrize(("precision", "dtype"), [
    ("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])  # fmt: skip
def test_layers_compute_in_half_and_the_loss_in_float32(precision, dtype):
    assert gpu.dtypes_inside(precision, "cpu") == (dtype, torch.float32)


def test_an_overflow_leaves_the_step_out_and_halves_the_scale():
    steps, left_out, scale, finite, lr = gpu.overflowing_run("cpu")
    assert steps == 12
    assert 0 < left_out < 12
    assert scale == 2**16 / 2**left_out
    assert finite
    assert lr == pytest.approx(1e-6 * 0.5 ** (12 - left_out))


def test_a_scaled_loss_saves_small_gradients():
    lost, kept = gpu.small_gradients("cpu")
    assert lost == 0
    assert kept == pytest.approx(1e-8, rel=2**-10)


def test_float32_products_are_exact_and_the_settings_come_back():
    cudnn: Any = torch.backends.cudnn
    settings: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [setting.fp32_precision for setting in settings]
    with exact():
        assert {setting.fp32_precision for setting in settings} == {"ieee"}
    with exact("tf32"):
        assert {setting.fp32_precision for setting in settings} == {"tf32"}
    assert [setting.fp32_precision for setting in settings] == before
    assert gpu.matmul_error("cpu", "ieee") < 1e-6


@pytest.mark.parametrize(("name", "backend"), [("MLP", "aot_eager"), ("CNN", "eager")])
def test_compiled_equals_eager(name, backend):
    eager, compiled = gpu.eager_and_compiled(name, "cpu", backend)
    assert len(eager) > 2
    assert_close(compiled, eager, torch.float32)


@pytest.mark.parametrize("name", ["CNN", "ResNet"])
def test_channels_last_changes_the_layout_only(name):
    first, last, kept = gpu.formats(name, "cpu", torch.float64)
    assert kept
    assert_close(last, first, torch.float64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_lstm_in_half_precision_is_off_by_roundings_only(dtype):
    assert gpu.lstm_in_half("cpu", dtype) < gpu.MANY * torch.finfo(dtype).eps / 2
