"""The trainer's loop against loops written by hand, torch's own functions and scikit-learn."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dlguide.data import BatchOrder, TensorBatches
from dlguide.train import Callback, Trainer
from tests.dlguide.training_runs import Own, batches, bits, net, points, same, trainer


class Watch(Callback):
    """Note something after each step."""

    def __init__(self, look):
        self.look, self.seen = look, []

    def on_step(self, trainer):
        self.seen.append(self.look(trainer))


# ---- the loop


@pytest.mark.parametrize("seed", [0, 5])
def test_the_loop_equals_one_written_by_hand(seed):
    """Dropout, BatchNorm, Adam, a scheduler, uneven batches: the same bits, and the same numbers in the history."""
    ours, validation = trainer(seed=seed), points(20, seed=1)
    ours.model.eval()  # as after a run before
    history = ours.fit(batches(seed=3), TensorBatches(validation, 7), epochs=3)

    model = net(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
    x, y = points().tensors
    order = torch.Generator().manual_seed(3)
    torch.manual_seed(seed)
    for epoch in range(3):
        model.train()
        losses, hits = 0.0, 0
        for rows in torch.randperm(50, generator=order).split(8):
            optimizer.zero_grad()
            output = model(x[rows])
            loss = F.cross_entropy(output, y[rows])
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses += loss.item() * len(rows)
            hits += (output.argmax(1) == y[rows]).sum().item()
        model.eval()
        with torch.no_grad():
            output = model(validation.tensors[0])
        assert history.train_loss[epoch] == pytest.approx(losses / 50, rel=1e-12)
        assert history.train_accuracy[epoch] == hits / 50
        assert history.validation_loss[epoch] == pytest.approx(
            F.cross_entropy(output, validation.tensors[1]).item(), rel=1e-6)
        assert history.validation_accuracy[epoch] == (output.argmax(1) == validation.tensors[1]).sum().item() / 20
    assert same(bits(ours.model), bits(model))
    assert (ours.epoch, ours.batch, ours.step) == (3, 0, 21)
    assert not ours.model.training


@pytest.mark.parametrize("sizes", [[10], [4, 3, 3], [1, 7, 2], [9, 1], [1] * 10])
def test_unequal_batches_accumulate_to_one(sizes):
    """Gradients and means of k batches are those of one batch of all their examples."""
    x, y = points(10, dtype=torch.float64).tensors
    found = []
    for group in ([10], sizes):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), accumulate=len(group), device="cpu")
        data = list(zip(x.split(group), y.split(group), strict=True))
        history = run.fit(data, epochs=2)
        assert run.step == 2
        assert run.last_loss.dtype == torch.float64
        found.append(([p.grad for p in model.parameters()], bits(model), history.train_loss, run.last_loss))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-14)


def test_the_last_group_of_an_epoch_may_be_smaller():
    """7 batches in groups of 3 are 3 steps, the last on the mean of one batch."""
    seen, lengths = [], []
    for accumulate in (1, 3):
        run = trainer(Watch(lambda t: t.batch), scheduler=False, accumulate=accumulate)
        run.fit(batches(), epochs=2)
        seen.append(run.callbacks[0].seen)
        lengths.append(run.steps_per_epoch)
    assert seen == [[*range(1, 8)] * 2, [3, 6, 7] * 2]
    assert lengths == [7, 3]


@pytest.mark.parametrize("clip", [1e-3, 0.5, 100.0])
def test_clipping_is_that_of_torch(clip):
    ours = trainer(Watch(lambda t: t.logs["norm"]), clip=clip, scheduler=False, metrics={})
    ours.fit(batches(), epochs=1)

    model, (x, y) = net(), points().tensors
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    torch.manual_seed(0)
    norms = []
    for rows in torch.randperm(50, generator=torch.Generator().manual_seed(0)).split(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), clip).item())
        optimizer.step()
    assert ours.callbacks[0].seen == norms
    assert same(bits(ours.model), bits(model))


def test_the_scheduler_steps_once_for_each_step_of_the_optimizer():
    for accumulate, steps in ((1, 14), (3, 6)):
        run = trainer(Watch(lambda t: t.logs["lr"]), accumulate=accumulate)
        run.fit(batches(), epochs=2)
        rates = torch.optim.SGD([torch.zeros(1)], lr=0.05)
        wanted = torch.optim.lr_scheduler.CosineAnnealingLR(rates, 60)
        expected = []
        for _ in range(steps):
            expected.append(rates.param_groups[0]["lr"])
            rates.step()
            wanted.step()
        assert run.callbacks[0].seen == expected
        assert run.scheduler.last_epoch == steps == run.step


def test_a_learning_rate_in_a_tensor_is_logged_as_a_number():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.25))
    watch = Watch(lambda t: t.logs["lr"])
    run = Trainer(model, optimizer, scheduler=torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), device="cpu",
                  callbacks=[watch])  # fmt: skip
    run.fit(batches(), steps=3)
    assert watch.seen == [0.25, 0.125, 0.0625]
    assert {type(lr) for lr in watch.seen} == {float}


# ---- where a run ends


def test_steps_end_inside_an_epoch_and_a_second_fit_goes_on():
    """7 batches an epoch: 10 steps, then 3, then the rest of 3 epochs are the bits of 3 epochs."""
    whole, pieces = trainer(), trainer()
    expected = whole.fit(batches(), batches(), epochs=3)
    pieces.fit(batches(), batches(), steps=10)
    assert (pieces.epoch, pieces.batch, pieces.step, len(pieces.history.train_loss)) == (1, 3, 10, 1)
    torch.randn(100)  # what the program draws in between does not matter
    pieces.fit(batches(), batches(), steps=13)
    assert pieces.step == 13
    history = pieces.fit(batches(), batches(), epochs=3, steps=1000)
    assert history == expected
    assert same(bits(whole.model), bits(pieces.model))


def test_a_second_fit_after_a_whole_epoch_goes_on_with_the_next_order():
    """6 even batches: when the sampler is asked for one more it draws once more, after the last step of a run too."""
    ends = []
    for limits in ([18], [6, 12, 18], [4, 6, 18]):
        run, generator = trainer(), torch.Generator().manual_seed(3)
        loader = DataLoader(points(48), 8, shuffle=True, generator=generator)
        for steps in limits:
            run.fit(loader, steps=steps)
        ends.append(bits(run.model))
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])


def test_a_last_step_at_the_end_of_an_epoch_ends_the_epoch():
    run = trainer()
    run.fit(batches(), batches(), steps=14)
    assert (run.epoch, run.batch, len(run.history.validation_loss)) == (2, 0, 2)


def test_a_callback_stops_the_run():
    class Stop(Callback):
        def on_step(self, trainer):
            trainer.stop = trainer.step == 9

    run = trainer(Stop())
    run.fit(batches(), epochs=100)
    assert (run.epoch, run.batch, run.step) == (1, 2, 9)


def test_callbacks_hear_everything_in_order():
    calls = []
    events = ("on_start", "on_step", "before_validation", "after_validation", "on_epoch", "on_end", "close")

    class Note(Callback):
        def __init__(self, name, order=0):
            self.name, self.order = name, order

        def __getattribute__(self, name):
            if name in events:
                return lambda trainer: calls.append(f"{object.__getattribute__(self, 'name')} {name}")
            return object.__getattribute__(self, name)

    run = trainer(Note("b"), Note("c"), Note("a", -1))
    run.fit(batches(n=8), batches(n=8), epochs=1)
    expected = []
    for event in events:
        names = "cba" if event == "after_validation" else "abc"
        expected += [f"{name} {event}" for name in names]
    assert calls == expected


def test_numbers_of_an_earlier_validation_are_not_repeated():
    run = trainer()
    run.fit(batches(), batches(), epochs=1)
    history = run.fit(batches(), epochs=3)
    assert (len(history.train_loss), len(history.validation_loss)) == (3, 1)
    assert "validation_loss" not in run.logs


def test_generators_of_the_program_are_left_as_they_were():
    run = trainer()
    before = torch.get_rng_state()
    run.fit(batches(), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


# ---- precision


class Look(nn.Module):
    """Note the types that the layers of a model see."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.seen = set()

    def forward(self, x):
        output = self.linear(x)
        self.seen.add((torch.is_autocast_enabled("cpu"), self.linear.weight.dtype, output.dtype))
        return output


