"""Normalizations: values, running statistics and gradients equal PyTorch's, and so do the refusals."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlguide.functional import batch_normalization as batch
from dlguide.functional import instance_normalization as instance
from dlguide.functional import normalization as norm
from dlguide.functional import scale_normalization as scale
from dlguide.layers import batch_normalization as batch_layers
from dlguide.layers import normalization as layers

STRICT = {"rtol": 1e-10, "atol": 1e-11}
GENERATOR = torch.Generator().manual_seed(5)


def numbers(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64).mul(2).add(1).to(dtype)


def vectors(size, affine):
    """Weight and bias of a size, or as many as `affine` asks for."""
    return [numbers(*size) if wanted else None for wanted in affine]


def copies(running) -> tuple[Any, Any]:
    """The forward passes change running statistics in place: each gets its own."""
    mean, var = (None if t is None else t.clone() for t in running)
    return mean, var


def gradients(function, x, *parameters):
    """The value, a random output gradient, and torch's gradients (zeros where there is no parameter)."""
    leaves = [None if t is None else t.clone().requires_grad_() for t in (x, *parameters)]
    y = function(*leaves)
    g = numbers(*y.shape)
    there = [leaf for leaf in leaves if leaf is not None]
    return y.detach(), g, dict(zip(map(id, there), torch.autograd.grad(y, there, g), strict=True)), leaves


def compare(ours, theirs, by_hand, x, *parameters, name=""):
    """Value, gradients by autograd through ours, and gradients by hand, against torch."""
    y, g, want, leaves = gradients(theirs, x, *parameters)
    mine = [None if t is None else t.clone().requires_grad_() for t in (x, *parameters)]
    out = ours(*mine)
    torch.testing.assert_close(out.detach(), y, **STRICT, msg=lambda m: f"{name}: value: {m}")
    there = [leaf for leaf in mine if leaf is not None]
    got = torch.autograd.grad(out, there, g)
    for a, leaf in zip(got, [leaf for leaf in leaves if leaf is not None], strict=True):
        torch.testing.assert_close(a, want[id(leaf)], **STRICT, msg=lambda m: f"{name}: autograd: {m}")
    hand = by_hand(g, x, *parameters)
    hand = hand if isinstance(hand, tuple) else (hand,)
    for a, leaf in zip(hand, leaves, strict=False):
        if leaf is not None:
            torch.testing.assert_close(a, want[id(leaf)], **STRICT, msg=lambda m: f"{name}: by hand: {m}")


AFFINE = list(itertools.product([False, True], repeat=2))
SHAPES = [(4, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 2), (2, 3, 2, 2, 2)]


@pytest.mark.parametrize("affine", AFFINE)
def test_layer_norm(affine):
    for shape, count, eps in itertools.product([(3,), (1, 4), (2, 3, 4), (0, 3)], [1, 2], [1e-5, 0.1]):
        if count > len(shape):
            continue
        size = shape[-count:]
        w, b = vectors(size, affine)
        compare(lambda x, w, b, s=size, e=eps: norm.layer_norm(x, s, w, b, e),
                lambda x, w, b, s=size, e=eps: F.layer_norm(x, s, w, b, e),
                lambda g, x, w, b, s=size, e=eps: norm.layer_norm_backward(g, x, s, w, e),
                numbers(*shape), w, b, name=f"{shape} {size} {eps}")


