"""RNN, LSTM and GRU from scratch: values, gradients by autograd and by hand, and errors, all as torch.nn has them."""

import copy
import itertools
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from dlguide.functional.gru import gru, gru_backward, gru_cell, gru_cell_backward
from dlguide.functional.lstm import lstm, lstm_backward, lstm_cell, lstm_cell_backward
from dlguide.functional.rnn import rnn, rnn_backward, rnn_cell, rnn_cell_backward
from dlguide.layers.recurrent import GRU, LSTM, RNN

KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "tanh": (RNN, nn.RNN, {"nonlinearity": "tanh"}), "relu": (RNN, nn.RNN, {"nonlinearity": "relu"}),
    "LSTM": (LSTM, nn.LSTM, {}), "GRU": (GRU, nn.GRU, {}),
}
RUNS = {
    "tanh": (rnn, rnn_backward, rnn_cell, rnn_cell_backward, {"nonlinearity": "tanh"}),
    "relu": (rnn, rnn_backward, rnn_cell, rnn_cell_backward, {"nonlinearity": "relu"}),
    "LSTM": (lstm, lstm_backward, lstm_cell, lstm_cell_backward, {}),
    "GRU": (gru, gru_backward, gru_cell, gru_cell_backward, {}),
}
GATES = {"tanh": 1, "relu": 1, "LSTM": 4, "GRU": 3}
T, N, INPUT, HIDDEN = 4, 4, 3, 2
LENGTHS = {"packed": [4, 4, 2, 1], "unsorted": [2, 4, 1, 4]}
FORMS = ("plain", "batch_first", "unbatched", "packed", "unsorted")
each_kind = pytest.mark.parametrize("kind", KINDS)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tensors(result):
    """The tensors in nested results, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, PackedSequence):
        return [result.data]
    return [t for part in result if part is not None for t in tensors(part)]


def said_of(where, text):
    return f"{where}: {text}"


def assert_equal(ours, theirs, case, rtol=1e-10, atol=1e-12):
    assert len(ours) == len(theirs), case
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, msg=partial(said_of, f"{case}, tensor {k}"))


def pair_of(kind, dtype=torch.float64, seed=0, **options):
    """PyTorch's layer, and ours with its weights."""
    ours, theirs, fixed = KINDS[kind]
    torch.manual_seed(seed)
    layer = theirs(INPUT, HIDDEN, dtype=dtype, **fixed, **options)
    return ours.load_from_torch(layer), layer


def state_of(kind, layer, batch, seed=5, dtype=torch.float64):
    """A random initial state: one tensor, or two for the LSTM."""
    shape = [layer.num_layers * (1 + layer.bidirectional), *([] if batch is None else [batch]), HIDDEN]
    h = draw(*shape, seed=seed, dtype=dtype)
    return (h, draw(*shape, seed=seed + 1, dtype=dtype)) if kind == "LSTM" else h


def run(layer, form, x, hx):
    """Values and the gradients of input, state and parameters, for fixed random weights of all results."""
    x, hx = x.clone().requires_grad_(), copy.deepcopy(hx)
    states = [] if hx is None else tensors(hx)
    for state in states:
        state.requires_grad_()
    given = x
    if form in LENGTHS:
        given = pack_padded_sequence(x, LENGTHS[form], enforce_sorted=form == "packed")
    results = tensors(layer(given, hx))
    total = sum((r * draw(*r.shape, seed=9 + k, dtype=r.dtype)).sum() for k, r in enumerate(results))
    return results, torch.autograd.grad(total, [x, *states, *layer.parameters()])


@pytest.mark.parametrize("form", FORMS)
@each_kind
def test_layer_equals_torch(kind, form):
    for layers, both, bias, given_state, length in itertools.product((1, 2, 3), (False, True), (True, False),
                                                                     (True, False), (1, T)):
        if length == 1 and (form in LENGTHS or layers == 3):
            continue
        options = {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": form == "batch_first"}
        ours, theirs = pair_of(kind, **options)
        batch = {"unbatched": None, "batch_first": 1 if bias else N}.get(form, N)
        shape = {"unbatched": (length, INPUT), "batch_first": (batch, length, INPUT)}.get(form, (length, N, INPUT))
        hx = state_of(kind, theirs, batch) if given_state else None
        (values, grads), (true_values, true_grads) = (run(m, form, draw(*shape), hx) for m in (ours, theirs))
        case = f"{kind} {form} {options} state={given_state} T={length}"
        assert_equal(values, true_values, case)
        assert_equal(grads, true_grads, case)


@each_kind
def test_packed_sequence_comes_back_as_torch_makes_it(kind):
    ours, theirs = pair_of(kind, bidirectional=True, num_layers=2, batch_first=True)
    for sort in (True, False):
        given = pack_padded_sequence(draw(N, T, INPUT), LENGTHS["packed" if sort else "unsorted"], True, sort)
        (a, _), (b, _) = ours(given), theirs(given)
        assert type(a) is PackedSequence
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x is None and y is None) or torch.equal(x, y), name


