"""Classifiers of text against loops, sums by hand and torch's own layers."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlguide.models import BagOfNgrams, Block, RNNClassifier, SelfAttention, TextCNN, TransformerClassifier

F64 = torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def count(module):
    return sum(p.numel() for p in module.parameters())


# RNNClassifier on ids, in two directions


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 2])
def test_both_directions_are_one_network_forwards_and_one_on_the_reversed_text(cell, layers):
    model: Any = RNNClassifier(cell, 4, 5, 3, layers, vocabulary=12, bidirectional=True).double()
    ids = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0]])
    for row, n in ((0, 5), (1, 2)):
        text = model.embedding(ids[row : row + 1, :n])
        for layer in range(layers):
            halves = []
            for suffix, order in (("", text), ("_reverse", text.flip(1))):
                width = text.shape[2]
                one = type(model.rnn)(width, 5, batch_first=True, dtype=F64)
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(one, f"{kind}_l0").data.copy_(getattr(model.rnn, f"{kind}_l{layer}{suffix}"))
                halves.append(one(order)[0])
            last = torch.cat([halves[0][:, -1], halves[1][:, -1]], dim=1)
            text = torch.cat([halves[0], halves[1].flip(1)], dim=2)
        torch.testing.assert_close(model(ids, torch.tensor([5, 2]))[row], model.out(last)[0], rtol=0, atol=1e-12)


def test_ids_are_rows_of_the_table():
    model = RNNClassifier("GRU", 4, 5, 3, vocabulary=12).double()
    rows = RNNClassifier("GRU", 4, 5, 3).double()
    rows.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("embedding")})
    ids = torch.tensor([[1, 5, 9], [2, 2, 11]])
    torch.testing.assert_close(model(ids), rows(model.embedding.weight[ids]))
    assert torch.equal(model.embedding.weight[0], torch.zeros(4, dtype=F64))


# TextCNN


def test_textcnn_is_the_loop_over_windows():
    model = TextCNN(12, 3, 4, widths=(1, 2, 3, 4, 5), filters=2).double().eval()
    for n in (1, 2, 3, 7):  # shorter than a window too
        ids = torch.arange(1, n + 1)[None]
        x = model.embedding(ids)[0]  # [n, 4]
        z = []
        for k, convolution in zip(model.widths, model.convolutions, strict=True):
            for w, b in zip(convolution.weight, convolution.bias, strict=True):
                responses = []
                for t in range(n):
                    total = b.clone()
                    for i in range(k):
                        if 0 <= (s := t - k // 2 + i) < n:
                            total = total + w[:, i] @ x[s]
                    responses.append(total.clamp(min=0))
                z.append(torch.stack(responses).max())
        torch.testing.assert_close(model(ids)[0], model.out(torch.stack(z)), rtol=0, atol=1e-12)


def test_textcnn_has_the_parameters_of_the_closed_form():
    assert count(TextCNN(1000)) == 1000 * 128 + sum(100 * (128 * k + 1) for k in (3, 4, 5)) + 300 * 2 + 2


# BagOfNgrams


def test_bag_is_the_mean_by_hand():
    model = BagOfNgrams(12, 3, 4, buckets=30).double()
    nn.init.normal_(model.out.weight)
    ids = torch.tensor([[3, 4, 5, 3], [7, 0, 0, 0], [9, 2, 0, 0]])
    rows = model.pairs(ids)
    for i, n in enumerate((4, 1, 2)):
        used = [*ids[i, :n].tolist(), *rows[i, : n - 1].tolist()]
        assert len(used) == 2 * n - 1
        total = sum(model.bag.weight[row] for row in used)
        for given in (None, torch.tensor([4, 1, 2])):
            expected = model.out.weight @ total / (2 * n - 1) + model.out.bias
            torch.testing.assert_close(model(ids, given)[i], expected, rtol=0, atol=1e-12)


def test_words_alone_have_no_order_and_pairs_have():
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    shuffled = ids[:, torch.randperm(6, generator=torch.Generator().manual_seed(0))]
    for buckets, same in ((0, True), (10_000, False)):
        model = BagOfNgrams(12, 3, buckets=buckets).double()
        nn.init.normal_(model.out.weight)
        assert torch.allclose(model(ids), model(shuffled), rtol=0, atol=1e-12) == same


def test_pairs_are_spread_over_their_rows_and_padding_has_none():
    vocabulary, buckets = 300, 1000
    model = BagOfNgrams(vocabulary, buckets=buckets)
    first, second = torch.cartesian_prod(torch.arange(1, 300), torch.arange(1, 300)).unbind(1)
    rows = model.pairs(torch.stack([first, second], dim=1))[:, 0]
    assert rows.min() == vocabulary and rows.max() == vocabulary + buckets - 1  # noqa: PT018
    full = torch.bincount(rows - vocabulary, minlength=buckets).double()  # 89,401 pairs: a fair draw has 89 in each row
    assert full.min() > 0 and full.std() < 3 * full.mean().sqrt()  # noqa: PT018
    swapped = model.pairs(torch.stack([second, first], dim=1))[:, 0]
    assert (rows == swapped).double().mean() < 0.01  # "not good" and "good not" have different rows
    assert torch.equal(model.pairs(torch.tensor([[5, 0, 7], [0, 0, 3]])), torch.zeros(2, 2, dtype=torch.int64))
    large = BagOfNgrams(2_000_000, embedding=1, buckets=10).pairs(torch.tensor([[1_999_999, 1_999_999]]))
    assert 2_000_000 <= large.item() < 2_000_010  # no overflow


def test_sparse_gradients_are_the_dense_ones():
    ids = torch.tensor([[3, 4, 5, 3], [7, 0, 0, 0]])
    gradients = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = BagOfNgrams(12, 2, 4, buckets=30, sparse=sparse)
        nn.init.ones_(model.out.weight)
        F.cross_entropy(model(ids), torch.tensor([0, 1])).backward()
        assert model.bag.weight.grad.is_sparse == sparse
        gradients.append(model.bag.weight.grad.to_dense())
        assert torch.equal(gradients[-1].select(0, 0), torch.zeros(4))  # padding learns nothing
    torch.testing.assert_close(*gradients)


def test_bag_starts_small():
    model = BagOfNgrams(100, embedding=8)
    assert model.bag.weight.abs().max() <= 1 / 8
    assert torch.equal(model(torch.tensor([[3, 4]])), torch.zeros(1, 2))


# Transformer


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs_multihead_attention(causal):
    ours, theirs = SelfAttention(12, 3, causal).double(), nn.MultiheadAttention(12, 3, batch_first=True).double()
    theirs.load_state_dict({"in_proj_weight": ours.in_proj.weight, "in_proj_bias": ours.in_proj.bias,
                            "out_proj.weight": ours.out_proj.weight, "out_proj.bias": ours.out_proj.bias})  # fmt: skip
    real = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]
    for mask in (None, real):
        x = random(4, 7, 12).requires_grad_()
        forbidden = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
        expected, _ = theirs(x, x, x, key_padding_mask=None if mask is None else ~mask, attn_mask=forbidden)
        g = random(4, 7, 12, seed=1)
        got = ours(x, mask)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        for a, b in zip(torch.autograd.grad(got, [x, *ours.parameters()], g),
                        torch.autograd.grad(expected, [x, *theirs.parameters()], g), strict=True):  # fmt: skip
            torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_a_block_is_torchs_encoder_layer():
    ours = Block(12, 3).double()
    for i, norm in enumerate((ours.norm1, ours.norm2)):  # as they come both are the same
        norm.weight.data.copy_(random(12, seed=i))
    theirs = nn.TransformerEncoderLayer(12, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True).double()
    for mine, its in ((ours.attention.in_proj.weight, theirs.self_attn.in_proj_weight),
                      (ours.attention.in_proj.bias, theirs.self_attn.in_proj_bias)):  # fmt: skip
        its.data.copy_(mine)
    parts: list[tuple[nn.Module, nn.Module]] = [
        (theirs.self_attn.out_proj, ours.attention.out_proj), (theirs.linear1, ours.mlp[0]),
        (theirs.linear2, ours.mlp[2]), (theirs.norm1, ours.norm1), (theirs.norm2, ours.norm2),
    ]  # fmt: skip
    for theirs_part, ours_part in parts:
        theirs_part.load_state_dict(ours_part.state_dict())
    x = random(4, 7, 12)
    real = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours(x, real), theirs(x, src_key_padding_mask=~real), rtol=0, atol=1e-12)
    assert count(ours) == count(theirs)


def test_transformer_is_its_parts():
    model = TransformerClassifier(12, 3, 8, 2, depth=2, max_length=6).double().eval()
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    for i, n in ((0, 4), (1, 2)):
        x = model.embedding.weight[ids[i : i + 1, :n]] + model.positions.weight[:n]
        for block in model.blocks:
            x = block(x)
        expected = model.out(model.norm(x).sum(1) / n)[0]
        torch.testing.assert_close(model(ids, torch.tensor([4, 2]))[i], expected, rtol=0, atol=1e-12)


def test_transformer_needs_its_positions_to_know_the_order():
    model = TransformerClassifier(12, 3, 8, 2, max_length=6).double().eval()
    a, b = torch.tensor([[3, 4, 5]]), torch.tensor([[5, 4, 3]])
    assert not torch.allclose(model(a), model(b))
    nn.init.zeros_(model.positions.weight)
    torch.testing.assert_close(model(a), model(b))


def test_transformer_has_the_parameters_of_the_closed_form():
    w, block = 128, 12 * 128**2 + 13 * 128
    assert count(TransformerClassifier(1000)) == 1000 * w + 256 * w + 2 * block + 2 * w + 2 * w + 2


def test_dropout_is_at_work_in_training_only():
    ids = torch.tensor([[3, 4, 5]])
    for model in (TransformerClassifier(12, width=8, heads=2, dropout=0.5), TextCNN(12, embedding=8, dropout=0.5),
                  RNNClassifier("GRU", 8, 8, vocabulary=12, dropout=0.5)):  # fmt: skip
        torch.manual_seed(0)
        assert not torch.equal(model(ids), model(ids))
        assert torch.equal(model.eval()(ids), model(ids))
    recurrent = RNNClassifier("GRU", 8, 6, vocabulary=12, dropout=0.5)
    dropped = []
    recurrent.dropout.register_forward_hook(lambda _, inputs, output: dropped.append(tuple(output.shape)))
    recurrent(ids)
    assert dropped == [(1, 3, 8), (1, 6)]  # of the embedding, and before the output layer
    attention = SelfAttention(8, 2, dropout=0.5)
    x = random(1, 5, 8).float()
    assert not torch.equal(attention(x), attention(x))
    assert torch.equal(attention.eval()(x), attention(x))


# What they say

IDS = torch.ones(2, 4, dtype=torch.int64)
MAKERS = {
    "rnn": lambda: RNNClassifier("RNN", 4, 4, 2, vocabulary=9), "textcnn": lambda: TextCNN(9, 2, 4),
    "bag": lambda: BagOfNgrams(9), "transformer": lambda: TransformerClassifier(9, 2, 8, 2, max_length=4),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("ids", "lengths", "sentence"), [
    (IDS[0], None, r"expected ids of shape \[N, T\], one row for each text, got \[4\]: ids\[None\] makes"),
    (IDS[None], None, r"expected ids of shape \[N, T\].*got \[1, 2, 4\]: dlguide.data.pad_batch"),
    (IDS[:, :0], None, r"expected ids of shape \[N, T\].*got \[2, 0\]"),
    (IDS.double(), None, "expected int64 numbers as ids, got torch.float64"),
    (IDS * 9, None, r"expected ids in \[0, 9\), got 9: build the model with the len\(\) of the vocabulary"),
    (-IDS, None, r"expected ids in \[0, 9\), got -1"),
    (IDS, torch.tensor([4, 5]), r"expected 2 lengths between 1 and 4, got \[4, 5\]"),
    (IDS, torch.tensor([0, 4]), r"expected 2 lengths between 1 and 4, got \[0, 4\]"),
    (IDS, torch.tensor([4]), r"expected 2 lengths between 1 and 4, got \[4\]"),
    (IDS, torch.tensor([4.0, 2.0]), "expected 2 lengths between 1 and 4"),
])  # fmt: skip
def test_wrong_ids_get_one_clear_sentence(name, ids, lengths, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        MAKERS[name]()(ids, lengths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: SelfAttention(10, 3), "expected a width that 3 heads divide, got 10: take 9"),
    (lambda: Block(8, 2, dropout=1.0), r"expected dropout in \[0, 1\), got 1.0"),
    (lambda: TransformerClassifier(9, max_length=4)(torch.ones(1, 5, dtype=torch.int64)),
     r"expected texts of up to 4 ids, got 5: cut them, or build TransformerClassifier\(max_length=5\)"),
    (lambda: TransformerClassifier(0), "at least 1 as vocabulary, got 0"),
    (lambda: TextCNN(9, widths=(3, 0)), r"at least 1 as widths\[1\], got 0"),
    (lambda: TextCNN(9, widths=3), r"expected a list of sizes as widths, such as \[64\], got 3"),
    (lambda: TextCNN(9, widths=()), "expected a whole number of at least 1 as number of widths, got 0"),
    (lambda: TransformerClassifier(9, width=-1), "at least 1 as width, got -1"),
    (lambda: TextCNN(9, dropout="0.1"), r"expected dropout in \[0, 1\), got '0.1'"),
    (lambda: TextCNN(9, dropout=-0.1), r"expected dropout in \[0, 1\), got -0.1"),
    (lambda: BagOfNgrams(9, buckets=-1), "expected at least 0 buckets for pairs of words, got -1"),
    (lambda: RNNClassifier("RNN", 4, 4.5), "expected a whole number of at least 1 as hidden_size, got 4.5"),
])  # fmt: skip
def test_wrong_sizes_get_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