@pytest.mark.parametrize(
    ("precision", "seen"),
    [("float32", (False, torch.float32, torch.float32)), ("bf16", (True, torch.float32, torch.bfloat16)),
     ("fp16", (True, torch.float32, torch.float16))],
)
def test_precision_is_seen_inside_the_model(precision, seen):
    """In training and in validation; the weights stay float32, and the losses equal those of autocast by hand."""
    torch.manual_seed(0)
    model = Look()
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), precision=precision, device="cpu")
    run.fit(batches(), batches(), epochs=2)
    assert model.seen == {seen}
    assert run.scaler.is_enabled() == (precision == "fp16")

    torch.manual_seed(0)
    by_hand, (x, y) = Look(), points().tensors
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    order = torch.Generator().manual_seed(0)
    for _ in range(2):
        for rows in torch.randperm(50, generator=order).split(8):
            optimizer.zero_grad()
            with torch.autocast("cpu", seen[2], enabled=precision != "float32"):
                loss = F.cross_entropy(by_hand(x[rows]), y[rows])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert same(bits(model), bits(by_hand))


def test_clipping_comes_after_the_scale_is_taken_out():
    """Without it the norm would be 65536 times as large and the clipped step 65536 times too small."""
    norms = []
    for precision in ("float32", "fp16"):
        torch.manual_seed(0)
        model = Look()
        watch = Watch(lambda t: t.logs["norm"])
        run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), precision=precision, clip=0.1,
                      callbacks=[watch], device="cpu")  # fmt: skip
        run.fit(batches(), epochs=1)
        norms.append(torch.tensor(watch.seen))
    torch.testing.assert_close(norms[0], norms[1], rtol=2e-2, atol=0)


