"""The losses against PyTorch: value, written gradient and autograd, over options, shapes, dtypes and extremes."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dlguide.functional import losses

INF = float("inf")
REDUCTIONS = ("none", "mean", "sum")
PROPERTY = settings(deadline=None, max_examples=25, derandomize=True)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def classes(count, *shape, seed=0):
    return torch.randint(count, shape, generator=torch.Generator().manual_seed(seed))


def gradients(loss, inputs, rest, options):
    """The value, and autograd's gradients of its sum."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*inputs, *rest, **options)
    return value.detach(), torch.autograd.grad(value.sum(), inputs)


def agree(name, inputs, *rest, autograd=True, rtol=1e-10, atol=1e-12, **options):
    """Our value, our written gradient and autograd through our value equal PyTorch's, nan and infinity included."""
    case = f"{name} {[tuple(x.shape) for x in inputs]} {options}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broadcasting and kl_div(reduction="mean") warn, see the tests of that
        value, expected = gradients(getattr(F, name), inputs, rest, options)
        ours, by_autograd = gradients(getattr(losses, name), inputs, rest, options)
        written = getattr(losses, f"{name}_gradient")(*inputs, *rest, **options)
    written = written if isinstance(written, tuple) else (written,)
    close(f"{case} value", [ours], [value], rtol, atol)
    close(f"{case} written gradient", written, expected, rtol, atol)
    if autograd:
        close(f"{case} autograd", by_autograd, expected, rtol, atol)


def close(case, ours, theirs, rtol, atol):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True, msg=lambda said: f"{case}: {said}")


SHAPES = [(), (1,), (0,), (5,), (2, 3), (2, 0), (2, 3, 4)]
TIES = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e4, -1e4, 1e-300], dtype=torch.float64)


@pytest.mark.parametrize(("name", "options"), [
    ("mse_loss", [{}]), ("l1_loss", [{}]), ("huber_loss", [{"delta": d} for d in (0.5, 1.0, 2.0)]),
    ("smooth_l1_loss", [{"beta": b} for b in (0.0, 0.5, 1.0, 2.0)]),
])
def test_regression(name, options):
    for option, reduction in itertools.product(options, REDUCTIONS):
        for shape in SHAPES:
            agree(name, [draw(*shape)], draw(*shape, seed=1), reduction=reduction, **option)
        agree(name, [TIES], torch.zeros_like(TIES), reduction=reduction, **option)
        for a, b in (((2, 3), (3,)), ((3,), (4, 3)), ((4, 1), (4,))):
            agree(name, [draw(*a)], draw(*b, seed=1), reduction=reduction, **option)
        infinite = torch.tensor([INF, -INF, 0.0, float("nan")], dtype=torch.float64)
        agree(name, [infinite], torch.zeros(4).double(), reduction=reduction, autograd=False, **option)
        if name in ("mse_loss", "l1_loss"):
            agree(name, [draw(4)], torch.arange(4), reduction=reduction)  # integer targets, as PyTorch


def test_class_indices():
    weights = [None, torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)]
    shapes = [(1, 4), (5, 4), (5, 4, 2), (2, 4, 3, 2), (0, 4), (3, 4, 0)]
    for shape, weight, reduction, ignore in itertools.product(shapes, weights, REDUCTIONS, (-100, 1, 7)):
        z, t = 3 * draw(*shape), classes(4, shape[0], *shape[2:])
        if ignore == 7 and t.numel():
            t.view(-1)[0] = 7
        options = {"weight": weight, "ignore_index": ignore, "reduction": reduction}
        agree("nll_loss", [z.log_softmax(1)], t, **options)
        for smoothing in (0.0, 0.1, 1.0):
            agree("cross_entropy", [z], t, label_smoothing=smoothing, **options)
    for reduction in REDUCTIONS:  # one example without a batch dimension
        agree("nll_loss", [draw(4)], torch.tensor(2), reduction=reduction)
        agree("cross_entropy", [draw(4)], torch.tensor(2), reduction=reduction)
        for name in ("nll_loss", "cross_entropy"):  # PyTorch's backward pass fails for this shape
            ours, theirs = (getattr(lib, name)(draw(4), torch.tensor([2]), reduction=reduction) for lib in (losses, F))
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    agree("cross_entropy", [draw(4)], torch.tensor(2), label_smoothing=0.1)
    agree("cross_entropy", [draw(3, 4)], torch.tensor([0, 1, 2], dtype=torch.uint8))


