"""Every function and layer from scratch, and backpropagation by hand: on a GPU what it is on the CPU.

Values and gradients, in float64 to the last digits and in float32 within a stated tolerance, with TF32 off. The table
is in layer_cases.py; tests/dlguide/test_gpu_layers.py runs the same bodies without a GPU.
"""

import pytest
import torch

from dlguide import init
from tests.gpu.layer_cases import CASES, spread
from tests.gpu.parity import DTYPES, assert_close, exact, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SHAPE = (300, 200)


def parity(case, device, dtype):
    with exact():
        assert_close(run(case, device, dtype), run(case, "cpu", dtype), dtype)


def initial_weights(name, device):
    """Standard deviation of 60,000 drawn weights, what was promised, and whether the generator's seed decides them."""
    draw, promised = spread(SHAPE)[name]
    twice = []
    for _ in range(2):
        w = torch.empty(SHAPE, device=device)
        draw(init, w, torch.Generator(device).manual_seed(0))
        twice.append(w.cpu())
    return w.std().item(), promised, torch.equal(*twice)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_cpu(case, dtype):
    parity(case, "cuda", dtype)


@pytest.mark.parametrize("name", spread(SHAPE))
def test_initial_weights_have_the_promised_spread(name):
    deviation, promised, repeated = initial_weights(name, "cuda")
    assert deviation == pytest.approx(promised, rel=0.02)  # the error of 60,000 draws is about 0.003 of it
    assert repeated