def half(kind, layer, x, hx, reverse, sizes):
    """One direction of PyTorch's bidirectional layer."""
    states = tuple(torch.stack([s, s]) for s in tensors(hx))
    given = x if sizes is None else PackedSequence(x, sizes)
    output, last = layer(given, states if kind == "LSTM" else states[0])
    output = tensors(output)[0]
    return [output[..., HIDDEN:] if reverse else output[..., :HIDDEN], *(s[int(reverse)] for s in tensors([last]))]


@each_kind
def test_run_and_backward_by_hand(kind):
    """Forward, autograd through it, and backpropagation through time by hand, for one layer and direction."""
    forward, backward, _, _, options = RUNS[kind]
    for reverse, bias, (steps, batch) in itertools.product((False, True), (True, False),
                                                           [(T, N), (1, 1), (5, 1), (1, 3), (2, 0), (0, N)]):
        _, layer = pair_of(kind, bidirectional=True, bias=bias)
        sizes = None if steps else torch.tensor([4, 3, 3, 1])
        x = (draw(steps, batch, INPUT) if steps else draw(11, INPUT)).requires_grad_()
        states = [s[0].requires_grad_() for s in tensors([state_of(kind, layer, batch)])]
        hx = tuple(states) if kind == "LSTM" else states[0]
        ending = "_reverse" if reverse else ""
        weights = [p for name, p in layer.named_parameters() if name.endswith(f"l0{ending}")]
        more = {**options, "reverse": reverse, "batch_sizes": sizes}
        truth, ours = half(kind, layer, x, hx, reverse, sizes), tensors(forward(x, hx, *weights, **more))
        case = f"{kind} {more} bias={bias} T={steps} N={batch}"
        assert_equal(ours, truth, case)
        dual = [draw(*r.shape, seed=9 + k) for k, r in enumerate(truth)]
        leaves = [x, *states, *weights]
        true = torch.autograd.grad(truth, leaves, dual)
        assert_equal(torch.autograd.grad(ours, leaves, dual), true, f"{case}, autograd")
        last = tuple(dual[1:]) if kind == "LSTM" else dual[1]
        by_hand = backward(dual[0], last, x, hx, *weights, **more)
        assert (by_hand[4] is None) == (by_hand[5] is None) == (not bias)
        assert_equal(tensors(by_hand), true, f"{case}, by hand")


@each_kind
def test_cell_equals_torch(kind):
    _, _, cell, backward, options = RUNS[kind]
    made = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell}.get(kind, nn.RNNCell)
    torch.manual_seed(1)
    for bias, batch, size in itertools.product((True, False), (N, 1, 0, None), (1.0, 1e4, 0.0)):
        layer = made(INPUT, HIDDEN, bias, dtype=torch.float64, **options)
        shape = [] if batch is None else [batch]
        x = (size * draw(*shape, INPUT)).requires_grad_()
        states = [draw(*shape, HIDDEN, seed=3 + k).requires_grad_() for k in range(1 + (kind == "LSTM"))]
        hx = tuple(states) if kind == "LSTM" else states[0]
        weights, case = list(layer.parameters()), f"{kind} bias={bias} batch={batch} size={size}"
        truth, ours = tensors(layer(x, hx)), tensors(cell(x, hx, *weights, **options))
        assert_equal(ours, truth, case)
        dual = [draw(*r.shape, seed=9 + k) for k, r in enumerate(truth)]
        true = torch.autograd.grad(truth, [x, *states, *weights], dual)
        assert_equal(torch.autograd.grad(ours, [x, *states, *weights], dual), true, f"{case}, autograd")
        by_hand = backward(tuple(dual) if kind == "LSTM" else dual[0], x, hx, *weights, **options)
        assert_equal(tensors(by_hand), true, f"{case}, by hand")


