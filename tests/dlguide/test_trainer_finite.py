"""Numbers that are not finite: the run stops, and says in which step, where, and how to look closer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.data import TensorBatches
from dlguide.train import Callback, Checkpoint, Trainer
from tests.dlguide.training_runs import Own, batches, bits, points, same, trainer

CLOSER = r"run the step under torch\.autograd\.detect_anomaly\(\) to see which operation begins it"


def stopped(run, train, validation=None, **limits):
    """The message with which training stops, which is one sentence on one line."""
    with pytest.raises(FloatingPointError) as caught:
        run.fit(train, validation, **({"epochs": 3} | limits))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_inf_in_the_data_is_found_with_its_row():
    dataset = points()
    dataset.tensors[0][11, 2] = float("inf")  # in the second batch of 8, row 3
    run = trainer()
    message = stopped(run, TensorBatches(dataset, 8))
    assert message == ("the loss is nan in step 2 (epoch 1): all parameters are finite, but the input is not, in row 3"
                       " of the batch; mend the data")  # fmt: skip
    assert run.step == 1
    assert all(p.isfinite().all() for p in run.model.parameters())  # no step was taken


def test_nan_in_a_target_is_found():
    x, y = torch.randn(8, 2), torch.randn(8, 1)
    y[5] = float("nan")
    model = nn.Linear(2, 1)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=F.mse_loss, device="cpu")
    message = stopped(run, TensorBatches(TensorDataset(x, y), 4))
    assert "step 2 (epoch 1): all parameters are finite, but the target is not, in row 1 of the batch" in message


class Log(nn.Module):
    def forward(self, x):
        return x.log(), x


class First(nn.Module):
    def forward(self, both):
        return both[0]


def test_the_layer_where_it_begins_is_named():
    """Also where its output is a tuple, and inside another module."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 3), nn.Sequential(Log(), First()), nn.Linear(3, 3))
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.125), device="cpu")
    message = stopped(run, batches())
    assert message.startswith(
        "the loss is nan in step 1 (epoch 1): all parameters and inputs are finite, but the output of 1.0 is not; lower"
        " lr (now 0.125) or clip the gradient, or run the step under torch.autograd.detect_anomaly()"
    )


def test_a_compiled_model_is_looked_into():
    torch.manual_seed(0)
    model = Own(nn.Sequential(nn.Linear(6, 3), Log(), First()))
    model.compile(backend=lambda graph, inputs: graph.forward)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu")
    assert "but the output of inner.1 is not" in stopped(run, batches())
    torch._dynamo.reset()


def test_fp16_overflows_inside_the_model_and_says_so():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight.mul_(1e6)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), precision="fp16", device="cpu")
    message = stopped(run, batches())
    assert "the output of 0 is not; lower lr (now 0.1) or clip the gradient, or take a wider precision than" in message
    assert "torch.float16" in message


def test_a_step_that_was_too_large_shows_in_the_parameters():
    """The loss of step 1 is finite, its gradient is not: step 2 finds the parameters spoilt."""
    model = nn.Linear(2, 1)
    loss = lambda output, y: (output - output.detach()).abs().sqrt().mean()  # sqrt at 0  # noqa: E731
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=loss, device="cpu")
    data = TensorBatches(TensorDataset(torch.ones(8, 2), torch.ones(8, 1)), 4)
    message = stopped(run, data)
    assert message.startswith("the loss is nan in step 2 (epoch 1): the parameter weight is not (2 of 2 parameters), so"
                              " the gradient of a step before was too large or not finite; lower lr (now 0.1)")


def test_a_gradient_that_is_not_finite_is_seen_when_it_is_clipped():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))

    def loss(output, y):  # the derivative of sqrt at 0 is inf, and only the last layer's bias gets it
        return output.mean() + (model[1].bias - model[1].bias.detach()).abs().sqrt().sum()

    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=loss, clip=1.0, device="cpu")
    before = bits(model)
    message = stopped(run, TensorBatches(TensorDataset(torch.ones(8, 2), torch.ones(8, 1)), 4))
    assert message.startswith("the norm of the gradient is nan in step 1 (epoch 1): parameters, inputs and outputs are"
                              " finite, but the gradient of 1.bias is not (1 of 4), as that of sqrt at 0 is not; run")
    assert same(before, bits(model))


class Spoil(Callback):
    """Spoil a weight after a step, as an infinite gradient does."""

    def __init__(self, step, order=0):
        self.step, self.order = step, order

    def on_step(self, trainer):
        if trainer.step == self.step:
            with torch.no_grad():
                trainer.model[0].weight[0, 0] = float("inf")


def test_a_spoilt_model_is_not_saved(tmp_path):
    """The checkpoint before stays, from which a run with a smaller lr can go on."""
    run = trainer(Spoil(4), Checkpoint(tmp_path, every=2))
    message = stopped(run, batches())
    assert message.startswith("the weights are not finite after step 4: the parameter 0.weight is not (1 of 6")
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002.pt"]


def test_a_spoilt_model_is_not_given_back():
    message = stopped(trainer(Spoil(4)), batches(), steps=4, epochs=None)
    assert message.startswith("the weights are not finite after step 4")


def test_a_validation_loss_that_is_not_finite():
    dataset = points(16)
    dataset.tensors[0][0, 0] = float("nan")
    message = stopped(trainer(scheduler=False), batches(), TensorBatches(dataset, 8))
    assert message.startswith("the validation loss is nan after step 7: all parameters are finite, the largest ")
    assert message.endswith("; look for nan and inf in these data, or lower lr (now 0.05) or clip the gradient")


def test_the_loss_function_is_named_when_all_else_is_finite():
    run = trainer(scheduler=False)
    run.loss = lambda output, y: F.cross_entropy(output, y) / 0
    message = stopped(run, batches())
    assert "(epoch 1): " in message
    assert "look at the loss function and its data, or run the step under" in message or "the gradient of" in message


def test_fp16_does_not_go_on_for_ever_without_a_step():
    """Each step is left out and halves the scale; when the scale is below 1, the scale is not what is wrong."""
    model = nn.Linear(2, 1)
    loss = lambda output, y: output.float().mean() + (model.bias - model.bias.detach()).abs().sqrt().sum()  # noqa: E731
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=loss, precision="fp16", device="cpu")
    before = bits(model)
    data = TensorBatches(TensorDataset(torch.ones(8, 2), torch.ones(8, 1)), 4)
    message = stopped(run, data, epochs=100)
    assert message.startswith("the gradient is not finite in step 18 (epoch 9), and it is not the scale of the loss: ")
    assert same(before, bits(model))
    assert run.step == 17


@pytest.mark.parametrize("look", [1, 3])
def test_where_looking_is_dear_the_end_of_the_epoch_still_looks(monkeypatch, look):
    """On a GPU the loss is read only now and then."""
    dataset = points()
    dataset.tensors[0][11, 2] = float("inf")
    monkeypatch.setattr(Trainer, "_is_time_to_look", lambda self: self.step % look == 2 and look == 3)
    message = stopped(trainer(), TensorBatches(dataset, 8))
    expected = "the loss is nan in step 3 (epoch 1)" if look == 3 else "the loss is nan in epoch 1"
    assert message.startswith(f"{expected}: the parameter 0.weight is not")