def test_class_probabilities():
    weight = torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
    for shape in ((4,), (1, 4), (5, 4), (2, 4, 3), (0, 4)):
        z, q = draw(*shape), draw(*shape, seed=1).softmax(0 if len(shape) == 1 else 1)
        for w, reduction, smoothing in itertools.product((None, weight), REDUCTIONS, (0.0, 0.1, 1.0)):
            agree("cross_entropy", [z], q, weight=w, reduction=reduction, label_smoothing=smoothing)
    agree("cross_entropy", [draw(5, 4)], draw(5, 4, seed=1))  # what is no distribution, as PyTorch computes it


def test_mean_over_nothing_is_nan_and_has_no_slope():
    z, t = draw(3, 4), torch.full((3,), -100)
    for options in ({}, {"label_smoothing": 0.1}, {"weight": torch.ones(4, dtype=torch.float64)}):
        agree("cross_entropy", [z], t, autograd=False, **options)
        assert losses.cross_entropy(z, t, **options).isnan()
        assert not losses.cross_entropy_gradient(z, t, **options).any()
    agree("nll_loss", [z], t, autograd=False)
    weightless = torch.tensor([0.0, 1, 1, 1], dtype=torch.float64)
    for name in ("cross_entropy", "nll_loss"):
        agree(name, [z], torch.zeros(3, dtype=torch.long), weight=weightless, autograd=False)
    agree("mse_loss", [z[:0]], z[:0])


def test_extreme_scores():
    z = torch.tensor([[1e4, 0, -1e4], [1.0, -INF, 2.0], [-INF, -INF, 0.0], [0, 0, 0]], dtype=torch.float64)
    for target, reduction in itertools.product(([0, 0, 2, 1], [2, 2, 2, 2], [1, 1, 1, 1]), REDUCTIONS):
        agree("cross_entropy", [z], torch.tensor(target), reduction=reduction, autograd=False)
    agree("cross_entropy", [z[:1]], torch.tensor([2]), label_smoothing=0.1)
    agree("cross_entropy", [torch.tensor([[INF, 0.0]]).double()], torch.tensor([1]), autograd=False)  # nan in both
    agree("nll_loss", [torch.tensor([[-INF, 0.0]]).double()], torch.tensor([0]), reduction="none")
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4, 800, -800, 0, 40, -40, 1e-20], dtype=torch.float64)
    for t in (torch.zeros(10).double(), torch.ones(10).double(), torch.full((10,), 0.3).double()):
        for positive in (None, torch.tensor(3.0).double()):
            agree("binary_cross_entropy_with_logits", [logits], t, pos_weight=positive)
    ends = torch.tensor([0.0, 0.0, 1.0, 1.0, 1e-30, 1e-300, 1 - 1e-16], dtype=torch.float64)
    for targets in ([0.0, 1, 0, 1, 1, 1, 0], [0.5] * 7):
        options = {"reduction": "none", "rtol": 1e-8, "autograd": False}
        agree("binary_cross_entropy", [ends], torch.tensor(targets).double(), **options)


def test_binary():
    for shape, reduction in itertools.product(SHAPES, REDUCTIONS):
        z, t = 5 * draw(*shape), draw(*shape, seed=1).sigmoid()
        p = z.sigmoid()
        weights = [None, draw(*shape, seed=2).abs()] + ([draw(shape[-1], seed=3).abs()] if shape else [])
        for weight in weights:
            agree("binary_cross_entropy", [p], t, weight=weight, reduction=reduction)
            for positive in weights:
                agree("binary_cross_entropy_with_logits", [z], t, weight=weight, pos_weight=positive,
                      reduction=reduction)


