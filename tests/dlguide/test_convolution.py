"""Convolution and its transpose against PyTorch: values and gradients in float64, errors, PyTorch's own samples."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dlguide.functional import _convolve, convolution, transposed_convolution
from dlguide.functional.windows import add_windows, windows
from dlguide.layers import convolution as layers

OURS = {name: getattr(module, name) for module in (convolution, transposed_convolution)
        for name in vars(module) if name.startswith("conv")}
NAMES = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


# PyTorch copies its input there; that is not our matter
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=dtype)


def close(a, b, case, rtol=1e-10, atol=1e-12):
    assert a.shape == b.shape, f"{case}: {tuple(a.shape)} is not {tuple(b.shape)}"
    assert a.dtype == b.dtype, f"{case}: {a.dtype} is not {b.dtype}"
    assert torch.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True), f"{case}: {(a - b).abs().max()} apart"


def agree(name, x, w, b, options, rtol=1e-10, atol=1e-12):
    """Value, hand-written backward and autograd through our forward, each against PyTorch's."""
    case = f"{name} {tuple(x.shape)} {tuple(w.shape)} {options}"
    leaves = [t.clone().requires_grad_() for t in (x, w, b)]
    theirs = getattr(F, name)(*leaves, **options)
    ours = OURS[name](*leaves, **options)
    close(ours, theirs, case, rtol, atol)
    g = numbers(*theirs.shape, seed=9, dtype=x.dtype)
    truth = torch.autograd.grad(theirs, leaves, g)
    auto = torch.autograd.grad(ours, leaves, g)
    by_hand = OURS[f"{name}_backward"](g, x, w, **options)
    for label, true, one, other in zip(("input", "weight", "bias"), truth, auto, by_hand, strict=True):
        close(one, true, f"{case}: autograd, {label}", rtol, atol)
        close(other, true, f"{case}: by hand, {label}", rtol, atol)


def sizes(name, groups, kernel, length, batch=(2,), channels=(4, 6)) -> tuple[Tensor, Tensor, Tensor]:
    """x, w, b that fit."""
    c, o = channels
    dims = 1 if "1d" in name else 2
    kernel = (kernel,) if dims == 1 else (kernel, max(1, kernel - 1))
    length = (length,) if dims == 1 else (length, length + 1)
    first, second = (c, o) if "transpose" in name else (o, c)
    return numbers(*batch, c, *length), numbers(first, second // groups, *kernel), numbers(o)


@pytest.mark.parametrize("name", NAMES[:2])
def test_convolution_equals_torch(name):
    for stride, padding, dilation, groups in itertools.product((1, 2, 5), (0, 1, 3, "valid", "same"), (1, 2), (1, 2)):
        if padding == "same" and stride > 1:
            continue
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        agree(name, *sizes(name, groups, 3, 7), options)


@pytest.mark.parametrize("name", NAMES[2:])
def test_transposed_convolution_equals_torch(name):
    for stride, padding, extra, dilation, groups in itertools.product((1, 2, 3), (0, 1), (0, 1), (1, 2), (1, 2)):
        if extra < max(stride, dilation):
            options = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}
            agree(name, *sizes(name, groups, 3, 4), {**options, "groups": groups})


@pytest.mark.parametrize("name", NAMES)
def test_edge_cases_equal_torch(name):
    for label, (x, w, b), options in [
        ("one of everything", sizes(name, 1, 1, 1, (1,), (1, 1)), {}),
        ("kernel = input", sizes(name, 1, 4, 4), {}),
        ("even kernel", sizes(name, 1, 4, 6), {"padding": 2}),
        ("padding larger than the input", sizes(name, 1, 3, 2), {"padding": 4 if "transpose" not in name else 0}),
        ("stride > kernel", sizes(name, 1, 2, 7), {"stride": 4}),
        ("one group per channel", sizes(name, 4, 3, 5, channels=(4, 8)), {"groups": 4}),
        ("empty batch", sizes(name, 2, 3, 5, (0,)), {"groups": 2, "padding": 1}),
        ("no batch", sizes(name, 2, 3, 5, ()), {"groups": 2, "stride": 2, "padding": 1}),
    ]:
        agree(name, x, w, b, options), label
    if "2d" in name:
        x, w, b = sizes(name, 1, 3, 6)
        agree(name, x, w, b, {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2)})
        if "transpose" in name:  # more output padding than stride, below dilation
            agree(name, x, w, b, {"stride": (1, 2), "dilation": (3, 1), "output_padding": (2, 1), "padding": (1, 2)})
        else:
            agree(name, x, w, b, {"padding": "same", "dilation": (2, 3)})
            agree(name, x.to(memory_format=torch.channels_last), w, b, {"padding": (0, 2)})


