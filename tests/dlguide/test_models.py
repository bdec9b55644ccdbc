"""dlguide.models against closed forms, torch's functions and the mistakes they are built to prevent."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from dlguide.models import CNN, MLP, RNNClassifier


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (MLP(64), (1, 8, 8)),
        (CNN(), (1, 8, 8)),
        (CNN((1, 28, 28)), (1, 28, 28)),
        (RNNClassifier("RNN"), (8, 8)),
        (RNNClassifier("LSTM"), (8, 8)),
        (RNNClassifier("GRU"), (8, 8)),
    ],
    ids=["MLP", "CNN 8 x 8", "CNN 28 x 28", "RNN", "LSTM", "GRU"],
)
def test_output_keeps_the_batch(model, shape):
    for n in range(1, 33):
        assert model(torch.zeros(n, *shape)).shape == (n, 10)


@pytest.mark.parametrize("hidden", [(), (128,), (32, 16)])
def test_mlp_has_the_parameters_of_the_closed_form(hidden):
    widths = [784, *hidden, 10]
    assert count(MLP(784, hidden)) == sum(a * b + b for a, b in pairwise(widths))


def test_mlp_is_its_formula():
    model = MLP(64, (32, 16)).double()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = x.reshape(5, 64)
    w1, b1, w2, b2, w3, b3 = model.parameters()
    h = (h @ w1.T + b1).clamp(min=0)
    h = (h @ w2.T + b2).clamp(min=0)
    torch.testing.assert_close(model(x), h @ w3.T + b3, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shape", "flat"), [((1, 8, 8), 256), ((1, 28, 28), 3136), ((3, 33, 21), 64 * 8 * 5)])
def test_cnn_has_the_parameters_of_the_closed_form(shape, flat):
    c = shape[0]
    expected = (c * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (flat * 128 + 128) + (128 * 10 + 10)
    assert count(CNN(shape)) == expected
    assert CNN(shape)(torch.zeros(2, *shape)).shape == (2, 10)


def test_cnn_is_its_layers():
    model = CNN().double()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2, w3, b3, w4, b4 = model.parameters()
    h = F.max_pool2d(F.relu(F.conv2d(x, w1, b1, padding=1)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, w2, b2, padding=1)), 2)
    h = F.relu(h.reshape(5, -1) @ w3.T + b3)
    torch.testing.assert_close(model(x), h @ w4.T + b4, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "hidden"), [(8, 64), (28, 32), (3, 5)])
def test_gates_are_one_four_three(size, hidden):
    gate = hidden * size + hidden * hidden + 2 * hidden  # torch keeps two biases for each gate
    counts = {cell: count(RNNClassifier(cell, size, hidden).rnn) for cell in ("RNN", "LSTM", "GRU")}
    assert counts == {"RNN": gate, "LSTM": 4 * gate, "GRU": 3 * gate}


def test_rnn_is_its_loop_over_steps():
    model = RNNClassifier("RNN", 8, 16).double()
    x = torch.randn(5, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w, u, b, c = model.rnn.parameters()
    h = torch.zeros(5, 16, dtype=torch.float64)
    for t in range(8):
        h = torch.tanh(x[:, t] @ w.T + b + h @ u.T + c)
    torch.testing.assert_close(model(x), model.out(h), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 2])
def test_lengths_make_the_result_independent_of_the_padding(cell, layers):
    generator = torch.Generator().manual_seed(0)
    model = RNNClassifier(cell, 8, 16, num_layers=layers).double()
    lengths = torch.tensor([3, 8, 1, 5])  # not sorted on purpose
    x = torch.randn(4, 8, 8, dtype=torch.float64, generator=generator)
    alone = torch.cat([model(x[i : i + 1, :n]) for i, n in enumerate(lengths)])
    for padding in (0.0, 7.0, -3.0):
        padded = torch.full((4, 12, 8), padding, dtype=torch.float64)
        for i, n in enumerate(lengths):
            padded[i, :n] = x[i, :n]
        torch.testing.assert_close(model(padded, lengths), alone, rtol=0, atol=1e-12)
    assert not torch.allclose(model(padded), alone)  # without lengths the padding is read


def test_full_lengths_change_nothing():
    model = RNNClassifier("LSTM").double()
    x = torch.randn(3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x), model(x, torch.tensor([8, 8, 8])), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: MLP(64)(torch.zeros(5, 1, 28, 28)),
            r"expected 64 numbers per example, got 784 .* MLP\(in_features=784\)",
        ),
        (lambda: CNN()(torch.zeros(5, 8, 8)), r"expected pictures of shape \[N, 1, 8, 8\], got \[5, 8, 8\]"),
        (lambda: CNN()(torch.zeros(5, 1, 28, 28)), r"build CNN\(in_shape=\(1, 28, 28\)\)"),
        (lambda: CNN((1, 3, 3)), "expected at least 4 x 4 pixels, got 3 x 3"),
        (lambda: MLP(64, 32), r"expected a list of sizes as hidden, such as \[64\], got 32"),
        (lambda: MLP(64, "32"), r"expected a list of sizes as hidden, such as \[64\], got '32'"),
        (lambda: MLP(64, (32, 0)), r"expected a whole number of at least 1 as hidden\[1\], got 0"),
        (lambda: MLP(64, (True,)), r"expected a whole number of at least 1 as hidden\[0\], got True"),
        (lambda: MLP(64, num_classes=0), "expected a whole number of at least 1 as num_classes, got 0"),
        (lambda: CNN(channels=8), r"expected a list of 2 sizes as channels, such as \[64, 64\], got 8"),
        (lambda: CNN(channels=(8,)), r"expected a list of 2 sizes as channels, such as \[64, 64\], got \(8,\)"),
        (lambda: CNN(channels=(8, 2.5)), r"expected a whole number of at least 1 as channels\[1\], got 2.5"),
        (lambda: CNN(hidden=-5), "expected a whole number of at least 1 as hidden, got -5"),
        (lambda: RNNClassifier("BERT"), "expected the cell 'RNN', 'LSTM' or 'GRU', got 'BERT'"),
        (lambda: RNNClassifier()(torch.zeros(5, 1, 8, 8)), r"got \[5, 1, 8, 8\]: load\(\.\.\., layout='rows'\)"),
        (lambda: RNNClassifier()(torch.zeros(5, 8, 28)), r"expected sequences of shape \[N, T, 8\]"),
        (lambda: RNNClassifier()(torch.zeros(2, 8, 8), torch.tensor([0, 3])), "expected 2 lengths between 1 and 8"),
        (lambda: RNNClassifier()(torch.zeros(2, 8, 8), torch.tensor([9, 3])), "expected 2 lengths between 1 and 8"),
        (lambda: RNNClassifier()(torch.zeros(2, 8, 8), torch.tensor([3])), "expected 2 lengths between 1 and 8"),
    ],
)
def test_wrong_shapes_get_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_models_know_nothing_of_devices():
    for model, x in ((MLP(64), (2, 1, 8, 8)), (CNN(), (2, 1, 8, 8)), (RNNClassifier(), (2, 8, 8))):
        assert model.to("meta")(torch.zeros(x, device="meta")).shape == (2, 10)