def exploding(factor):
    """A loss whose gradient is too large for float32 once it is scaled, in the second step alone."""
    calls: list[None] = []

    def loss(output, y):
        calls.append(None)
        return F.cross_entropy(output, y) * (factor if len(calls) == 2 else 1.0)

    return loss


def test_a_step_with_an_infinite_gradient_is_left_out_with_its_scheduler():
    torch.manual_seed(0)
    model = Look()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    watch = Watch(lambda t: (bits(t.model), t.scheduler.last_epoch, t.scaler.get_scale()))
    run = Trainer(model, optimizer, loss=exploding(1e36), scheduler=scheduler, precision="fp16", callbacks=[watch],
                  device="cpu")  # fmt: skip
    run.fit(batches(), steps=4)
    weights, schedules, scales = zip(*watch.seen, strict=True)
    assert [same(a, b) for a, b in itertools.pairwise(weights)] == [True, False, False]
    assert schedules == (1, 1, 2, 3)
    assert scales == (65536, 32768, 32768, 32768)
    assert run.step == 4


# ---- metrics


def test_metrics_over_uneven_batches_are_those_of_all_examples():
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    metrics = {"f1": MulticlassF1Score(3, average="macro"), "macro_accuracy": MulticlassAccuracy(3, average="macro")}
    run = trainer(metrics=metrics)
    validation = points(47, seed=2)
    history = run.fit(batches(), TensorBatches(validation, 9), epochs=2)
    x, y = validation.tensors
    with torch.no_grad():
        answers = run.model(x).argmax(1)
    assert run.logs["validation_f1"] == pytest.approx(f1_score(y, answers, average="macro"), rel=1e-6)
    assert history.metrics["validation_f1"][-1] == run.logs["validation_f1"]
    assert run.evaluate(TensorBatches(validation, 47))["f1"] == pytest.approx(run.logs["validation_f1"], rel=1e-6)
    share = [((answers == y) & (y == c)).sum() / (y == c).sum() for c in range(3)]
    assert run.logs["validation_macro_accuracy"] == pytest.approx(float(sum(share) / 3), rel=1e-6)