def test_every_even_kernel_pads_same_as_torch():
    for k, d in itertools.product((1, 2, 3, 4), (1, 2, 3)):
        agree("conv1d", numbers(2, 1, 6), numbers(1, 1, k), numbers(1), {"padding": "same", "dilation": d})


@pytest.mark.parametrize("name", NAMES)
def test_extremes_and_float32(name):
    x, w, b = sizes(name, 1, 3, 6)
    agree(name, 1e4 * x, -1e4 * w, b, {"stride": 2}, atol=1e-3)
    agree(name, x.float(), w.float(), b.float(), {"stride": 2}, rtol=1e-4, atol=1e-4)
    x[0, 0, 2] = float("inf")
    w = w.abs() + 1
    close(OURS[name](x, w, b), getattr(F, name)(x, w, b), f"{name} inf")


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    x, w, b = (t.requires_grad_() for t in sizes(name, 2, 2, 3, (1,), (2, 2)))
    for options in ({"stride": 2, "groups": 2}, {"padding": 1, "dilation": 2, "groups": 2}):
        assert torch.autograd.gradcheck(lambda *a, o=options: OURS[name](*a, **o), (x, w, b))
        assert torch.autograd.gradgradcheck(lambda *a, o=options: OURS[name](*a, **o), (x, w, b))


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_torch(name):
    from torch.testing._internal.common_methods_invocations import op_db

    [op] = [op for op in op_db if op.name == f"nn.functional.{name}"]
    seen = 0
    for sample in op.sample_inputs("cpu", torch.float64):
        w, b = (*sample.args, None)[:2]
        options = {k: v for k, v in sample.kwargs.items() if k != "bias"}
        given = dict(zip(("stride", "padding", "dilation", "groups"), sample.args[2:], strict=False))
        b = sample.kwargs.get("bias", b)
        b = b if b is not None else torch.zeros(F.__dict__[name](sample.input, w, **options).shape[-2 - ("2d" in name)],
                                                dtype=torch.float64)
        agree(name, sample.input.detach(), w.detach(), b.detach(), {**given, **options})
        seen += 1
    assert seen > 5


@settings(deadline=None, max_examples=25, derandomize=True)
@given(n=st.integers(1, 9), k=st.integers(1, 4), s=st.integers(1, 4), d=st.integers(1, 3), seed=st.integers(0, 99))
def test_windows_and_add_windows_are_transposes(n, k, s, d, seed):
    n += d * (k - 1)  # at least one window
    x = numbers(2, n, seed=seed)
    seen = windows(x, [k], s, d)
    v = numbers(*seen.shape, seed=seed + 1)
    assert torch.isclose((seen * v).sum(), (x * add_windows(v, [n], s, d)).sum(), rtol=1e-10, atol=1e-12)
    assert seen.data_ptr() == x.data_ptr()  # a view
    assert all(torch.equal(seen[:, a, i], x[:, i * s + a * d])
               for a, i in itertools.product(range(k), range(seen.shape[-1])))


def test_windows_equal_torch_unfold():
    x = numbers(2, 3, 5, 6)[:, :, 1:].transpose(2, 3)  # neither whole nor in order
    ours = windows(x, [2, 3], (2, 1), (1, 1))
    close(ours.flatten(4).flatten(1, 3), F.unfold(x, (2, 3), stride=(2, 1)), "unfold")
    v = numbers(*ours.shape, seed=1)
    close(add_windows(v, [6, 4], (2, 1)), F.fold(v.flatten(4).flatten(1, 3), (6, 4), (2, 3), stride=(2, 1)), "fold")


