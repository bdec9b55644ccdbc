"""The bodies of tests/gpu/test_layers.py without a GPU: the table is complete, each case works and follows the device.

A CPU has no second device to compare with. It has a second precision, which bounds what roundings do, and a device in
disguise, which shows a tensor that was left on the CPU.
"""

import pytest
import torch

from dlguide import backprop, init
from tests.dlguide.pretend import pretend
from tests.gpu import test_layers as gpu
from tests.gpu.layer_cases import BACKPROP_CASES, CASES, FUNCTION_CASES, FUNCTIONS, LAYER_CASES, LAYERS, public, spread
from tests.gpu.parity import Case, assert_close, run


@pytest.mark.parametrize(("names", "cases"), [
    (set(FUNCTIONS), FUNCTION_CASES), (set(LAYERS), LAYER_CASES),
    ({f"activation {name}" for name in backprop.ACTIVATIONS} | {f"loss {name}" for name in backprop.LOSSES},
     BACKPROP_CASES),
], ids=["functions", "layers", "backprop"])
def test_every_public_name_has_a_case(names, cases):
    assert len(names) > 10
    assert names == {case.name for case in cases}, "add the new function or layer to tests/gpu/layer_cases.py"


def test_every_function_that_draws_weights_has_a_case():
    draws = {name for name in public(init) if name.endswith("_")}
    assert draws == set(spread((2, 2)))


def test_each_case_has_its_own_name():
    assert len({str(case) for case in CASES}) == len(CASES)


def test_the_gradient_of_every_forward_pass_is_compared():
    smooth = {case.name for case in CASES if case.gradient and any(isinstance(x, (tuple, list)) for x in case.inputs)}
    forward = {name for name in FUNCTIONS if not name.endswith(("_backward", "_derivative", "_gradient"))}
    assert (forward | set(LAYERS)) - smooth == {"Embedding", "dropout_mask", "sinusoidal_encoding"}  # of whole numbers
    assert len(run(next(case for case in CASES if case.name == "Embedding"), "cpu", torch.float64)) == 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_follows_the_device_and_float32_stays_within_its_tolerance(case):
    with pretend() as device:
        gpu.parity(case, device, torch.float64)
    exact, rounded = ([t.double() for t in run(case, "cpu", dtype)] for dtype in (torch.float64, torch.float32))
    assert all(t.isfinite().all() for t in exact)
    assert_close(rounded, exact, torch.float32)


@pytest.mark.parametrize("name", spread(gpu.SHAPE))
def test_initial_weights_have_the_promised_spread(name):
    deviation, promised, repeated = gpu.initial_weights(name, "cpu")
    assert deviation == pytest.approx(promised, rel=0.02)
    assert repeated


@pytest.mark.parametrize("forgets", [
    lambda x: x + torch.ones(3), lambda x: torch.stack([x, torch.ones(3)]), lambda x: x @ torch.ones(3, 3),
    lambda x: torch.where(torch.tensor([True, False, True]), x, 0), lambda x: x.cpu(), lambda x: torch.zeros(3),
], ids=["add", "stack", "matmul", "where", "moved", "new"])
def test_a_forgotten_device_is_found(forgets):
    case = Case("forgets", forgets, ((3,),), gradient=False)
    assert run(case, "cpu", torch.float32)
    with pretend() as device, pytest.raises((RuntimeError, AssertionError), match=r"mixes tensors|left the device"):
        run(case, device, torch.float32)
