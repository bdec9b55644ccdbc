"""dlguide.optim on the inputs with which PyTorch tests its own optimizers."""

from __future__ import annotations

import warnings

import pytest
import torch

from dlguide import optim
from tests.dlguide.optim_tasks import NAMES, build, distance, parameters, quadratic, steps

NOT_OFFERED = {"foreach", "fused", "capturable", "differentiable"}


@pytest.fixture(scope="module")
def database():
    """PyTorch's table of optimizers, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it warns of things that are not ours
        from torch.testing._internal.common_optimizers import optim_db
    return {info.optim_cls.__name__: info for info in optim_db}  # type: ignore[attr-defined]


def test_the_table_lists_what_we_have(database):
    assert sorted(database) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_inputs(name, database):
    seen = 0
    for case in database[name].optim_inputs_func(device="cpu"):
        if NOT_OFFERED & case.kwargs.keys():
            with pytest.raises(TypeError):
                build(optim, name, parameters(quadratic()[0]), **case.kwargs)
            continue
        start, loss = quadratic()
        ours, theirs = parameters(start, name), parameters(start, name)
        a, b = build(optim, name, ours, **case.kwargs), build(torch.optim, name, theirs, **case.kwargs)
        for _ in range(15):
            steps(a, ours, loss, 1)
            steps(b, theirs, loss, 1)
        # a learning rate given as a float32 tensor makes PyTorch compute the rate in float32
        exact = not any(isinstance(v, torch.Tensor) and v.dtype == torch.float32 for v in case.kwargs.values())
        scale = max(1.0, *(w.abs().max().item() for w in theirs))
        assert distance(ours, theirs) < (1e-10 if exact else 1e-6) * scale, case.desc
        seen += 1
    assert seen > 2


@pytest.mark.parametrize("name", NAMES)
def test_error_inputs(name, database):
    for case in database[name].optim_error_inputs_func(device="cpu", dtype=torch.float64):
        given = case.optimizer_error_input
        for module in (torch.optim, optim):
            kind = TypeError if module is optim and NOT_OFFERED & given.kwargs.keys() else case.error_type
            with pytest.raises(kind) as caught:  # a warning is an error here
                getattr(module, name)(given.params, **given.kwargs).step(lambda: torch.ones(1))
            if module is optim and caught.traceback[-1].path.parent.parent.name == "dlguide":
                assert ": " in str(caught.value), case.error_regex  # what came, and how to mend it