def test_relu_at_zero_has_slope_zero():
    zero, w = torch.zeros(1, 1), torch.zeros(1, 1)
    x = zero.clone().requires_grad_()
    by_torch = torch.autograd.grad(torch.rnn_relu_cell(x, zero, w + 1, w), x)[0]
    assert by_torch.item() == rnn_cell_backward(zero + 1, x, zero, w + 1, w, nonlinearity="relu")[0].item() == 0


@each_kind
def test_gradcheck(kind):
    forward, _, cell, _, options = RUNS[kind]
    h = GATES[kind] * HIDDEN
    inputs = [draw(N, INPUT), draw(h, INPUT, seed=1), draw(h, HIDDEN, seed=2), draw(h, seed=3), draw(h, seed=4)]
    states = [draw(N, HIDDEN, seed=7 + k) for k in range(1 + (kind == "LSTM"))]
    for run_it, x in ((cell, inputs[0]), (forward, draw(3, N, INPUT))):
        def function(x, w_ih, w_hh, b_ih, b_hh, *states, run_it=run_it):
            hx = states if kind == "LSTM" else states[0]
            return tuple(tensors(run_it(x, hx, w_ih, w_hh, b_ih, b_hh, **options)))
        leaves = [t.clone().requires_grad_() for t in (x, *inputs[1:], *states)]
        assert torch.autograd.gradcheck(function, leaves)


@each_kind
def test_float32(kind):
    ours, theirs = pair_of(kind, dtype=torch.float32, num_layers=2, bidirectional=True)
    x = draw(T, N, INPUT, dtype=torch.float32)
    (values, grads), (true_values, true_grads) = (run(m, "plain", x, None) for m in (ours, theirs))
    assert_equal([*values, *grads], [*true_values, *true_grads], kind, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ours(x.bfloat16())[0].float(), true_values[0], rtol=0.1, atol=0.05)


@each_kind
def test_dropout_draws_as_torch(kind):
    for both, form in itertools.product((False, True), ("plain", "batch_first", "packed")):
        options = {"num_layers": 3, "dropout": 0.5, "bidirectional": both, "batch_first": form == "batch_first"}
        ours, theirs = pair_of(kind, **options)
        results = []
        for layer in (ours, theirs):
            torch.manual_seed(3)
            results.append(run(layer, form, draw(T, N, INPUT), None))
        assert_equal(results[0][0], results[1][0], f"{kind} {options}")
        assert_equal(results[0][1], results[1][1], f"{kind} {options}")
        x = draw(T, N, INPUT)
        assert not torch.equal(ours(x)[0], ours(x)[0])
        assert_equal(tensors(ours.eval()(x)), tensors(theirs.eval()(x)), "eval")


@each_kind
def test_parameters_are_torchs(kind):
    ours_class, theirs_class, fixed = KINDS[kind]
    for options in ({}, {"num_layers": 3, "bidirectional": True}, {"bias": False, "batch_first": True},
                    {"num_layers": 2, "dropout": 0.25}):
        made = []
        for layer_class in (ours_class, theirs_class):
            torch.manual_seed(0)
            made.append(layer_class(5, 4, **fixed, **options))
        ours, theirs = made
        assert [*ours.state_dict()] == [*theirs.state_dict()]
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)  # the same seed draws the same start
        assert repr(ours) == repr(theirs)
        theirs.load_state_dict(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        ours.flatten_parameters()
        loaded = ours_class.load_from_torch(theirs.eval().double())
        assert (repr(loaded), loaded.training, loaded.weight_hh_l0.dtype) == (repr(theirs), False, torch.float64)
    assert RNN.load_from_torch(nn.RNN(1, 1, nonlinearity="relu")).nonlinearity == "relu"


def test_torchs_own_samples():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    pairs = {theirs: ours for ours, theirs, _ in KINDS.values()}
    count = 0
    for info in module_db:
        if info.module_cls not in pairs:
            continue
        samples = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=True)
        for sample in samples:
            made = {**sample.constructor_input.kwargs, "dtype": torch.float64}
            theirs = info.module_cls(*sample.constructor_input.args, **made)
            if made.get("proj_size"):
                with pytest.raises(NotImplementedError, match="proj_size=0"):
                    pairs[info.module_cls].load_from_torch(theirs)
                continue
            ours = pairs[info.module_cls].load_from_torch(theirs)
            call = sample.forward_input
            values, true = (tensors(layer(*call.args, **call.kwargs)) for layer in (ours, theirs))
            assert_equal(values, true, str(made))
            count += 1
    assert count >= 60


