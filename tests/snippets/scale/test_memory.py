"""Proofs of the formulas of scale/memory, counted in the tensors that torch itself keeps, and its exercises."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from dlguide.memory import MemoryMeter

PAGE = "scale/memory"
GENERATOR = torch.Generator().manual_seed(8)


def numbers(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64).to(dtype)


def kept_bytes(run, *own):
    """Bytes that torch keeps for the backward pass, without the memory of `own`."""
    kept, known = {}, {t.data_ptr() for t in own}

    def pack(t):
        if t.untyped_storage().data_ptr() not in known:
            kept[t.untyped_storage().data_ptr()] = t  # held, so that no address is used twice
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run()
    return sum(t.untyped_storage().nbytes() for t in kept.values())


def linear_layers(sizes, act=nn.ReLU):
    layers = [[nn.Linear(a, b), act()] for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*list(itertools.chain(*layers))[:-1])


def size(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.proves("training-bytes")
def test_training_bytes(formula):
    """For each optimizer, what lies in its tensors after a step; Adam's step counts are left out."""
    for make, state in ((lambda p: torch.optim.SGD(p, lr=0.1), 0),
                        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 4), (torch.optim.Adam, 8)):
        model, x = linear_layers((7, 5, 3)), numbers(11, 7)
        optimizer = make(model.parameters())
        model(x).sum().backward()
        optimizer.step()
        parameters = list(model.parameters())
        held = [v for values in optimizer.state.values() for v in values.values() if torch.is_tensor(v) and v.dim()]
        saved = kept_bytes(lambda m=model, t=x: m(t), *parameters)
        whole = size(parameters) + size([p.grad for p in parameters]) + size(held) + saved
        formula("training-bytes").holds({"M": whole, "P": sum(p.numel() for p in parameters), "b_w": 4, "b_g": 4,
                                         "b_o": state, "N": 11, "s": saved / 11})


@pytest.mark.proves("linear-activations")
def test_linear_activations(formula, page):
    for sizes, act in (((7, 5, 3), nn.ReLU), ((6, 9, 8, 2), nn.Tanh), ((4, 3), nn.ReLU), ((4, 5, 3), nn.Sigmoid)):
        model, x = linear_layers(sizes, act), numbers(11, sizes[0])
        found = kept_bytes(lambda m=model, t=x: m(t), *model.parameters())
        formula("linear-activations").holds(
            {"A": found, "N": 11, "m": torch.tensor(sizes[:-1]).double(), "D": len(sizes) - 1}, first=0)
        assert found == page(PAGE)["saved_bytes"](model, x)


@pytest.mark.proves("convolution-activations")
def test_convolution_activations(formula):
    for inputs, outputs, height, width in ((3, 5, 8, 6), (1, 2, 4, 10)):
        model = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        x = numbers(7, inputs, height, width)
        formula("convolution-activations").holds({
            "A": kept_bytes(lambda m=model, t=x: m(t), *model.parameters()), "N": 7, "C_0": inputs, "C_1": outputs,
            "H": height, "W": width})


@pytest.mark.proves("attention-activations")
def test_attention_activations(formula, page):
    attention, fused = page(PAGE)["attention"], F.scaled_dot_product_attention
    for n, heads, length, width in ((2, 3, 16, 8), (1, 2, 40, 4)):
        q, k, v = (numbers(n, heads, length, width).requires_grad_() for _ in range(3))
        formula("attention-activations").holds({
            r"A_{\text{matrix}}": kept_bytes(lambda q=q, k=k, v=v: attention(q, k, v)),
            r"A_{\text{fused}}": kept_bytes(lambda q=q, k=k, v=v: fused(q, k, v)),
            "N": n, "h": heads, "T": length, "d": width})
        torch.testing.assert_close(attention(q, k, v), fused(q, k, v))


@pytest.mark.proves("accumulation")
def test_accumulation(formula):
    model, x = linear_layers((4, 6, 3)).double(), numbers(20, 4, dtype=torch.float64)
    y = torch.randint(3, (20,), generator=GENERATOR)

    def gradient(x, y):
        return torch.cat([g.flatten() for g in torch.autograd.grad(F.cross_entropy(model(x), y), model.parameters())])

    for part in (5, 8):  # 5, 5, 5, 5 and 8, 8, 4
        cuts = list(zip(x.split(part), y.split(part), strict=True))
        formula("accumulation").holds({
            r"\bar g": gradient(x, y), "N": 20, "J": len(cuts), "n": torch.tensor([len(t) for _, t in cuts]).double(),
            "g": torch.stack([gradient(*cut) for cut in cuts])})
    plain = torch.stack([gradient(*cut) for cut in cuts]).mean(0)  # equal weights for unequal parts
    assert not torch.allclose(plain, gradient(x, y))