def test_a_metric_with_several_numbers_is_refused():
    from torchmetrics.classification import MulticlassF1Score

    with pytest.raises(ValueError, match=r"expected one number from the metric 'f1', got tensor.*average='macro'"):
        trainer(metrics={"f1": MulticlassF1Score(3, average="none")}).evaluate(batches())


def test_a_regression_has_no_accuracy():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    data = TensorBatches(TensorDataset(x, x.sum(1, keepdim=True)), 6)
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=F.mse_loss, device="cpu")
    history = run.fit(data, data, epochs=3)
    assert (history.train_accuracy, history.validation_accuracy) == ([], [])
    assert history.validation_loss[-1] < history.validation_loss[0]
    assert run.evaluate(data)["loss"] == pytest.approx(F.mse_loss(model(x), x.sum(1, keepdim=True)).item(), rel=1e-6)


def test_evaluate_gives_each_part_its_mode_back():
    """A part that was frozen in eval mode by hand stays so."""
    run = trainer()
    run.model.train()
    run.model[1].eval()
    run.evaluate(batches())
    assert [module.training for module in run.model] == [True, False, True, True, True]


def test_models_with_several_inputs_and_tuples_as_outputs():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x, lengths):
            return self.linear(x) / lengths[:, None], lengths

    x, lengths, y = torch.randn(10, 3), torch.arange(1, 11), torch.arange(10) % 3
    model = Pair()
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu",
                  loss=lambda output, y: F.cross_entropy(output[0], y))  # fmt: skip
    history = run.fit(TensorBatches(TensorDataset(x, lengths, y), 4), epochs=1)
    assert history.train_loss[0] > 0
    assert history.train_accuracy == []


# ---- how it runs


@pytest.mark.parametrize("warn_only", [False, True])
def test_deterministic_mode_is_on_during_the_run_only(warn_only):
    torch.use_deterministic_algorithms(warn_only, warn_only=warn_only)
    before = torch.get_deterministic_debug_mode()
    try:
        watch = Watch(lambda t: torch.get_deterministic_debug_mode())
        trainer(watch, deterministic=True).fit(batches(), steps=2)
        assert watch.seen == [2, 2]
        assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_an_operation_without_a_deterministic_form_is_refused():
    """On the CPU put_ without accumulation is one: with a place given twice, which number stays is open."""

    class Scatter(nn.Linear):
        def forward(self, x):
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
            return super().forward(x)

    model = Scatter(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(model, optimizer, device="cpu").fit(batches(), steps=1)
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        Trainer(model, optimizer, device="cpu", deterministic=True).fit(batches(), steps=1)


def test_a_compiled_model_trains():
    plain, compiled = trainer(), trainer()
    plain.model, compiled.model = Own(plain.model), Own(compiled.model)
    calls: list[None] = []

    def counting(graph, inputs):
        calls.append(None)
        return graph.forward

    compiled.model.compile(backend=counting)
    expected = plain.fit(batches(), batches(), epochs=2)
    history = compiled.fit(batches(), batches(), epochs=2)
    assert calls  # it was compiled
    torch.testing.assert_close(history.train_loss, expected.train_loss, rtol=1e-4, atol=1e-5)
    assert bits(compiled.model).keys() == bits(plain.model).keys()
    torch._dynamo.reset()


def test_channels_last_trains_to_the_same_weights():
    class Seen(nn.Conv2d):
        def forward(self, x):
            output = super().forward(x)
            self.layout = output.is_contiguous(memory_format=torch.channels_last)
            return output

    x = torch.randn(12, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = TensorBatches(TensorDataset(x, torch.arange(12) % 3), 4, shuffle=True)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(Seen(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).double()
        model = model.to(memory_format=layout)
        Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), device="cpu").fit(data, epochs=2)
        found.append((model[0].layout, bits(model)))
    assert [layout for layout, _ in found] == [False, True]
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-10, atol=1e-12)