@settings(deadline=None, max_examples=25, derandomize=True)
@given(kind=st.sampled_from([*KINDS]), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
       padding=st.integers(0, 3), seed=st.integers(0, 99))
def test_packed_result_does_not_know_the_padding(kind, lengths, padding, seed):
    """Each sequence alone gives what the packed batch gives, in both directions, whatever stands in the padding."""
    layer, _ = pair_of(kind, num_layers=2, bidirectional=True, seed=seed)
    x = draw(max(lengths) + padding, len(lengths), INPUT, seed=seed)
    output, last = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    padded, _ = pad_packed_sequence(output)
    for n, length in enumerate(lengths):
        alone, state = layer(x[:length, n])
        assert_equal([padded[:length, n], *(s[:, n] for s in tensors([last]))], [alone, *tensors([state])], n)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(kind=st.sampled_from([*KINDS]), cut=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_sequence_may_be_read_in_two_parts(kind, cut, seed):
    layer, _ = pair_of(kind, num_layers=2, seed=seed)
    x = draw(6, N, INPUT, seed=seed)
    first, state = layer(x[:cut])
    second, end = layer(x[cut:], state)
    whole, last = layer(x)
    assert_equal([torch.cat([first, second]), *tensors([end])], [whole, *tensors([last])], kind)


def test_reverse_is_a_flip():
    for kind, (forward, _, _, _, options) in RUNS.items():
        h = GATES[kind] * HIDDEN
        state = (draw(N, HIDDEN),) * 2 if kind == "LSTM" else draw(N, HIDDEN)
        x, weights = draw(T, N, INPUT), (draw(h, INPUT, seed=1), draw(h, HIDDEN, seed=2))
        output, last = forward(x, state, *weights, reverse=True, **options)
        flipped, end = forward(x.flip(0), state, *weights, **options)
        assert_equal([output, *tensors([last])], [flipped.flip(0), *tensors([end])], kind)


def z(*shape, dtype=torch.float32):
    return torch.zeros(*shape, dtype=dtype)


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"dropout": 2.0}, "0 to 1"), ({"dropout": True}, "0 to 1"), ({"dropout": "a"}, "0 to 1"),
    ({"bias": 1}, "bias as True or False"), ({"batch_first": 0}, "batch_first as True or False"),
    ({"num_layers": 0}, "num_layers of 1 or more, got 0"), ({"input_size": 0}, "input_size of 1 or more"),
    ({"hidden_size": -1}, "hidden_size of 1 or more"), ({"input_size": 3.0}, "input_size as an int, got 3.0"),
    ({"hidden_size": "a"}, "hidden_size as an int"),
]
BAD_CALLS = [
    ((z(5),), "2 dimensions"), ((z(1, 5, 2, 3),), "2 dimensions"), ((z(0, 2, 3),), "larger than 0, got 0"),
    ((z(0, 3),), "larger than 0"), ((z(5, 2, 2),), "3 numbers in each step"),
    ((z(5, 2, 3, dtype=torch.float64),), r"use input.to\(torch.float32\)"),
    ((pack_padded_sequence(z(3, 2, 7), [3, 1]),), "3 numbers in each step"),
    (([[1.0]],), "dim"),
]
BAD_STATES = [
    (z(5, 2, 3), [z(1, 2, 5)], r"state of shape \[1, 2, 4\]"), (z(5, 2, 3), [z(2, 4)], r"got \[2, 4\]"),
    (z(5, 2, 3), [z(2, 2, 4)], r"\[1, 2, 4\]"), (z(5, 3), [z(1, 1, 4)], r"\[1, 4\], got \[1, 1, 4\]"),
    (z(5, 2, 3), [z(1, 2, 4, dtype=torch.float64)], "dtype torch.float32"),
    (pack_padded_sequence(z(5, 2, 3), [5, 4]), [z(1, 3, 4)], r"\[1, 2, 4\]"),
]