def peak_of(n, segments, rows=2048, width=32):
    """The peak of forward and backward pass in bytes; the input and the gradients of the weights are there before."""
    blocks = nn.Sequential(*(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(n)))
    for p in blocks.parameters():
        p.grad = torch.zeros_like(p)
    start = h = numbers(rows, width).requires_grad_()
    with MemoryMeter() as meter:
        for i in range(0, n, n // segments):
            h = checkpoint(blocks[i : i + n // segments], h, use_reentrant=False)
        h = h.sum()  # the output is gone, as it is in a training loop that keeps the loss only
        h.backward()
    assert start.grad is not None
    return meter.peak


@pytest.mark.proves("segments", "best-segments")
def test_segments(formula):
    """The input is not counted, and one gradient on its way back is: together they are k + n / k outputs."""
    one = 4 * 2048 * 32
    for n in (16, 36):
        measured = {k: peak_of(n, k) for k in range(1, n + 1) if n % k == 0}
        names = {"A": lambda k, found=measured: found[round(float(k))], "a": one, "n": n}
        for k in measured:
            formula("segments").holds({**names, "k": k}, rtol=3e-3)
        best = min(measured, key=measured.__getitem__)
        formula("best-segments").holds({**names, "k^*": best}, rtol=3e-3)


@pytest.mark.proves("operations")
def test_operations(formula):
    sizes = (7, 6, 5, 3)
    model, x = linear_layers(sizes), numbers(11, 7)

    def counted(run):
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    names = {"F": counted(lambda: model(x)), "F'": counted(lambda: model(x).sum().backward()), "N": 11, "Q": weights,
             "m": torch.tensor(sizes).double()}
    formula("operations").holds(names, first=0)
    again = counted(lambda: checkpoint(model, x, use_reentrant=False).sum().backward())
    assert again == names["F"] + names["F'"] - 2 * 11 * 5 * 3  # one forward pass more, without its last product


def test_no_grad_saves_nothing(page):
    model, x = linear_layers((5, 8, 8, 2)), numbers(6, 5)
    own = list(model.parameters())
    assert kept_bytes(lambda: model.eval()(x), *own) == kept_bytes(lambda: model.train()(x), *own) > 0
    with torch.no_grad():
        assert kept_bytes(lambda: model(x), *own) == 0
    with torch.inference_mode():
        assert kept_bytes(lambda: model(x), *own) == 0
    model[0].requires_grad_(False)
    assert kept_bytes(lambda: model(x), *own) == 4 * 6 * (8 + 8)  # the input is not kept


def test_functions_and_their_maps():
    x = numbers(6, 5)
    for act, maps in ((nn.ReLU(), 1), (nn.ReLU(inplace=True), 1), (nn.Sigmoid(), 1), (nn.Tanh(), 1), (nn.GELU(), 2),
                      (nn.SiLU(), 2)):
        model = nn.Sequential(nn.Linear(5, 8), act, nn.Linear(8, 2))
        assert kept_bytes(lambda m=model: m(x), *model.parameters()) == 4 * 6 * (5 + 8 * maps)


def test_backward_frees_what_was_kept():
    """What is large in a graph are the tensors that it keeps; after the backward pass they are gone."""
    model, x = linear_layers((64, 256, 10)), numbers(128, 64)
    with MemoryMeter() as meter:
        loss = model(x).sum()
        before = meter.now
        loss.backward()
        after = meter.now
    assert loss.grad_fn is not None  # the graph is still there
    assert before > 4 * 128 * 256
    assert after == 4 * (64 * 256 + 256 + 256 * 10 + 10) + 4  # gradients and the loss


def test_the_peak_is_in_the_backward_pass(page):
    stages = page(PAGE)["stages"]
    hidden = 4 * 2048 * 512
    forward, top = stages["after the forward pass"], stages["at the peak"]
    assert top == pytest.approx(forward + 2 * hidden, rel=0.01)
    assert top == pytest.approx(2 * forward, rel=0.02)


def test_accumulation_with_batchnorm():
    x, y = numbers(20, 4, dtype=torch.float64), torch.randint(3, (20,), generator=GENERATOR)

    def gradient(model, parts):
        model.zero_grad()
        for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True):
            (F.cross_entropy(model(a), b) / parts).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    for layer, equal in ((nn.LayerNorm(6), True), (nn.BatchNorm1d(6), False)):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 6), layer, nn.ReLU(), nn.Linear(6, 3)).double()
        assert torch.allclose(gradient(model, 1), gradient(model, 4)) == equal, layer