BAD = [  # what is wrong, name, shapes of x and w, options, what the sentence says
    ("dimensions", "conv2d", (3, 3), (1, 3, 2, 2), {}, r"\(N, C, H, W\)"),
    ("dimensions", "conv1d", (4,), (1, 1, 2), {}, r"unsqueeze"),
    ("channels", "conv2d", (1, 2, 5, 5), (1, 3, 2, 2), {}, "expected 3 channels"),
    ("channels last", "conv2d", (1, 5, 5, 3), (1, 3, 2, 2), {}, "movedim"),
    ("channels", "conv_transpose1d", (1, 2, 5), (3, 1, 2), {}, "expected 3 channels"),
    ("weight", "conv1d", (1, 2, 5), (2, 2), {}, "3 dimensions"),
    ("groups", "conv1d", (1, 4, 5), (3, 2, 2), {"groups": 2}, "groups that divide"),
    ("groups", "conv1d", (1, 4, 5), (3, 2, 2), {"groups": 0}, "groups that divide"),
    ("kernel", "conv2d", (1, 1, 2, 2), (1, 1, 3, 3), {}, "fits into the padded input"),
    ("kernel", "conv1d", (1, 1, 4), (1, 1, 3), {"dilation": 2}, "spans 5"),
    ("stride", "conv1d", (1, 1, 4), (1, 1, 3), {"stride": 0}, "stride of at least 1"),
    ("stride", "conv2d", (1, 1, 4, 4), (1, 1, 3, 3), {"stride": (1, 2, 3)}, "one number or 2"),
    ("padding", "conv1d", (1, 1, 4), (1, 1, 3), {"padding": -1}, "padding of at least 0"),
    ("padding", "conv1d", (1, 1, 4), (1, 1, 3), {"padding": "full"}, "'valid', 'same'"),
    ("padding", "conv1d", (1, 1, 4), (1, 1, 3), {"padding": "same", "stride": 2}, "stride 1"),
    ("dilation", "conv1d", (1, 1, 4), (1, 1, 3), {"dilation": 0}, "dilation of at least 1"),
    ("stride", "conv1d", (1, 1, 4), (1, 1, 3), {"stride": 1.5}, "whole number"),
    ("bias", "conv1d", (1, 1, 4), (2, 1, 3), {"bias": torch.zeros(3, dtype=torch.float64)}, r"shape \[2\]"),
    ("dtype", "conv1d", (1, 1, 4), (1, 1, 3), {"bias": torch.zeros(1)}, "one dtype"),
    ("nothing in it", "conv1d", (1, 1, 0), (1, 1, 3), {}, "channels and pixels"),
    ("output_padding", "conv_transpose1d", (1, 1, 4), (1, 1, 3), {"output_padding": 1}, "below stride or dilation"),
    ("padding", "conv_transpose1d", (1, 1, 1), (1, 1, 3), {"padding": 2}, "leaves something"),
]


@pytest.mark.parametrize(("name", "x", "w", "options", "says"), [case[1:] for case in BAD])
def test_bad_input_raises_as_torch(name, x, w, options, says):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        getattr(F, name)(numbers(*x), numbers(*w), **options)
    with pytest.raises(theirs.type, match=says) as ours:
        OURS[name](numbers(*x), numbers(*w), **options)
    assert str(ours.value).startswith("expected ")


def test_a_gradient_of_another_shape_is_refused():
    for name, shape in (("conv1d", (1, 1, 4)), ("conv_transpose1d", (1, 1, 5))):
        with pytest.raises(RuntimeError, match="shape of the output"):
            OURS[f"{name}_backward"](numbers(*shape), numbers(1, 1, 4), numbers(1, 1, 3))
    with pytest.raises(RuntimeError, match="where the last window ends"):
        add_windows(numbers(3, 4), [5])
    with pytest.raises(RuntimeError, match="fits into"):
        windows(numbers(3), [4])


# ---- the layers

GRID = [
    ("Conv1d", (4, 6, 3), {}), ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "reflect", "stride": 2}),
    ("Conv1d", (4, 4, 2), {"groups": 4, "bias": False, "padding": "same", "padding_mode": "circular"}),
    ("Conv2d", (4, 6, (3, 2)), {"padding": (1, 0), "stride": (2, 1)}),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "replicate", "dilation": 2}),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "reflect"}),
    ("Conv2d", (4, 6, 4), {"padding": "same", "padding_mode": "circular", "groups": 2}),
    ("Conv2d", (4, 6, 3), {"padding": "valid", "padding_mode": "reflect"}),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "groups": 2, "bias": False, "dilation": (1, 2)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options"), GRID)