@pytest.mark.parametrize("affine", AFFINE)
def test_group_norm(affine):
    for shape, groups in itertools.product([(2, 6), (2, 6, 3), (1, 6, 2, 3), (0, 6, 2)], [1, 2, 3, 6]):
        if shape == (2, 6) and groups == 6:
            continue  # one number in each group, below
        w, b = vectors((6,), affine)
        compare(lambda x, w, b, g=groups: norm.group_norm(x, g, w, b, 1e-3),
                lambda x, w, b, g=groups: F.group_norm(x, g, w, b, 1e-3),
                lambda g, x, w, b, n=groups: norm.group_norm_backward(g, x, n, w, 1e-3),
                numbers(*shape), w, b, name=f"{shape} {groups}")
    x = numbers(2, 6)  # one number in each group but two examples: torch allows it, all outputs are 0
    torch.testing.assert_close(norm.group_norm(x, 6), F.group_norm(x, 6))


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(affine, training):
    for shape, tracked, eps in itertools.product([*SHAPES, (0, 3, 2)], [False, True], [1e-5, 0.1]):
        if not (tracked or training):
            continue
        mean, var = running = (numbers(3), numbers(3).abs() + 0.1) if tracked else (None, None)
        compare(lambda x, w, b, r=running, e=eps: batch.batch_norm(x, *copies(r), w, b, training, 0.3, e),
                lambda x, w, b, r=running, e=eps: F.batch_norm(x, *copies(r), w, b, training, 0.3, e),
                lambda g, x, w, b, m=mean, v=var, e=eps: batch.batch_norm_backward(g, x, m, v, w, training, e),
                numbers(*shape), *vectors((3,), affine), name=f"{shape} tracked={tracked} {eps}")


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("own", [False, True])
def test_instance_norm(affine, own):
    for shape, tracked in itertools.product([*SHAPES[1:], (0, 3, 2)], [False, True]):
        if not (tracked or own) or (shape[0] == 0 and (tracked or any(affine))):  # there torch itself fails
            continue
        mean, var = running = (numbers(3), numbers(3).abs() + 0.1) if tracked else (None, None)
        compare(lambda x, w, b, r=running: instance.instance_norm(x, *copies(r), w, b, own, 0.3, 1e-3),
                lambda x, w, b, r=running: F.instance_norm(x, *copies(r), w, b, own, 0.3, 1e-3),
                lambda g, x, w, b, m=mean, v=var: instance.instance_norm_backward(g, x, m, v, w, own, 1e-3),
                numbers(*shape), *vectors((3,), affine), name=f"{shape} tracked={tracked}")


@pytest.mark.parametrize("weighted", [False, True])
def test_rms_norm(weighted):
    for shape, count, eps in itertools.product([(3,), (1, 4), (2, 3, 4), (0, 3)], [1, 2], [None, 0.1, 0.0]):
        if count > len(shape):
            continue
        size = shape[-count:]
        compare(lambda x, w, s=size, e=eps: scale.rms_norm(x, s, w, e),
                lambda x, w, s=size, e=eps: F.rms_norm(x, s, w, e),
                lambda g, x, w, s=size, e=eps: scale.rms_norm_backward(g, x, s, w, e),
                numbers(*shape), *vectors(size, [weighted]), name=f"{shape} {size} {eps}")
    zero = torch.zeros(2, 3)
    torch.testing.assert_close(scale.rms_norm(zero, [3]), F.rms_norm(zero, [3]))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 20])
def test_local_response_norm(size):
    for shape, (alpha, beta, k) in itertools.product(
        [(2, 6, 3), (2, 5, 2, 3), (1, 1, 2), (2, 3, 2, 2, 2), (0, 3, 2)], [(1e-4, 0.75, 1.0), (2.0, 1.5, 0.5)]):
        compare(lambda x, o=(size, alpha, beta, k): scale.local_response_norm(x, *o),
                lambda x, o=(size, alpha, beta, k): F.local_response_norm(x, *o) if x.numel() else x * 1,
                lambda g, x, o=(size, alpha, beta, k): scale.local_response_norm_backward(g, x, *o),
                numbers(*shape), name=f"{shape} {size} {alpha}")


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, 0.7, None])
@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"])
def test_running_statistics_over_several_batches(name, momentum):
    theirs = getattr(nn, name)(3, momentum=momentum, track_running_stats=True, affine=True).double()
    ours = getattr(batch_layers, name).load_from_torch(theirs)
    for step in range(6):
        x = numbers(*((2 + step, 3, 4) if name.endswith("1d") else (2 + step, 3, 4, 2)))
        torch.testing.assert_close(ours(x), theirs(x), **STRICT)
        torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), **STRICT)
    ours.eval(), theirs.eval()
    before = {k: v.clone() for k, v in ours.state_dict().items()}
    torch.testing.assert_close(ours(x), theirs(x), **STRICT)
    torch.testing.assert_close(dict(ours.state_dict()), before)  # evaluation remembers nothing


def test_statistics_are_left_alone_where_torch_leaves_them():
    for training, shape in ((True, (0, 3)), (False, (4, 3))):
        mean, var = torch.zeros(3), torch.ones(3)
        batch.batch_norm(torch.full(shape, 7.0), mean, var, training=training)
        assert mean.tolist() == [0, 0, 0]
        assert var.tolist() == [1, 1, 1]
    x = numbers(4, 3).requires_grad_()
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    batch.batch_norm(x, mean, var, training=True)
    assert not mean.requires_grad