def test_two_classes_are_the_binary_case():
    z, t = draw(6, 2), classes(2, 6)
    binary = losses.binary_cross_entropy_with_logits(z[:, 1] - z[:, 0], t.double())
    torch.testing.assert_close(losses.cross_entropy(z, t), binary, rtol=1e-12, atol=0)


def test_kl_div():
    for shape in ((4,), (5, 4), (2, 4, 3), (0, 4)):
        for reduction in ("none", "mean", "sum", "batchmean"):
            log_q, p = draw(*shape).log_softmax(-1), draw(*shape, seed=1).softmax(-1)
            agree("kl_div", [log_q], p, reduction=reduction)
            agree("kl_div", [log_q], p.log(), reduction=reduction, log_target=True)
    for reduction in ("none", "mean", "sum", "batchmean"):
        agree("kl_div", [draw(5, 4)], draw(4, seed=1).softmax(0), reduction=reduction)
        agree("kl_div", [draw(4)], draw(5, 4, seed=1).softmax(1), reduction=reduction)
        agree("kl_div", [draw()], torch.tensor(0.5).double(), reduction=reduction)
    certain = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    agree("kl_div", [draw(2, 2).log_softmax(1)], certain, reduction="batchmean")
    agree("kl_div", [certain.log()], certain, reduction="none")


def test_margins():
    x = torch.tensor([[1.0, 2.0, 0.5], [0.5, 0.0, 1.5]], dtype=torch.float64)
    t = torch.tensor([[1, -1, -1], [0, -1, 1]])
    for margin, reduction in itertools.product((1.0, 2.0, 0.0), REDUCTIONS):
        for shape in SHAPES:
            signs = 2 * classes(2, *shape) - 1
            agree("hinge_embedding_loss", [draw(*shape)], signs, margin=margin, reduction=reduction)
        agree("hinge_embedding_loss", [x], t, margin=margin, reduction=reduction)
        agree("hinge_embedding_loss", [x], t[0], margin=margin, reduction=reduction)
    weight = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    for p, margin, w, reduction in itertools.product((1, 2), (1.0, 0.5), (None, weight), REDUCTIONS):
        options = {"p": p, "margin": margin, "weight": w, "reduction": reduction}
        agree("multi_margin_loss", [draw(5, 3)], classes(3, 5), **options)
        agree("multi_margin_loss", [draw(1, 3)], classes(3, 1), **options)
        agree("multi_margin_loss", [draw(3)], torch.tensor(1), **options)
        agree("multi_margin_loss", [draw(3)], torch.tensor([1]), **options)
        agree("multi_margin_loss", [x], torch.tensor([0, 2]), autograd=p == 2, **options)  # ties: no slope
    assert losses.multi_margin_loss(x[:0], torch.tensor([], dtype=torch.long), reduction="sum") == 0


def test_support_vector_machine():
    f, y = draw(20), 2.0 * classes(2, 20) - 1
    hinge = (1 - y * f).clamp(min=0).mean()
    torch.testing.assert_close(losses.hinge_embedding_loss(y * f, -torch.ones(20)), hinge, rtol=1e-12, atol=0)


def test_triplets():
    for shape in ((6, 3), (1, 1), (3,), (2, 4, 3), (0, 3)):
        vectors = [draw(*shape, seed=s) for s in range(3)]
        for p, swap, reduction in itertools.product((1, 2, 3, INF), (False, True), REDUCTIONS):
            options = {"p": p, "swap": swap, "reduction": reduction}
            agree("triplet_margin_loss", vectors, **options)
            agree("triplet_margin_loss", vectors, margin=0.2, eps=1e-3, **options)
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    for p in (1, 2, 3, INF):  # equal vectors, equal distances, a loss that is exactly 0
        for swap in (False, True):
            agree("triplet_margin_loss", [a, a, a.flip(0)], eps=0.0, p=p, swap=swap)
            agree("triplet_margin_loss", [a, a, a + 1], eps=0.0, p=p, swap=swap)
    agree("triplet_margin_loss", [draw(4, 3), draw(1, 3, seed=1), draw(4, 3, seed=2)])