def test_layer_equals_torch(name, args, options):
    torch.manual_seed(0)
    theirs = getattr(nn, name)(*args, **options, dtype=torch.float64)
    torch.manual_seed(0)
    fresh = getattr(layers, name)(*args, **options, dtype=torch.float64)
    ours = getattr(layers, name).load_from_torch(theirs)
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    for (key, value), like in zip(fresh.state_dict().items(), theirs.state_dict().values(), strict=True):
        close(value, like, f"{name} starts with PyTorch's {key}")
    x = numbers(2, 4, 7) if "1d" in name else numbers(2, 4, 7, 6)
    for sample in (x, x[0]):
        close(ours(sample), theirs(sample), f"{name} {options}")
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(a.grad, b.grad, f"{name} {options}")
    assert str(args[0]) in repr(ours)
    theirs.load_state_dict(ours.state_dict())


def test_output_size_of_a_transposed_layer():
    for size in (7, 8):
        theirs = nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1).double()
        ours = layers.ConvTranspose1d.load_from_torch(theirs)
        x = numbers(1, 2, 4)
        close(ours(x, [size]), theirs(x, [size]), f"output_size {size}")
        with pytest.raises(ValueError, match="output size"):
            theirs(x, [9])
        with pytest.raises(ValueError, match=r"from \[7\] to \[8\]"):
            ours(x, [9])


@pytest.mark.parametrize(("name", "args", "options", "says"), [
    ("Conv2d", (3, 4, 3), {"groups": 2}, "divide both"), ("Conv2d", (4, 4, 3), {"groups": 0}, "divide both"),
    ("Conv1d", (3, 4, 3), {"padding": "full"}, "'valid', 'same'"),
    ("Conv1d", (3, 4, 3), {"padding": "same", "stride": 2}, "stride 1"),
    ("Conv2d", (3, 4, 3), {"padding_mode": "mirror"}, "one of"),
    ("ConvTranspose2d", (3, 4, 3), {"padding_mode": "reflect"}, "one of"),
])  # fmt: skip
def test_bad_options_of_layers(name, args, options, says):
    with pytest.raises(ValueError):  # noqa: PT011
        getattr(nn, name)(*args, **options)
    with pytest.raises(ValueError, match=says):
        getattr(layers, name)(*args, **options)


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"])
def test_samples_of_torch_for_layers(name):
    from torch.testing._internal.common_modules import module_db

    [info] = [info for info in module_db if info.name == f"nn.{name}"]
    inputs = info.module_inputs_func(info, "cpu", torch.float64, requires_grad=False, training=True)
    for sample in inputs:
        arguments, call = sample.constructor_input, sample.forward_input
        theirs = getattr(nn, name)(*arguments.args, **arguments.kwargs).double()
        ours = getattr(layers, name).load_from_torch(theirs)
        close(ours(*call.args, **call.kwargs), theirs(*call.args, **call.kwargs), f"{name} {arguments.args}")
    assert inputs


# ---- each of these faults must turn a comparison red

FAULTS = [
    ("conv1d", "convolve_input", lambda right: lambda g, w, *rest: right(g, w.flip(-1), *rest)),
    ("conv2d", "convolve_weight", lambda right: lambda g, *rest: right(g, *rest) / len(g)),
    ("conv2d", "convolve_weight", lambda right: lambda g, *rest: -right(g, *rest)),
    ("conv1d", "columns", lambda right: lambda x, *rest: right(x.flip(-1), *rest)),
    ("conv1d", "with_bias", lambda right: lambda y, b: y),
    ("conv_transpose1d", "convolve_input", lambda right: lambda g, w, *rest: right(g, w.flip(-1), *rest)),
    ("conv_transpose2d", "convolve", lambda right: lambda g, w, *rest: right(g, w.mT.contiguous().view_as(w), *rest)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "part", "fault"), FAULTS)
def test_a_planted_fault_is_seen(monkeypatch, name, part, fault):
    options = {"stride": 2, "padding": 1}
    agree(name, *sizes(name, 1, 3, 6), options)
    monkeypatch.setattr(_convolve, part, fault(getattr(_convolve, part)))
    with pytest.raises(AssertionError):
        agree(name, *sizes(name, 1, 3, 6), options)