LAYERS = [
    (layers, "LayerNorm", {"normalized_shape": (2, 4)}), (layers, "LayerNorm", {"normalized_shape": 4, "bias": False}),
    (layers, "LayerNorm", {"normalized_shape": [4], "elementwise_affine": False, "eps": 0.1}),
    (layers, "GroupNorm", {"num_groups": 3, "num_channels": 6}),
    (layers, "GroupNorm", {"num_groups": 2, "num_channels": 6, "affine": False, "eps": 0.1}),
    (layers, "RMSNorm", {"normalized_shape": 4}), (layers, "RMSNorm", {"normalized_shape": (2, 4), "eps": 0.1}),
    (layers, "RMSNorm", {"normalized_shape": 4, "elementwise_affine": False}),
    (layers, "LocalResponseNorm", {"size": 3}), (layers, "LocalResponseNorm", {"size": 4, "alpha": 2.0, "k": 0.5}),
    *((batch_layers, name, {"num_features": 6, **options})
      for name in ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d")
      for options in ({}, {"affine": False}, {"track_running_stats": False}, {"eps": 0.1, "momentum": None},
                      {"affine": True, "track_running_stats": True})),
]


@pytest.mark.parametrize(("module", "name", "options"), LAYERS)
def test_layer(module, name, options):
    torch.manual_seed(1)
    theirs = getattr(nn, name)(**options).double()
    fresh = getattr(module, name)(**options).double()
    torch.testing.assert_close(dict(fresh.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)
    for p in theirs.parameters():
        nn.init.normal_(p)
    ours = getattr(module, name).load_from_torch(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    x = numbers(2, 6, 2, 4) if not name.endswith("1d") else numbers(2, 6, 4)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x), **STRICT)
    theirs.load_state_dict(ours.state_dict())  # and back
    theirs.eval(), ours.eval()
    torch.testing.assert_close(ours(x), theirs(x), **STRICT)
    assert not getattr(module, name).load_from_torch(theirs).training


def test_one_example_without_a_batch():
    for name, shape in (("InstanceNorm1d", (3, 4)), ("InstanceNorm2d", (3, 4, 2))):
        x = numbers(*shape)
        torch.testing.assert_close(getattr(batch_layers, name)(3)(x), getattr(nn, name)(3)(x), **STRICT)


FUNCTIONS: dict[str, Any] = {
    "batch_norm": batch.batch_norm, "instance_norm": instance.instance_norm, "layer_norm": norm.layer_norm,
    "group_norm": norm.group_norm, "rms_norm": scale.rms_norm, "local_response_norm": scale.local_response_norm,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_samples_of_torch(name):
    """The inputs of torch's own tests."""
    from torch.testing._internal.common_methods_invocations import op_db

    info = next(info for info in op_db if info.name == f"nn.functional.{name}")
    count = 0
    for sample in info.sample_inputs("cpu", torch.float64):
        options = {k: v for k, v in sample.kwargs.items() if k != "cudnn_enabled"}
        if sample.input.dim() < 2:
            continue  # torch lets an empty tensor of one dimension through a batch norm
        copies = [[a.clone() if isinstance(a, torch.Tensor) else a for a in sample.args] for _ in range(2)]
        ours = FUNCTIONS[name](sample.input, *copies[0], **options)
        theirs = getattr(F, name)(sample.input, *copies[1], **options)
        torch.testing.assert_close(ours, theirs, **STRICT)
        torch.testing.assert_close(copies[0], copies[1], **STRICT)  # running statistics
        count += 1
    assert count > 2


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
                                  "LayerNorm", "LocalResponseNorm", "RMSNorm"])
def test_modules_of_torch(name):
    from torch.testing._internal.common_modules import module_db

    ours = getattr(layers if hasattr(layers, name) else batch_layers, name)
    [info] = [info for info in module_db if info.module_cls is getattr(nn, name)]
    for training in (True, False):
        for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False,
                                              training=training):
            made = sample.constructor_input
            theirs = getattr(nn, name)(*made.args, **made.kwargs).double().train(training)
            mine = ours.load_from_torch(theirs)
            x = sample.forward_input.args
            torch.testing.assert_close(mine(*x), theirs(*x), **STRICT)


def test_float32():
    x, vector = numbers(4, 6, 5, dtype=torch.float32), numbers(6, dtype=torch.float32)
    pairs = [
        (norm.group_norm(x, 2, vector), F.group_norm(x, 2, vector)), (scale.rms_norm(x, [5]), F.rms_norm(x, [5])),
        (norm.layer_norm(x, [5]), F.layer_norm(x, [5])), (instance.instance_norm(x), F.instance_norm(x)),
        (batch.batch_norm(x, None, None, training=True), F.batch_norm(x, None, None, training=True)),
        (scale.local_response_norm(x, 3), F.local_response_norm(x, 3)),
    ]
    for ours, theirs in pairs:
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs)