def test_checkpoint_gives_the_same_gradients_with_dropout():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 50), nn.Dropout(0.5), nn.Tanh(), nn.Linear(50, 1))
    x, grads = numbers(9, 6), []
    for run in (model, lambda t: checkpoint(model, t, use_reentrant=False)):
        torch.manual_seed(3)
        grads.append(torch.autograd.grad(run(x).sum(), list(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_the_reentrant_checkpoint_needs_an_input_with_gradient():
    model, x = nn.Linear(3, 2), numbers(4, 3)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        out = checkpoint(model, x, use_reentrant=True)
    assert not out.requires_grad
    checkpoint(model, x, use_reentrant=False).sum().backward()
    assert model.weight.grad is not None


def test_checkpoint_and_batchnorm_count_twice(page):
    for again, batches in ((False, 1), (True, 2)):
        torch.manual_seed(0)
        block, x = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), numbers(8, 4)
        (checkpoint(block, x, use_reentrant=False) if again else block(x)).sum().backward()
        assert block[1].num_batches_tracked.item() == batches
    assert page(PAGE)["block"][1].num_batches_tracked.item() == 2


def test_what_a_list_of_losses_keeps(page):
    held_by = page(PAGE)["held_by"]
    activations = 4 * 64 * (512 + 512)
    assert held_by(lambda loss: loss.item(), steps=3) == 0
    assert held_by(lambda loss: loss, steps=3) == 3 * 4  # the loss itself; the saved tensors are freed
    assert held_by(lambda loss: loss.detach(), train=False, steps=3) == 3 * 4
    assert held_by(lambda loss: loss, train=False, steps=3) > 3 * activations


def test_sums_of_losses_and_hidden_states_keep_the_graph_too():
    model, x = linear_layers((16, 64, 1)), numbers(32, 16)
    for kind in ("sum", "hidden"):
        grown = []
        with MemoryMeter() as meter:
            total = h = torch.zeros(32, 64)
            for _ in range(3):
                if kind == "sum":
                    total = total + model(x).sum()
                else:
                    h = torch.tanh(h + model[0](x))
                grown.append(meter.now)
        assert grown[2] - grown[1] == grown[1] - grown[0] > 4 * 32 * 64 - 1, (kind, total.shape, h.shape)


def test_names_live_until_they_are_assigned_anew():
    model, x = linear_layers((16, 256, 256)), numbers(64, 16)
    peaks = []
    for delete in (False, True):
        with MemoryMeter() as meter, torch.no_grad():
            for _ in range(2):
                output = model(x)
                if delete:
                    del output
        peaks.append(meter.peak)
    assert peaks[0] - peaks[1] == 4 * 64 * 256


def test_autocast_keeps_bfloat16(page):
    names = page(PAGE)
    model, x = names["network"](), names["batch"](64)[0]
    own = list(model.parameters())
    full = kept_bytes(lambda: model(x), *own)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = kept_bytes(lambda: model(x), *own)
    copies = 2 * (512 * 512 + 512 * 10)  # of the weights whose inputs need a gradient
    assert mixed - copies == full / 2


def check_largest(largest_batch):
    cases = itertools.product((10**6, 10**9), (100, 10**5), (0, 4, 8), (1000, 123_457))
    for free, parameters, state, example in cases:
        n = largest_batch(free, parameters, state, example)
        need = parameters * (8 + state)
        fits = need + n * example <= free
        if not (n >= 0 and int(n) == n and (fits or n == 0) and need + (n + 1) * example > free):
            return False
    return True


def test_exercise_largest(page):
    largest = page(PAGE)["largest_batch"]
    assert check_largest(largest)
    assert not check_largest(lambda free, p, state, one: max(0, (free - p * (4 + state)) // one))  # no gradients
    assert not check_largest(lambda free, p, state, one: (free - p * (8 + state)) // one)  # below zero
    assert not check_largest(lambda free, p, state, one: max(0, math.ceil((free - p * (8 + state)) / one)))


def check_accumulate(accumulate):
    x, y = numbers(20, 4, dtype=torch.float64), torch.randint(3, (20,), generator=GENERATOR)
    seen: list[int] = []
    for most in (1, 5, 8, 20, 30):
        model = linear_layers((4, 6, 3)).double()
        model.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
        accumulate(model, x, y, most)
        found = [p.grad.clone() for p in model.parameters()]
        if max(seen) > most or sum(seen) != 20:
            return False
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if not all(torch.allclose(a, p.grad) for a, p in zip(found, model.parameters(), strict=True)):
            return False
        seen.clear()
    return True


def test_exercise_accumulate(page):
    assert check_accumulate(page(PAGE)["accumulate"])

    def mean_of_means(model, x, y, size):
        parts = list(zip(x.split(size), y.split(size), strict=True))
        for a, b in parts:
            (F.cross_entropy(model(a), b) / len(parts)).backward()

    def undivided(model, x, y, size):
        for a, b in zip(x.split(size), y.split(size), strict=True):
            F.cross_entropy(model(a), b).backward()

    def all_at_once(model, x, y, size):
        F.cross_entropy(model(x), y).backward()

    for wrong in (mean_of_means, undivided, all_at_once):
        assert not check_accumulate(wrong)
