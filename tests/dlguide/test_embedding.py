"""Embedding: rows, gradients, padding and norms as in PyTorch, and the product with a one-hot matrix."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlguide.functional.embedding import embedding, embedding_backward
from dlguide.layers.embedding import Embedding

GENERATOR = torch.Generator().manual_seed(1)
WEIGHT = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64)
INDICES = [torch.tensor([0, 5, 5, 2, 0, 0]), torch.tensor([[1, 2], [3, 1]], dtype=torch.int32), torch.tensor(4),
           torch.zeros(0, 2, dtype=torch.int64)]


def test_values_and_gradients():
    for t, padding_idx, scaled in itertools.product(INDICES, [None, 0, 5, -2], [False, True]):
        name = f"{t.tolist()} padding_idx={padding_idx} scaled={scaled}"
        ours, theirs = (WEIGHT.clone().requires_grad_() for _ in range(2))
        y = embedding(t, ours, padding_idx, scale_grad_by_freq=scaled)
        want = F.embedding(t, theirs, padding_idx, scale_grad_by_freq=scaled)
        torch.testing.assert_close(y, want, rtol=0, atol=0, msg=name)
        g = torch.randn(y.shape, generator=GENERATOR, dtype=torch.float64)
        [grad] = torch.autograd.grad(want, theirs, g)
        torch.testing.assert_close(torch.autograd.grad(y, ours, g)[0], grad, rtol=1e-12, atol=1e-14, msg=name)
        by_hand = embedding_backward(g, t, WEIGHT, padding_idx, scaled)
        torch.testing.assert_close(by_hand, grad, rtol=1e-12, atol=1e-14, msg=name)


def test_one_hot():
    t = INDICES[0]
    one_hot = F.one_hot(t, 6).double()
    torch.testing.assert_close(embedding(t, WEIGHT), one_hot @ WEIGHT)
    g = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close(embedding_backward(g, t, WEIGHT), one_hot.T @ g)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
def test_max_norm(norm_type):
    for t in INDICES:
        ours, theirs = (WEIGHT.clone().requires_grad_() for _ in range(2))
        y = embedding(t, ours, max_norm=0.8, norm_type=norm_type)
        want = F.embedding(t, theirs, max_norm=0.8, norm_type=norm_type)
        torch.testing.assert_close(y, want, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)  # the rows of the weight, too
        assert torch.equal(torch.autograd.grad(y.sum(), ours)[0], torch.autograd.grad(want.sum(), theirs)[0])


def test_layer():
    for options in ({}, {"padding_idx": 1}, {"padding_idx": -1}, {"max_norm": 0.5, "norm_type": 1.0},
                    {"scale_grad_by_freq": True, "padding_idx": 2}):
        theirs = nn.Embedding(6, 3, **options).double()
        ours = Embedding.load_from_torch(theirs)
        assert (ours.padding_idx, ours.max_norm) == (theirs.padding_idx, theirs.max_norm)
        for t in INDICES:
            torch.testing.assert_close(ours(t), theirs(t), rtol=1e-12, atol=1e-14)
        theirs.load_state_dict(ours.state_dict())
    torch.manual_seed(0)
    ours = Embedding(5, 4, padding_idx=3)
    torch.manual_seed(0)
    assert torch.equal(ours.weight, nn.Embedding(5, 4, padding_idx=3).weight)  # the same draws


def test_samples_of_torch():
    from torch.testing._internal.common_methods_invocations import op_db

    [info] = [info for info in op_db if info.name == "nn.functional.embedding"]
    count = 0
    for sample in info.sample_inputs("cpu", torch.float64):
        options = {k: v for k, v in sample.kwargs.items() if k != "sparse"}
        [indices] = sample.args
        ours, theirs = (f(indices, sample.input.detach().clone(), **options) for f in (embedding, F.embedding))
        torch.testing.assert_close(ours, theirs)
        count += 1
    assert count > 2


def test_module_samples_of_torch():
    from torch.testing._internal.common_modules import module_db

    [info] = [info for info in module_db if info.module_cls is nn.Embedding]
    for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=True):
        theirs = nn.Embedding(*sample.constructor_input.args, **sample.constructor_input.kwargs).double()
        torch.testing.assert_close(Embedding.load_from_torch(theirs)(*sample.forward_input.args),
                                   theirs(*sample.forward_input.args))


def test_float32_and_gradcheck():
    assert embedding(INDICES[0], WEIGHT.float()).dtype == torch.float32
    assert torch.autograd.gradcheck(lambda w: embedding(INDICES[0], w), (WEIGHT.clone().requires_grad_(),))


@pytest.mark.parametrize(("arguments", "said"), [
    ((torch.ones(2), WEIGHT), "int64 or torch.int32, got torch.float32"),
    ((torch.ones(2, dtype=torch.uint8), WEIGHT), "use input.long"),
    ((torch.tensor([6]), WEIGHT), r"in \[0, 6\)"), ((torch.tensor([-1]), WEIGHT), "got -1 to -1"),
    ((torch.tensor([0]), WEIGHT[0]), r"\[V, D\]"), ((torch.tensor([0]), WEIGHT[None]), r"got \[1, 6, 3\]"),
    ((torch.tensor([1]), WEIGHT, 6), r"padding_idx in \[-6, 6\)"), ((torch.tensor([1]), WEIGHT, -7), "got -7"),
])
def test_refused_as_by_torch(arguments, said):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        F.embedding(*arguments)
    with pytest.raises(theirs.type, match=said):
        embedding(*arguments)


def test_layer_refuses_as_torch():
    for kind in (nn.Embedding, Embedding):
        with pytest.raises(AssertionError):
            kind(3, 2, padding_idx=3)