def test_gradcheck():
    x, w, b = (numbers(*s).requires_grad_() for s in ((3, 2, 4), (2,), (2,)))
    assert torch.autograd.gradcheck(lambda x, w, b: batch.batch_norm(x, None, None, w, b, training=True), (x, w, b))
    assert torch.autograd.gradcheck(lambda *a: norm.group_norm(a[0], 1, *a[1:]), (x, w, b))
    assert torch.autograd.gradcheck(lambda a: scale.local_response_norm(a, 2, 1.0), (x,))


@pytest.mark.parametrize("x", [
    torch.full((3, 4), 7.0), torch.tensor([[1e4, -1e4, 1.0, 0.0]] * 2), torch.zeros(2, 4),
    torch.tensor([[float("inf"), 1, 2, 3], [0, 1, 2, 3]]), torch.tensor([[float("nan"), 1, 2, 3], [0, 1, 2, 3]]),
    1e6 + torch.arange(8.0).reshape(2, 4),
])
def test_extremes(x):
    x = x.double()
    for ours, theirs in (
        (norm.layer_norm(x, [4]), F.layer_norm(x, [4])), (scale.rms_norm(x, [4]), F.rms_norm(x, [4])),
        (norm.group_norm(x, 2), F.group_norm(x, 2)),
        (batch.batch_norm(x, None, None, training=True), F.batch_norm(x, None, None, training=True)),
        (scale.local_response_norm(x[..., None], 2), F.local_response_norm(x[..., None], 2)),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True)


values = st.lists(st.floats(-100, 100, allow_nan=False), min_size=12, max_size=12)


