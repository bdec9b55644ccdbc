"""Every public function and layer of the package, with inputs: the table of the parity tests.

tests/dlguide/test_gpu_tables.py fails when a public name is missing here.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dlguide import backprop, functional, layers
from tests.gpu.parity import Case, numbers


def public(package: Any) -> dict[str, Any]:
    """The public functions and classes that the modules of a package define."""
    found: dict[str, Any] = {}
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "._" not in info.name:
            module = importlib.import_module(info.name)
            mine = {k: v for k, v in vars(module).items() if getattr(v, "__module__", "") == info.name}
            found |= {k: v for k, v in mine.items() if k[0] != "_" and (inspect.isfunction(v) or inspect.isclass(v))}
    return found


FUNCTIONS, LAYERS = public(functional), public(layers)


def call(name: str, *inputs: Any, note: str = "", **options: Any) -> Case:
    """A function; backward passes by formula are compared as they are, the others with their autograd gradient."""
    by_formula = name.endswith(("_backward", "_derivative", "_gradient"))
    return Case(name, lambda *given: FUNCTIONS[name](*given, **options), inputs, note, gradient=not by_formula)


def layer(name: str, *arguments: Any, inputs: tuple[Any, ...], note: str = "", **options: Any) -> Case:
    return Case(name, lambda: LAYERS[name](*arguments, **options), inputs, note, layer=True)


def fixed(*shape: int) -> Tensor:
    """Random numbers without a gradient."""
    return numbers(f"fixed{shape}", *shape)


def whole(high: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(high, shape, generator=generator)


def share(*shape: int) -> Tensor:
    """Numbers between 0 and 1."""
    return torch.sigmoid(fixed(*shape))


SIGNS = torch.tensor([1, -1, 1, -1, 1])
CAUSAL = torch.ones(4, 4, dtype=torch.bool).tril()
SIZES = torch.tensor([3, 2, 2, 1])  # of the batch at each time step: three packed sequences, of lengths 4, 3, 1

# ---- activations: the same numbers for all, on both sides of every corner and of every overflow ----
EDGES = torch.tensor([-1e3, -30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 30.0, 1e3], dtype=torch.float64)
ELEMENTWISE: dict[str, dict[str, Any]] = {
    "sigmoid": {}, "tanh": {}, "softplus": {"beta": 2.0}, "relu": {}, "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 0.7}, "selu": {}, "gelu": {}, "silu": {}, "mish": {},
}  # fmt: skip
ACTIVATIONS = [
    case
    for name, options in ELEMENTWISE.items()
    for case in (
        call(name, (4, 6), **options),
        Case(name, lambda x, name=name: FUNCTIONS[name](x), (EDGES,), "edges", gradient=False),
        call(f"{name}_derivative", EDGES, **options),
    )
] + [
    call("gelu", (4, 6), note="tanh", approximate="tanh"),
    call("gelu_derivative", fixed(4, 6), note="tanh", approximate="tanh"),
    call("prelu", (3, 4, 2), (4,)),
    call("prelu_derivative", fixed(3, 4), fixed(4)),
    call("prelu_backward", fixed(3, 4), fixed(3, 4), fixed(4)),
    call("glu", (3, 6)),
    call("glu_backward", fixed(3, 3), fixed(3, 6)),
    call("swiglu", (3, 4), (3, 4)),
    call("swiglu_backward", fixed(3, 4), fixed(3, 4), fixed(3, 4)),
    call("softmax", (3, 5), dim=1),
    call("softmax_backward", fixed(3, 5), fixed(3, 5), dim=1),
    call("log_softmax", (3, 5), dim=0),
    call("log_softmax_backward", fixed(3, 5), fixed(3, 5), dim=0),
]

# ---- linear, convolution, pooling ----
SQUARE: dict[str, Any] = {"stride": 2, "padding": 1, "groups": 2}
SHAPES = {"1d": (7,), "2d": (7, 6)}
LINEAR = [
    call("linear", (3, 4, 5), (2, 5), (2,)),
    call("linear_backward", fixed(3, 4, 2), fixed(3, 4, 5), fixed(2, 5)),
]
CONVOLUTIONS, POOLS = [], []
for _d, _size in SHAPES.items():
    _kernel, _half = (3,) * len(_size), tuple((n + 2 - 3) // 2 + 1 for n in _size)
    _x, _picture = (2, 4, *_size), fixed(2, 4, *_size)
    _up = tuple((n - 1) * 2 - 2 + 3 for n in _size)
    CONVOLUTIONS += [
        call(f"conv{_d}", _x, (6, 2, *_kernel), (6,), **SQUARE),
        call(f"conv{_d}", _x, (6, 4, *_kernel), note="same", padding="same", dilation=2),
        call(f"conv{_d}_backward", fixed(2, 6, *_half), _picture, fixed(6, 2, *_kernel), **SQUARE),
        call(f"conv_transpose{_d}", _x, (4, 3, *_kernel), (6,), **SQUARE),
        call(f"conv_transpose{_d}_backward", fixed(2, 6, *_up), _picture, fixed(4, 3, *_kernel), **SQUARE),
    ]
    _behind = fixed(2, 4, *(n // 2 for n in _size))
    POOLS += [
        call(f"max_pool{_d}", _x, kernel_size=2),
        call(f"max_pool{_d}", _picture, note="indices", kernel_size=3, stride=2, padding=1, return_indices=True),
        call(f"max_pool{_d}_backward", _behind, _picture, kernel_size=2),
        call(f"avg_pool{_d}", _x, kernel_size=3, stride=2, padding=1, count_include_pad=False),
        call(f"avg_pool{_d}_backward", _behind, _picture, kernel_size=2),
        call(f"lp_pool{_d}", _x, norm_type=2.0, kernel_size=2),
        call(f"lp_pool{_d}_backward", _behind, _picture, norm_type=2.0, kernel_size=2),
        call(f"adaptive_avg_pool{_d}", _x, output_size=3),
        call(f"adaptive_avg_pool{_d}_backward", fixed(2, 4, *(3 for _ in _size)), _picture, output_size=3),
        call(f"adaptive_max_pool{_d}", _x, output_size=3),
        call(f"adaptive_max_pool{_d}_backward", fixed(2, 4, *(3 for _ in _size)), _picture, output_size=3),
    ]
POOLS += [
    call("windows", (2, 3, 7, 6), kernel_size=(3, 2), stride=2),
    call("add_windows", (2, 3, 3, 3, 3, 2), size=(7, 6), stride=2),
]

# ---- normalization ----
SPREAD = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)


def with_statistics(name: str, **options: Any) -> Callable[..., Any]:
    """Call a normalization and give its running statistics too, which it changes."""
    return lambda x, mean, var, weight, bias: (FUNCTIONS[name](x, mean, var, weight, bias, **options), mean, var)


NORMALIZATIONS = [
    Case("batch_norm", with_statistics("batch_norm", training=True), ((5, 4, 3), fixed(4), SPREAD, (4,), (4,))),
    Case("batch_norm", with_statistics("batch_norm"), ((5, 4, 3), fixed(4), SPREAD, (4,), (4,)), "eval"),
    call("batch_norm_backward", fixed(5, 4, 3), fixed(5, 4, 3), fixed(4), SPREAD, fixed(4), training=True),
    Case("instance_norm", with_statistics("instance_norm"), ((5, 4, 3), fixed(4), SPREAD, (4,), (4,))),
    call("instance_norm_backward", fixed(5, 4, 3), fixed(5, 4, 3), None, None, fixed(4)),
    call("layer_norm", (5, 4, 3), [4, 3], (4, 3), (4, 3)),
    call("layer_norm_backward", fixed(5, 4, 3), fixed(5, 4, 3), [4, 3], fixed(4, 3)),
    call("group_norm", (5, 4, 3), 2, (4,), (4,)),
    call("group_norm_backward", fixed(5, 4, 3), fixed(5, 4, 3), 2, fixed(4)),
    call("rms_norm", (5, 4, 3), [3], (3,)),
    call("rms_norm_backward", fixed(5, 4, 3), fixed(5, 4, 3), [3], fixed(3)),
    call("local_response_norm", (2, 6, 3), size=3, alpha=0.1),
    call("local_response_norm_backward", fixed(2, 6, 3), fixed(2, 6, 3), size=3, alpha=0.1),
]


# ---- dropout: what is drawn differs from device to device, what the draws become does not ----
def values(name: str, p: float) -> Callable[[Tensor], Tensor]:
    """The two numbers that a tensor of ones becomes, smaller one first."""
    return lambda ones: FUNCTIONS[name](ones, p, training=True).unique()


def slopes(name: str, p: float) -> Callable[[Tensor], Tensor]:
    """The two slopes of dropout."""

    def both(ones: Tensor) -> Tensor:
        with torch.enable_grad():
            x = ones.requires_grad_()
            [slope] = torch.autograd.grad(FUNCTIONS[name](x, p, training=True).sum(), x)
        return slope.unique()

    return both


MANY = torch.ones(8, 64, 3, dtype=torch.float64)
DROPOUTS = [
    case
    for name, ones in {
        "dropout": MANY, "dropout1d": MANY, "dropout2d": MANY[..., None], "alpha_dropout": MANY,
        "feature_alpha_dropout": MANY,
    }.items()
    for case in (
        Case(name, values(name, 0.3), (ones,), "values", gradient=False),
        Case(name, slopes(name, 0.3), (ones,), "slopes", gradient=False),
        call(name, (4, 3, 5, 2) if name == "dropout2d" else (4, 3, 5), note="eval", training=False),
    )
] + [
    Case("dropout_mask", lambda x: FUNCTIONS["dropout_mask"](x, 0.3).unique(), (MANY,), gradient=False),
    call("dropout_backward", fixed(8, 3), whole(2, 8, 3).double(), p=0.3),
]  # fmt: skip

# ---- embedding, attention, positions ----
HEADS = (2, 3, 4, 6)  # examples, heads, places, numbers
ATTENTION = [
    call("embedding", whole(9, 3, 4), (9, 5), padding_idx=2),
    call("embedding", whole(9, 3, 4), fixed(9, 5), note="max-norm", max_norm=1.5),
    call("embedding_backward", fixed(3, 4, 5), whole(9, 3, 4), fixed(9, 5), padding_idx=2, scale_grad_by_freq=True),
    call("scaled_dot_product_attention", HEADS, HEADS, HEADS, is_causal=True),
    call("scaled_dot_product_attention", HEADS, HEADS, HEADS, note="mask", attn_mask=None, scale=0.3),
    Case("scaled_dot_product_attention", lambda q, k, v, mask: FUNCTIONS["scaled_dot_product_attention"](q, k, v, mask),
         (HEADS, HEADS, HEADS, CAUSAL), "boolean-mask"),
    call("scaled_dot_product_attention", HEADS, (2, 1, 4, 6), (2, 1, 4, 6), note="shared-heads", enable_gqa=True),
    call("scaled_dot_product_attention_backward", fixed(*HEADS), fixed(*HEADS), fixed(*HEADS), fixed(*HEADS),
         is_causal=True),
    call("split_heads", (2, 4, 6), heads=3),
    call("join_heads", HEADS),
    Case("sinusoidal_encoding", lambda like: FUNCTIONS["sinusoidal_encoding"](7, 6, device=like.device,
         dtype=like.dtype), (fixed(1),), gradient=False),
    call("rotary_encoding", HEADS, offset=3),
]  # fmt: skip

# ---- recurrent networks: 3 sequences of 4 steps of 5 numbers, a state of 6 ----
RECURRENT = []
for _name, _gates in {"rnn": 1, "lstm": 4, "gru": 3}.items():
    _many = _gates * 6
    _weights: list[Any] = [(_many, 5), (_many, 6), (_many,), (_many,)]
    _given = [fixed(*shape) for shape in _weights]
    _state: Any = [(3, 6), (3, 6)] if _name == "lstm" else (3, 6)
    _start: Any = [fixed(3, 6), fixed(6, 3).T] if _name == "lstm" else fixed(3, 6)
    RECURRENT += [
        call(f"{_name}_cell", (3, 5), _state, *_weights),
        call(f"{_name}_cell_backward", _start, fixed(3, 5), _start, *_given),
        call(_name, (4, 3, 5), _state, *_weights),
        call(_name, (4, 3, 5), _state, *_weights, note="reverse", reverse=True),
        call(_name, (8, 5), _state, *_weights, note="packed", batch_sizes=SIZES),
        call(f"{_name}_backward", fixed(4, 3, 6), _start, fixed(4, 3, 5), _start, *_given),
    ]

# ---- losses, each with the gradient by formula ----
_TARGETS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], dict[str, Any]]] = {
    # name: inputs with a gradient as shapes, the other arguments, options
    "mse_loss": (((5, 3),), (fixed(5, 3),), {}),
    "l1_loss": (((5, 3),), (fixed(5, 3),), {}),
    "huber_loss": (((5, 3),), (fixed(5, 3),), {"delta": 0.5}),
    "smooth_l1_loss": (((5, 3),), (fixed(5, 3),), {"beta": 0.5}),
    "binary_cross_entropy_with_logits": (((5, 3),), (share(5, 3), share(3)), {}),
    "nll_loss": (((5, 3),), (whole(3, 5), share(3)), {}),
    "cross_entropy": (((5, 3),), (whole(3, 5), share(3)), {"label_smoothing": 0.1}),
    "kl_div": (((5, 3),), (share(5, 3),), {"reduction": "batchmean"}),
    "hinge_embedding_loss": (((5,),), (SIGNS,), {}),
    "multi_margin_loss": (((5, 3),), (whole(3, 5),), {}),
    "cosine_embedding_loss": (((5, 3), (5, 3)), (SIGNS,), {"margin": 0.1}),
    "triplet_margin_loss": (((5, 3), (5, 3), (5, 3)), (), {"swap": True}),
}
LOSSES = [
    case
    for name, (shapes, others, options) in _TARGETS.items()
    for case in (
        call(name, *shapes, *others, **options),
        call(f"{name}_gradient", *[numbers(f"{i}", *shape) for i, shape in enumerate(shapes)], *others, **options),
    )
] + [
    Case("binary_cross_entropy", lambda z, t: FUNCTIONS["binary_cross_entropy"](torch.sigmoid(z), t),
         ((5, 3), share(5, 3))),
    call("binary_cross_entropy_gradient", share(3, 5).T, share(5, 3)),
    call("cross_entropy", (5, 3), share(5, 3), note="shares", reduction="sum"),
    call("nll_loss", (5, 3), torch.tensor([0, -100, 2, 1, -100]), note="ignored"),
]  # fmt: skip

FUNCTION_CASES = [
    *ACTIVATIONS, *LINEAR, *CONVOLUTIONS, *POOLS, *NORMALIZATIONS, *DROPOUTS, *ATTENTION, *RECURRENT, *LOSSES,
]  # fmt: skip

# ---- layers: with weights of their own, those of PyTorch in names and options ----
LAYER_CASES = [
    layer("Linear", 5, 3, inputs=((2, 4, 5),)),
    layer("PReLU", 4, inputs=((2, 4, 5),)),
    layer("Conv1d", 4, 6, 3, inputs=((2, 4, 7),), **SQUARE),
    layer("Conv2d", 4, 6, 3, inputs=((2, 4, 7, 6),), **SQUARE),
    layer("Conv2d", 4, 6, 3, inputs=((2, 4, 7, 6),), note="reflect", padding=1, padding_mode="reflect", bias=False),
    layer("ConvTranspose1d", 4, 6, 3, inputs=((2, 4, 7),), **SQUARE),
    layer("ConvTranspose2d", 4, 6, 3, inputs=((2, 4, 7, 6),), **SQUARE),
    layer("BatchNorm1d", 4, inputs=((5, 4, 3),)),
    layer("BatchNorm2d", 4, inputs=((5, 4, 3, 2),), momentum=None),
    layer("InstanceNorm1d", 4, inputs=((5, 4, 3),), affine=True, track_running_stats=True),
    layer("InstanceNorm2d", 4, inputs=((5, 4, 3, 2),), affine=True),
    layer("LayerNorm", [4, 3], inputs=((5, 4, 3),)),
    layer("GroupNorm", 2, 4, inputs=((5, 4, 3),)),
    layer("RMSNorm", [4, 3], inputs=((5, 4, 3),)),
    layer("LocalResponseNorm", 3, alpha=0.1, inputs=((2, 6, 3),)),
    layer("Embedding", 9, 5, padding_idx=2, inputs=(whole(9, 3, 4),)),
    layer("MultiheadAttention", 6, 3, batch_first=True, inputs=((2, 4, 6), (2, 5, 6), (2, 5, 6))),
    layer("MultiheadAttention", 6, 3, kdim=5, vdim=7, note="own-sizes",
          inputs=((4, 2, 6), (3, 2, 5), (3, 2, 7))),
    *[
        layer(cell, 5, 6, num_layers=2, bidirectional=True, batch_first=True, inputs=((3, 4, 5),))
        for cell in ("RNN", "LSTM", "GRU")
    ],
    layer("RNN", 5, 6, nonlinearity="relu", bias=False, inputs=((4, 3, 5),), note="relu"),
]  # fmt: skip


# ---- backpropagation by hand: every activation and every loss in the table of dlguide.backprop ----
def by_hand(activation: str, loss: str) -> Callable[..., list[Tensor]]:
    def trace(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, x: Tensor, t: Tensor) -> list[Tensor]:
        network = [backprop.Layer(w1, b1, "tanh"), backprop.Layer(w2, b2, activation)]
        return [step.value for step in backprop.backprop(network, x, t, loss).steps]

    return trace


_NETWORK = (fixed(6, 5), fixed(6), fixed(3, 6), fixed(3), fixed(4, 5))
_LAST = {"bce": "sigmoid", "binary_cross_entropy": "sigmoid", "ce": "softmax", "nll_loss": "log_softmax",
         "kl_div": "log_softmax"}  # what has to stand before the loss  # fmt: skip
BACKPROP_CASES = [
    Case(f"activation {name}", by_hand(name, "half_sse"), (*_NETWORK, share(4, 3)), gradient=False)
    for name in backprop.ACTIVATIONS
] + [
    Case(f"loss {name}", by_hand(_LAST.get(name, "identity"), name),
         (*_NETWORK, whole(3, 4) if rule.classes else share(4, 3)), gradient=False)
    for name, rule in backprop.LOSSES.items()
]  # fmt: skip

CASES = [*FUNCTION_CASES, *LAYER_CASES, *BACKPROP_CASES]


# ---- initial weights: drawn on the device, so only their spread can be compared ----
def spread(shape: tuple[int, int]) -> dict[str, tuple[Callable[[Any, Tensor, torch.Generator], Any], float]]:
    """For each function of dlguide.init: how to call it, and the standard deviation that it promises."""
    out, into = shape
    return {
        "xavier_uniform_": (lambda init, w, g: init.xavier_uniform_(w, generator=g), math.sqrt(2 / (into + out))),
        "xavier_normal_": (lambda init, w, g: init.xavier_normal_(w, generator=g), math.sqrt(2 / (into + out))),
        "kaiming_uniform_": (
            lambda init, w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g), math.sqrt(2 / into)),
        "kaiming_normal_": (
            lambda init, w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g), math.sqrt(2 / into)),
        "orthogonal_": (lambda init, w, g: init.orthogonal_(w, generator=g), math.sqrt(1 / max(shape))),
        # a normal variable cut at 2: variance 1 - 4 phi(2) / (2 Phi(2) - 1)
        "trunc_normal_": (
            lambda init, w, g: init.trunc_normal_(w, generator=g),
            math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))),
        ),
    }  # fmt: skip