def error_of(function, *args, **options):
    try:
        function(*args, **options)
    except Exception as error:
        return error
    return None


@each_kind
def test_what_torch_refuses_is_refused(kind):
    ours_class, theirs_class, fixed = KINDS[kind]
    for options, said in BAD_OPTIONS:
        made: dict[str, Any] = {"input_size": 3, "hidden_size": 4, **fixed, **options}
        true = error_of(theirs_class, **made)
        with pytest.raises(type(true), match=said):
            ours_class(**made)
    ours, theirs = ours_class(3, 4, **fixed), theirs_class(3, 4, **fixed)
    calls: list[Any] = [*BAD_CALLS]
    for x, (state,), said in BAD_STATES:
        calls.append(((x, (state, state) if kind == "LSTM" else state), said))
    if kind == "LSTM":
        calls += [((z(5, 2, 3), (z(1, 2, 4), z(1, 2, 5))), r"got \[1, 2, 5\]"), ((z(5, 2, 3), z(2, 2, 4)), "a pair")]
    for arguments, said in calls:
        true = error_of(theirs, *arguments)
        assert true is not None, said
        with pytest.raises(type(true), match=said):
            ours(*arguments)


def test_sentences_of_our_own():
    with pytest.raises(TypeError, match="one tensor h, got a tuple: only an LSTM has a pair"):
        GRU(3, 4)(z(5, 2, 3), (z(1, 2, 4), z(1, 2, 4)))
    with pytest.raises(ValueError, match="'tanh' or 'relu', got 'sin'"):
        RNN(3, 4, nonlinearity="sin")
    with pytest.raises(ValueError, match="'tanh' or 'relu', got 'sin'"):
        rnn_cell(z(3), z(4), z(4, 3), z(4, 4), nonlinearity="sin")
    with pytest.raises(NotImplementedError, match="proj_size=0, got 2"):
        LSTM(3, 4, proj_size=2)
    with pytest.raises(TypeError, match=r"expected a torch.nn.GRU to load from, got torch.nn.LSTM"):
        GRU.load_from_torch(nn.LSTM(1, 1))
    for layer in (LSTM, nn.LSTM):
        with pytest.warns(UserWarning, match=r"dropout.*num_layers"):
            layer(3, 4, dropout=0.5)


@each_kind
def test_functions_refuse_what_does_not_fit(kind):
    forward, _, cell, _, options = RUNS[kind]
    h = 4 * GATES[kind]
    by_torch = {"tanh": torch.rnn_tanh_cell, "relu": torch.rnn_relu_cell, "LSTM": torch.lstm_cell,
                "GRU": torch.gru_cell}[kind]
    good = {"input": z(2, 3), "hx": z(2, 4), "w_ih": z(h, 3), "w_hh": z(h, 4), "b_ih": z(h), "b_hh": z(h)}
    bad = [("input", z(2, 5), "w_ih of shape"), ("hx", z(2, 5), "state of shape"), ("hx", z(3, 4), "state of shape"),
           ("b_ih", z(h + 1), "b_ih of shape"), ("w_hh", z(h + 1, 4), "w_hh of shape"),
           ("input", z(1, 2, 3), "one step")]
    for name, value, said in bad:
        a = {**good, name: value}
        a["hx"] = (a["hx"], a["hx"]) if kind == "LSTM" else a["hx"]
        assert isinstance(error_of(by_torch, *a.values()), RuntimeError)
        with pytest.raises(RuntimeError, match=said):
            cell(*a.values(), **options)
    state = (z(2, 4), z(2, 4)) if kind == "LSTM" else z(2, 4)
    weights = (z(h, 3), z(h, 4))
    for x, sizes, said in [(z(2, 3), None, r"\[T, N, input_size\]"), (z(0, 2, 3), None, "larger than 0"),
                           (z(4, 3), [2, 1], r"\[3, input_size\]"), (z(3, 3), [1, 2], "never grow"),
                           (z(2, 3), [2, 0], "never grow"),
                           (z(5, 2, 4), None, "w_ih of shape"), (z(3, 3), [3], "state of shape")]:
        with pytest.raises(RuntimeError, match=said):
            forward(x, state, *weights, **options, batch_sizes=None if sizes is None else torch.tensor(sizes))