@given(values, st.floats(0.1, 50), st.floats(-50, 50))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_layer_norm_ignores_shift_and_scale(rows, factor, shift):
    x = torch.tensor(rows, dtype=torch.float64).reshape(3, 4) + torch.arange(4.0)
    ours = norm.layer_norm(factor * x + shift, [4], eps=0.0)
    if (x.var(1) > 1e-3).all():
        torch.testing.assert_close(ours, norm.layer_norm(x, [4], eps=0.0), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(scale.rms_norm(factor * x, [4], eps=0.0), scale.rms_norm(x, [4], eps=0.0))


@given(values)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_batch_norm_gives_mean_0_and_variance_1(rows):
    x = torch.tensor(rows, dtype=torch.float64).reshape(4, 3) + torch.arange(12.0).reshape(4, 3) ** 2
    y = batch.batch_norm(x, None, None, training=True, eps=1e-300)
    if (x.var(0) > 1e-3).all():
        torch.testing.assert_close(y.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
        torch.testing.assert_close(y.var(0, correction=0), torch.ones(3, dtype=torch.float64))


def test_the_family():
    """Group norm holds layer norm and instance norm; batch norm is an instance norm of the batch laid side by side."""
    x = numbers(2, 6, 3, 4)
    torch.testing.assert_close(norm.group_norm(x, 1), norm.layer_norm(x, x.shape[1:]), **STRICT)
    torch.testing.assert_close(norm.group_norm(x, 6), instance.instance_norm(x), **STRICT)
    side_by_side = x.transpose(0, 1).flatten(1)[None]
    torch.testing.assert_close(instance.instance_norm(side_by_side)[0],
                               batch.batch_norm(x, None, None, training=True).transpose(0, 1).flatten(1), **STRICT)
    centered = x - x.mean(-1, keepdim=True)
    torch.testing.assert_close(scale.rms_norm(centered, [4], eps=1e-5), norm.layer_norm(x, [4]), **STRICT)


def test_nothing_given_is_changed():
    x, w = numbers(2, 4, 3), numbers(4)
    before = x.clone(), w.clone()
    norm.group_norm(x, 2, w), batch.batch_norm(x, None, None, w, training=True), instance.instance_norm(x, weight=w)
    scale.rms_norm(x, [3]), scale.local_response_norm(x, 2), batch.batch_norm_backward(x, x, w, w, w)
    assert torch.equal(x, before[0])
    assert torch.equal(w, before[1])


ONE, TWO, THREE = torch.ones(1, 3), torch.ones(2, 3), torch.ones(3)
REFUSED = [
    ("batch_norm", (ONE, THREE, THREE, None, None, True), "more than one value per channel"),
    ("batch_norm", (TWO, None, None), "expected running_mean and running_var, got None"),
    ("batch_norm", (TWO, THREE, None, None, None, True), "or neither, got one of them"),
    ("batch_norm", (TWO, torch.ones(4), torch.ones(4), None, None, True), r"running_mean of shape \[3\]"),
    ("batch_norm", (TWO, None, None, torch.ones(4), None, True), r"weight of shape \[3\]"),
    ("batch_norm", (TWO, None, None, None, torch.ones(4), True), r"bias of shape \[3\]"),
    ("batch_norm", (THREE, THREE, THREE, None, None, True), r"\[N, C, \.\.\.\]"),
    ("batch_norm", (TWO, THREE, THREE, None, None, True, 0.1, 0.0), "eps > 0 in training"),
    ("batch_norm", (TWO, THREE, THREE, None, None, False, 0.1, -1.0), "eps >= 0 in evaluation"),
    ("batch_norm", (TWO.long(), THREE, THREE), "floating point numbers, got torch.int64"),
    ("batch_norm", (TWO.double(), THREE, THREE), "dtype torch.float64, got torch.float32"),
    ("instance_norm", (torch.ones(2, 3, 1),), "more than one position"),
    ("instance_norm", (TWO,), "more than one position"),
    ("instance_norm", (torch.ones(2, 3, 2), None, None, None, None, False), "got None"),
    ("instance_norm", (torch.ones(2, 3, 2), THREE, None), "got one of them"),
    ("instance_norm", (torch.ones(2, 3, 2), None, None, torch.ones(2)), "weight of shape"),
    ("layer_norm", (TWO, 3), r"as a list .*, got 3: write \[3\]"),
    ("layer_norm", (TWO, [4]), r"shape is \[2, 3\], got \[4\]"), ("layer_norm", (TWO, []), r"got \[\]"),
    ("layer_norm", (TWO, [1, 2, 3]), r"got \[1, 2, 3\]"), ("layer_norm", (TWO, [3], torch.ones(2)), "weight of shape"),
    ("layer_norm", (TWO, [3], None, torch.ones(2)), "bias of shape"), ("layer_norm", (TWO.long(), [3]), "int64"),
    ("group_norm", (torch.ones(2, 4), 3), "to divide the 4 channels"), ("group_norm", (TWO, 0), "at least one group"),
    ("group_norm", (TWO, -1), "to divide the 3 channels"), ("group_norm", (THREE, 3), r"\[N, C, \.\.\.\]"),
    ("group_norm", (ONE, 3), "more than one number in each group"), ("group_norm", (TWO, 1, ONE), "weight of shape"),
    ("rms_norm", (TWO, [4]), r"got \[4\]"), ("rms_norm", (TWO, [3], torch.ones(2)), "weight of shape"),
    ("rms_norm", (TWO, []), r"got \[\]"),
    ("local_response_norm", (TWO, 2), r"\[N, C, \.\.\.\] with 3 dimensions or more, got \[2, 3\]"),
    ("local_response_norm", (torch.ones(2, 3, 2), 0), "size 1 or more channels, got 0"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), REFUSED)
def test_refused_as_by_torch(name, arguments, said):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        getattr(F, name)(*arguments)
    with pytest.raises(theirs.type, match=said):
        FUNCTIONS[name](*arguments)


def test_layers_refuse_as_torch():
    for name, shape, said in (
        ("BatchNorm1d", (2, 3, 4, 5), r"\[N, C\] or \[N, C, L\]"), ("BatchNorm2d", (2, 3), r"\[N, C, H, W\]"),
        ("BatchNorm2d", (2, 3, 1, 1, 1), "3d"), ("InstanceNorm1d", (3,), r"\[C, L\]"),
        ("InstanceNorm2d", (2, 3), r"\[C, H, W\]"), ("BatchNorm1d", (1, 3), "drop_last"),
    ):
        for module in (nn, batch_layers):
            with pytest.raises(ValueError, match=said if module is batch_layers else None):
                getattr(module, name)(3)(torch.ones(shape))
    with pytest.raises(ValueError, match="num_features=3"):
        batch_layers.InstanceNorm1d(3, affine=True)(torch.ones(2, 4, 5))
    with pytest.warns(UserWarning, match="num_features=3"):
        batch_layers.InstanceNorm1d(3)(torch.ones(2, 4, 5))
    with pytest.raises(ValueError, match="divide num_channels=4"):
        layers.GroupNorm(3, 4)
    with pytest.raises(TypeError, match=r"torch\.nn\.LayerNorm"):
        layers.LayerNorm.load_from_torch(nn.Linear(2, 2))
