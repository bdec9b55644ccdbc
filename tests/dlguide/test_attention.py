"""Attention and positional encodings against torch: values, gradients by hand and by autograd, options, bad input."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlguide.functional.attention import (
    join_heads,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    split_heads,
)
from dlguide.functional.positions import rotary_encoding, sinusoidal_encoding
from dlguide.layers.attention import MultiheadAttention

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
SHAPES = [
    ((3, 4), (5, 4), (5, 6)), ((2, 3, 4), (2, 5, 4), (2, 5, 4)), ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 2)),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)), ((0, 2, 3, 4), (0, 2, 5, 4), (0, 2, 5, 4)),
    ((2, 1, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)),
]


def leaves(shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=dtype, generator=generator, requires_grad=True) for shape in shapes]


def masks(queries, keys):
    """No mask, the causal one, booleans of which one row sees nothing, and numbers."""
    generator = torch.Generator().manual_seed(1)
    some = torch.rand(queries, keys, generator=generator) < 0.6
    none = some.clone()
    none[0] = False
    return [{}, {"is_causal": True}, {"attn_mask": some}, {"attn_mask": none},
            {"attn_mask": torch.randn(queries, keys, dtype=torch.float64, generator=generator)},
            {"scale": 0.3}, {"attn_mask": torch.zeros(queries, keys).double().masked_fill(~none, -math.inf)}]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_values_and_gradients_equal_torch(shapes):
    for options in masks(shapes[0][-2], shapes[1][-2]):
        q, k, v = leaves(shapes)
        theirs = F.scaled_dot_product_attention(q, k, v, **options)
        ours = scaled_dot_product_attention(q, k, v, **options)
        torch.testing.assert_close(ours, theirs, **CLOSE, msg=str(options))
        grad = torch.randn(theirs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        truth = torch.autograd.grad(theirs, [q, k, v], grad)
        by_hand = scaled_dot_product_attention_backward(grad, q, k, v, **options)
        for name, a, b, c in zip("qkv", truth, torch.autograd.grad(ours, [q, k, v], grad), by_hand, strict=True):
            torch.testing.assert_close(b, a, **CLOSE, msg=f"autograd of {name}, {options}")
            torch.testing.assert_close(c, a, **CLOSE, msg=f"by hand, {name}, {options}")


def test_grouped_queries_share_keys():
    q, k, v = leaves([(2, 6, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)])
    theirs = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, enable_gqa=True), theirs, **CLOSE)


def test_extremes_and_other_dtypes():
    q, k, v = leaves([(1, 2, 3, 4)] * 3)
    for scale in (1e4, -1e4, 0.0):
        theirs = F.scaled_dot_product_attention(q, k, v, scale=scale)
        torch.testing.assert_close(scaled_dot_product_attention(q, k, v, scale=scale), theirs, **CLOSE)
    single = [x.detach().float() for x in (q, k, v)]
    out = scaled_dot_product_attention(*single)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, F.scaled_dot_product_attention(*single))
    assert scaled_dot_product_attention(q, k[..., :0, :], v[..., :0, :]).eq(0).all()


def test_dropout_keeps_the_average():
    torch.manual_seed(0)
    q, k, v = (x.detach() for x in leaves([(1, 8, 16, 4)] * 3))
    full = scaled_dot_product_attention(q, k, v)
    many = torch.stack([scaled_dot_product_attention(q, k, v, dropout_p=0.3) for _ in range(400)]).mean(0)
    assert (many - full).abs().mean() < 0.05
    assert scaled_dot_product_attention(q, k, v, dropout_p=1.0).eq(0).all()


def test_gradcheck():
    assert torch.autograd.gradcheck(scaled_dot_product_attention, leaves([(2, 3, 4), (2, 3, 4), (2, 3, 4)]))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**20))
def test_properties(queries, keys, seed):
    """Neither a shift of all scores nor the order of the keys counts; a masked key might as well not be there."""
    q, k, v = (x.detach() for x in leaves([(queries, 4), (keys, 4), (keys, 3)], seed))
    base = scaled_dot_product_attention(q, k, v)
    shifted = scaled_dot_product_attention(q, k, v, torch.full((queries, 1), 7.0, dtype=torch.float64))
    torch.testing.assert_close(shifted, base, **CLOSE)
    order = torch.randperm(keys, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(scaled_dot_product_attention(q, k[order], v[order]), base, **CLOSE)
    if keys > 1:
        mask = torch.arange(keys) < keys - 1
        torch.testing.assert_close(scaled_dot_product_attention(q, k, v, mask.expand(queries, keys)),
                                   scaled_dot_product_attention(q, k[:-1], v[:-1]), **CLOSE)


BAD = {
    "scores and numbers differ": (([3, 4], [5, 3], [5, 4]), {}, "queries as long as the keys"),
    "both limits": (([3, 4], [3, 4], [3, 4]), {"attn_mask": torch.ones(3, 3).bool(), "is_causal": True}, "got both"),
    "integers as mask": (([3, 4], [3, 4], [3, 4]), {"attn_mask": torch.ones(3, 3).long()}, "booleans"),
    "dropout": (([3, 4], [3, 4], [3, 4]), {"dropout_p": 1.5}, "from 0 to 1"),
    "one dimension": (([4], [4], [4]), {}, r"\(\.\.\., L, E\)"),
    "heads": (([1, 3, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]), {"enable_gqa": True}, "query heads"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_as_torch(name):
    shapes, options, said = BAD[name]
    q, k, v = leaves(shapes)
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(q, k, v, **options)
    with pytest.raises(RuntimeError, match=said):
        scaled_dot_product_attention(q, k, v, **options)


def test_more_bad_input():
    q, k, v = leaves([(3, 4), (5, 4), (6, 4)])
    with pytest.raises(RuntimeError, match="one value for each key"):
        scaled_dot_product_attention(q, k, v)
    with pytest.raises(RuntimeError, match="one floating dtype"):
        scaled_dot_product_attention(q, k.float(), v)
    with pytest.raises(RuntimeError, match="output's shape"):
        scaled_dot_product_attention_backward(q[:2], q, k, k)
    with pytest.raises(RuntimeError, match="that 3 heads divide"):
        split_heads(torch.zeros(1, 2, 4), 3)
    with pytest.raises(ValueError, match="an even dim"):
        sinusoidal_encoding(3, 5)
    with pytest.raises(ValueError, match="an even E"):
        rotary_encoding(torch.zeros(3, 5))


def test_heads_come_apart_and_together():
    x = torch.randn(2, 5, 12)
    assert torch.equal(join_heads(split_heads(x, 4)), x)
    assert torch.equal(split_heads(x, 4)[:, 1], x[..., 3:6])


LAYERS = [{}, {"bias": False}, {"batch_first": True}, {"kdim": 5, "vdim": 3},
          {"kdim": 5, "vdim": 3, "batch_first": True}]


@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_multi_head_attention_equals_torch(options):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, **options).double()
    for p in theirs.parameters():
        nn.init.normal_(p)
    ours = MultiheadAttention.load_from_torch(theirs)
    sizes = (8, options.get("kdim", 8), options.get("vdim", 8))
    lengths = [(2, n) if options.get("batch_first") else (n, 2) for n in (3, 4, 4)]
    q, k, v = (torch.randn(*length, size, dtype=torch.float64, requires_grad=True)
               for length, size in zip(lengths, sizes, strict=True))
    hidden = torch.tensor([[False, True, False, False], [False, False, True, True]])
    limit = torch.tensor([[False, True, False, True], [False, False, False, True], [False, True, True, False]])
    for call in [{}, {"key_padding_mask": hidden}, {"attn_mask": limit}, {"need_weights": False},
                 {"attn_mask": limit, "key_padding_mask": hidden}, {"average_attn_weights": False},
                 {"attn_mask": torch.randn(4, 3, 4, dtype=torch.float64)},
                 {"attn_mask": torch.randn(3, 4, dtype=torch.float64)}]:
        expected, weights = theirs(q, k, v, **call)
        found, own = ours(q, k, v, **call)
        torch.testing.assert_close(found, expected, **CLOSE, msg=str(call))
        assert (own is None) == (weights is None)
        if weights is not None:
            torch.testing.assert_close(own, weights, **CLOSE, msg=str(call))
        grad = torch.randn_like(expected)
        by_ours = torch.autograd.grad(found, [q, k, v, *ours.parameters()], grad)
        by_theirs = torch.autograd.grad(expected, [q, k, v, *theirs.parameters()], grad)
        for a, b in zip(by_ours, by_theirs, strict=True):
            torch.testing.assert_close(a, b, **CLOSE, msg=str(call))


def test_multi_head_attention_unbatched_and_dropout():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(6, 3, dropout=0.4).double()
    ours = MultiheadAttention.load_from_torch(theirs)
    x = torch.randn(5, 6, dtype=torch.float64)
    for mode in (True, False):
        theirs.train(mode)
        ours.train(mode)
        torch.manual_seed(3)
        expected = theirs(x, x, x)
        torch.manual_seed(3)
        for a, b in zip(ours(x, x, x), expected, strict=True):
            torch.testing.assert_close(a, b, **CLOSE)


def test_multi_head_attention_starts_and_loads_as_torch():
    ours, theirs = MultiheadAttention(64, 4), nn.MultiheadAttention(64, 4)
    theirs.load_state_dict(ours.state_dict())
    bound = math.sqrt(6 / (3 * 64 + 64))  # torch draws the three matrices as one
    assert ours.in_proj_weight.abs().max() <= bound
    assert ours.in_proj_weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert ours.in_proj_bias.eq(0).all()
    assert ours.out_proj.bias.eq(0).all()
    for bad, error in [((0, 1), ValueError), ((8, 3), AssertionError)]:
        for kind in (nn.MultiheadAttention, MultiheadAttention):
            with pytest.raises(error):
                kind(*bad)
    with pytest.raises(ValueError, match="not offered"):
        MultiheadAttention.load_from_torch(nn.MultiheadAttention(8, 2, add_bias_kv=True))
    for option in ("add_bias_kv", "add_zero_attn"):
        with pytest.raises(NotImplementedError, match=option):
            MultiheadAttention(8, 2, **{option: True})
    both = [kind(8, 2, 0.1, False, False, False, 5, 3, True, "cpu", torch.float64)  # in PyTorch's order
            for kind in (nn.MultiheadAttention, MultiheadAttention)]
    shapes = [{name: (p.shape, p.dtype) for name, p in layer.named_parameters()} for layer in both]
    assert shapes[0] == shapes[1]
    assert both[0].batch_first == both[1].batch_first
    assert list(inspect.signature(MultiheadAttention).parameters) == list(
        inspect.signature(nn.MultiheadAttention).parameters)
    x = torch.zeros(3, 8)
    for layer in (nn.MultiheadAttention(8, 2), MultiheadAttention(8, 2)):
        with pytest.raises(AssertionError):
            layer(x, x[None], x)
        with pytest.raises(RuntimeError):
            layer(x, x, x, is_causal=True)


def test_sinusoids_are_the_formula():
    found = sinusoidal_encoding(50, 8, dtype=torch.float64)
    for t in range(50):
        for i in range(4):
            angle = t / 10000 ** (2 * i / 8)
            assert found[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert found[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)


def test_products_of_sinusoids_depend_on_the_distance():
    p = sinusoidal_encoding(20, 6, base=100.0, dtype=torch.float64)
    turns = (p[3:] * p[:-3]).sum(-1)
    torch.testing.assert_close(turns, turns[0].expand_as(turns), **CLOSE)  # the product depends on the distance alone


def test_rotation_is_a_complex_product():
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    angle = torch.arange(2, 9)[:, None] / 100.0 ** (torch.arange(0, 6, 2).double() / 6)
    turn = torch.polar(torch.ones_like(angle), angle)
    truth = torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (3, 2))) * turn)
    found = rotary_encoding(x, base=100.0, offset=2)
    torch.testing.assert_close(found, truth.flatten(-2), **CLOSE)
    grad = torch.randn_like(x)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, grad)[0] for y in (found, truth.flatten(-2))), **CLOSE)


def test_rotated_products_depend_on_the_distance():
    q, k = torch.randn(2, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    products = [(rotary_encoding(q, offset=m) * rotary_encoding(k, offset=m + 3)).sum().item() for m in (0, 5, 40)]
    assert products[1:] == pytest.approx([products[0]] * 2, rel=1e-10)