def test_a_data_loader_gives_the_bits_of_the_tensors():
    """Without dropout: a DataLoader draws a number from the global generator in each epoch."""
    fast, slow = trainer(p=0.0), trainer(p=0.0)
    fast.fit(batches(), epochs=2)
    slow.fit(DataLoader(points(), batch_sampler=BatchOrder(50, 8)), epochs=2)
    assert same(bits(fast.model), bits(slow.model))


def test_each_epoch_has_an_order_of_its_own():
    seen = []

    class Keep(nn.Linear):
        def forward(self, x):
            seen.append(x.detach().clone())
            return super().forward(x)

    model = Keep(6, 3)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu")
    run.fit(batches(), epochs=2)
    first, second = torch.cat(seen[:7]), torch.cat(seen[7:])
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.sum(0), second.sum(0))  # the same examples


# ---- what does not fit


class Endless(IterableDataset):
    def __iter__(self):
        yield from [(torch.zeros(6), torch.tensor(0))] * 3


class Wrong(list):
    """Says another number of batches than it has."""

    def __init__(self, items, says):
        super().__init__(items)
        self.says = says

    def __len__(self):
        return self.says


def parts(**changes):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {"model": model, "optimizer": optimizer, "device": "cpu"} | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"precision": "float16"}, "expected the precision 'float32', 'bf16' or 'fp16', got 'float16'"),
        ({"accumulate": 0}, "expected accumulate >= 1 and clip > 0 or none, got 0 and None"),
        ({"clip": 0.0}, "got 1 and 0.0"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)},
         r"expected an optimizer made from model.parameters\(\) of this model, got that of another one"),
        ({"scheduler": torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD([torch.zeros(1)], lr=0.1))},
         "expected a scheduler made from this optimizer, but it moves another one"),
        ({"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)], lr=0.1))},
         "got ReduceLROnPlateau: step it with"),
        ({"optimizer": torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])},
         "expected an optimizer that takes a step from one gradient, got LBFGS"),
    ],
)
def test_parts_that_do_not_fit_get_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        Trainer(**parts(**changes))
    assert "\n" not in str(caught.value)


DATA = [(torch.zeros(2, 6), torch.tensor([0, 1]))]


@pytest.mark.parametrize(
    ("train", "limits", "sentence"),
    [
        (DATA, {}, "expected epochs or steps, got neither: training needs an end"),
        (DATA, {"epochs": -1}, "expected epochs and steps of 0 or more, got -1 and None"),
        ([], {"epochs": 1}, "expected at least one batch, got none"),
        (iter(DATA), {"epochs": 1}, "expected batches with a length, got list_iterator"),
        (DataLoader(Endless(), 2), {"epochs": 1}, "expected batches with a length, got DataLoader"),
        (Wrong(DATA * 2, 3), {"epochs": 1}, r"expected 3 batches in an epoch, as len\(\) says, got 2"),
        (Wrong(DATA * 3, 2), {"epochs": 1}, r"expected 2 batches in an epoch, as len\(\) says, got 3"),
        ([(torch.zeros(2, 6), torch.tensor([0, 1, 2]))], {"epochs": 1},
         r"expected logits of shape \[3, classes\] for 3 examples, got \[2, 3\]"),
    ],
)
def test_data_that_do_not_fit_get_one_sentence(train, limits, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        trainer().fit(train, **limits)
    assert "\n" not in str(caught.value)


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match="expected at least one example to measure, got none"):
        trainer().evaluate([])


def test_other_data_inside_an_epoch_are_refused():
    run = trainer()
    run.fit(batches(), steps=5)
    with pytest.raises(ValueError, match="had used 5 batches of its epoch, got 4 batches: use the same data and batch"):
        run.fit(batches(n=32), epochs=1)


def test_a_state_can_be_taken_between_two_fits():
    """What the program draws outside of fit is no part of the run."""
    first = trainer()
    first.fit(batches(), steps=10)
    torch.randn(7)
    saved = copy.deepcopy(first.state_dict())
    first.fit(batches(), epochs=3)
    second = trainer(seed=0)
    second.load_state_dict(saved)
    second.fit(batches(), epochs=3)
    assert same(bits(first.model), bits(second.model))