def test_cosines():
    for shape in ((6, 3), (1, 1), (3,), (0, 3)):
        a, b = draw(*shape), draw(*shape, seed=1)
        t = 2 * classes(2, *shape[:-1]) - 1
        for margin, reduction in itertools.product((0.0, 0.3, -0.5), REDUCTIONS):
            agree("cosine_embedding_loss", [a, b], t, margin=margin, reduction=reduction)
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1e4, 0.0], [1.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3e4, 0.0], [1.0, 1.0]], dtype=torch.float64)
    for t in ([1, 1, 1, 0], [-1, -1, -1, 0]):
        agree("cosine_embedding_loss", [a, b], torch.tensor(t), rtol=1e-8)  # PyTorch's 1e-12 is a float32


NAMES = sorted(name for name in losses.__all__ if not name.endswith("_gradient"))


@pytest.fixture
def samples():
    """PyTorch's own examples for its functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

    found = {op.name.removeprefix("nn.functional."): op for op in op_db if op.name.startswith("nn.functional.")}

    def of(name):
        if name not in found:
            return
        for sample in found[name].sample_inputs("cpu", torch.float64, requires_grad=False):
            options = {k: v for k, v in sample.kwargs.items() if k not in ("size_average", "reduce")}
            yield sample.input, sample.args, options

    return of


@pytest.mark.parametrize("name", NAMES)
def test_on_the_examples_of_pytorch(name, samples):
    count, vectors = 0, {"triplet_margin_loss": 3, "cosine_embedding_loss": 2}.get(name, 1)
    for first, rest, options in samples(name):
        if "weight" in options and name in ("mse_loss", "l1_loss", "huber_loss"):
            continue  # an option of these three that we leave out
        inputs = [first, *rest[: vectors - 1]]
        empty = name == "multi_margin_loss" and not first.numel()
        if not empty and all(isinstance(x, Tensor) for x in rest[: vectors - 1]):
            agree(name, inputs, *rest[vectors - 1 :], autograd=name != "multi_margin_loss", **options)
            count += 1
    assert count >= 2, f"{name}: PyTorch has no examples"


SIMPLE = {  # name: inputs and targets of a plain call
    "mse_loss": (1, lambda: (draw(3, 4), draw(3, 4, seed=1))),
    "l1_loss": (1, lambda: (draw(3, 4), draw(3, 4, seed=1))),
    "huber_loss": (1, lambda: (draw(3, 4), draw(3, 4, seed=1))),
    "smooth_l1_loss": (1, lambda: (draw(3, 4), draw(3, 4, seed=1))),
    "cross_entropy": (1, lambda: (draw(3, 4), classes(4, 3))),
    "nll_loss": (1, lambda: (draw(3, 4).log_softmax(1), classes(4, 3))),
    "binary_cross_entropy": (1, lambda: (draw(3, 4).sigmoid(), draw(3, 4, seed=1).sigmoid())),
    "binary_cross_entropy_with_logits": (1, lambda: (draw(3, 4), draw(3, 4, seed=1).sigmoid())),
    "kl_div": (1, lambda: (draw(3, 4).log_softmax(1), draw(3, 4, seed=1).softmax(1))),
    "hinge_embedding_loss": (1, lambda: (draw(3, 4), 2 * classes(2, 3, 4) - 1)),
    "multi_margin_loss": (1, lambda: (draw(3, 4), classes(4, 3))),
    "triplet_margin_loss": (3, lambda: (draw(3, 4), draw(3, 4, seed=1), draw(3, 4, seed=2))),
    "cosine_embedding_loss": (2, lambda: (draw(3, 4), draw(3, 4, seed=1), 2 * classes(2, 3) - 1)),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_loss(name):
    """float32 keeps its dtype, gradcheck passes, unknown reductions are named, inputs stay as they were."""
    count, make = SIMPLE[name]
    arguments = make()
    single = [x.float() if x.is_floating_point() else x for x in arguments]
    agree(name, single[:count], *single[count:], rtol=1e-5, atol=1e-6, reduction="sum")
    assert getattr(losses, name)(*single, reduction="sum").dtype == torch.float32
    leaves = [x.requires_grad_() for x in arguments[:count]]
    assert torch.autograd.gradcheck(lambda *x: getattr(losses, name)(*x, *arguments[count:], reduction="sum"), leaves)
    for function in (getattr(losses, name), getattr(losses, f"{name}_gradient")):
        with pytest.raises(ValueError, match="unknown reduction 'average': use one of 'none', 'mean', 'sum'"):
            function(*arguments, reduction="average")
        before = [x.detach().clone() for x in single]
        function(*single, reduction="sum")
        assert all(torch.equal(a, b) for a, b in zip(before, single, strict=True))


P, Q = torch.rand(3), torch.ones(3, 1)
LONG = torch.tensor([0, 1, 2])
BAD = [  # function, arguments, options, what our sentence says
    ("mse_loss", (draw(3), draw(4)), {}, "must match"),
    ("huber_loss", (P, P), {"delta": 0.0}, "give a number above 0"),
    ("smooth_l1_loss", (P, P), {"beta": -1.0}, "give 0 or more"),
    ("cross_entropy", (draw(3, 4), LONG[:2]), {}, "one class index for each example"),
    ("cross_entropy", (draw(3, 4), torch.tensor([0, 1, 4])), {}, "class 4, but 4 classes are numbered from 0 to 3"),
    ("cross_entropy", (draw(3, 4), torch.tensor([0, 1, -1])), {}, "class -1"),
    ("cross_entropy", (draw(3, 4), LONG.double()), {}, "use target.long"),
    ("cross_entropy", (draw(3, 4), LONG.int()), {}, "use target.long"),
    ("cross_entropy", (draw(3, 4), LONG[:, None]), {}, "target.squeeze"),
    ("cross_entropy", (draw(2, 3, 4), torch.zeros(2, 5).long()), {}, "needs \\(2, 4\\)"),
    ("cross_entropy", (draw(3, 4), torch.ones(3, 4).long()), {}, "holds class probabilities"),
    ("cross_entropy", (draw(3, 4), draw(3, 4).softmax(1)), {"ignore_index": 2}, "leave it out"),
    ("cross_entropy", (draw(3, 4), LONG), {"weight": torch.ones(3).double()}, "give one number for each"),
    ("cross_entropy", (draw(3, 4), LONG), {"label_smoothing": 1.5}, "a number from 0 to 1"),
    ("cross_entropy", (LONG[None], LONG[:1]), {}, "use input.float"),
    ("cross_entropy", (draw(), torch.tensor(0)), {}, "class probabilities"),
    ("nll_loss", (draw(), torch.tensor(0)), {}, "a score for each class"),
    ("nll_loss", (draw(3, 4), LONG[:2]), {}, "one class index for each example"),
    ("nll_loss", (draw(3, 4), torch.tensor([0, 1, 4])), {}, "class 4"),
    ("nll_loss", (draw(3, 4), torch.ones(3, 4)), {}, "use target.long"),
    ("binary_cross_entropy", (P, Q), {}, "give both the same"),
    ("binary_cross_entropy", (P + 1, P), {}, "input holds a number outside 0 to 1"),
    ("binary_cross_entropy", (P, P + 1), {}, "target holds a number outside"),
    ("binary_cross_entropy", (P, LONG), {}, "use target.float"),
    ("binary_cross_entropy", (torch.rand(2, 3), torch.ones(2, 3)), {"weight": torch.ones(2)}, "broadcast"),
    ("binary_cross_entropy_with_logits", (P, Q), {}, "give both the same"),
    ("binary_cross_entropy_with_logits", (P, LONG), {}, "use target.float"),
    ("binary_cross_entropy_with_logits", (draw(2, 3), draw(2, 3)), {"pos_weight": torch.ones(2)}, "must match"),
    ("multi_margin_loss", (draw(3, 4), LONG), {"p": 3}, "only 1 and 2"),
    ("multi_margin_loss", (draw(3, 4), LONG), {"weight": torch.ones(3).double()}, "one number for each"),
    ("multi_margin_loss", (draw(3, 4), torch.tensor([0, 1, 4])), {}, "class 4"),
    ("multi_margin_loss", (draw(3, 4), LONG[:2]), {}, "one class index for each"),
    ("multi_margin_loss", (draw(1, 3, 4), LONG[:1]), {}, r"shape \(N, C\) or \(C,\)"),
    ("multi_margin_loss", (draw(3, 4), LONG.double()), {}, "use target.long"),
    ("triplet_margin_loss", (draw(3, 4), draw(3, 4), draw(4)), {}, "all three the same shape"),
    ("triplet_margin_loss", (draw(3, 4), draw(3, 4), draw(2, 4)), {}, "must match"),
    ("triplet_margin_loss", (draw(3, 4),) * 3, {"margin": 0.0}, "a number above 0"),
    ("cosine_embedding_loss", (draw(4), draw(4), LONG[:1]), {}, "one target each"),
    ("cosine_embedding_loss", (draw(3, 4), draw(3, 4), LONG[:2]), {}, "must match"),
]


def test_bad_input_raises_what_pytorch_raises():
    for name, arguments, options, said in BAD:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shapes that do not even broadcast
            with pytest.raises(Exception) as theirs:  # noqa: PT011
                getattr(F, name)(*arguments, **options)
            for function in (getattr(losses, name), getattr(losses, f"{name}_gradient")):
                with pytest.raises(type(theirs.value), match=said):
                    function(*arguments, **options)


def test_warnings():
    for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"):
        for library in (F, losses):
            with pytest.warns(UserWarning, match="broadcast"):
                getattr(library, name)(P, Q)
    for library in (F, losses):
        with pytest.warns(UserWarning, match="batchmean"):
            library.kl_div(P, P)


@PROPERTY
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.data())
def test_gradient_of_cross_entropy_sums_to_zero(scores, data):
    """Raising all scores together changes nothing, so the slopes of one example add up to 0."""
    z = torch.tensor([scores], dtype=torch.float64)
    t = torch.tensor([data.draw(st.integers(0, len(scores) - 1))])
    slopes = losses.cross_entropy_gradient(z, t, label_smoothing=0.2)
    assert abs(slopes.sum().item()) < 1e-12
    moved = losses.cross_entropy(z + 7, t) - losses.cross_entropy(z, t)
    assert abs(moved.item()) < 1e-10


@PROPERTY
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6))
def test_divergence_is_never_negative(scores):
    log_q = torch.tensor([scores], dtype=torch.float64).log_softmax(1)
    p = log_q.flip(1).exp()
    assert losses.kl_div(log_q, p, reduction="batchmean").item() >= -1e-12
    assert abs(losses.kl_div(log_q, log_q.exp(), reduction="batchmean").item()) < 1e-12


@PROPERTY
@given(st.floats(-100, 100), st.floats(0.1, 10))
def test_huber_lies_below_both(error, delta):
    """The Huber loss is at most the halved square and at most delta times the absolute error."""
    x, zero = torch.tensor([error], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    value = losses.huber_loss(x, zero, delta=delta).item()
    assert value <= 0.5 * error**2 + 1e-9
    assert value <= delta * abs(error) + 1e-9


def test_the_logarithm_of_almost_certain_answers():
    """1 - p rounds to 1 for a tiny p, so that log(1 - p) would be 0."""
    p, no = torch.tensor([1e-20, 1e-9, 1e-3], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    ours = losses.binary_cross_entropy(p, no, reduction="none")
    torch.testing.assert_close(ours, F.binary_cross_entropy(p, no, reduction="none"), rtol=1e-12, atol=0)


@pytest.mark.parametrize("options", [{"swap": True}, {"p": INF}, {"p": INF, "swap": True}], ids=str)
def test_equal_distances_share_the_slope(options):
    """The negative is as far from the anchor as from the positive, and both entries of a difference are the largest."""
    rows = ([[0.0, 0.0]], [[2.0, 2.0]], [[2.0, 0.0]])
    a, b, c = (torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in rows)
    theirs = F.triplet_margin_loss(a, b, c, eps=0.0, **options)
    truth = torch.autograd.grad(theirs, (a, b, c))
    for found, true in zip(losses.triplet_margin_loss_gradient(a, b, c, eps=0.0, **options), truth, strict=True):
        torch.testing.assert_close(found, true, rtol=1e-12, atol=0)
