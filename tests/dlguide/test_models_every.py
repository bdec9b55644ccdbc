"""What holds for every model: one example or many, any mode, saved and loaded, exported, in bfloat16, on no device."""

import io

import pytest
import torch

from tests.dlguide.model_tasks import EVERY, first, make

each = pytest.mark.parametrize("name", EVERY)


@each
def test_one_example_alone_gives_what_it_gives_in_a_batch(name):
    model, inputs, _, _ = make(name, torch.float64)
    model.eval()
    with torch.no_grad():
        together = first(model(*inputs))
        for i in range(6):
            alone = first(model(*(x[i : i + 1] for x in inputs)))
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-10)
        assert together.shape[0] == 6
        assert not torch.allclose(together[0], together[1])  # and they differ
        for output in (first(model(*inputs)), first(model(*inputs))):  # nothing is left to chance
            assert torch.equal(output, together)


@each
def test_the_state_survives_a_file(name):
    model, inputs, y, loss = make(name)
    loss(model(*inputs), y).backward()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = EVERY[name][0]()
    before = first(other.eval()(*inputs))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first(other.eval()(*inputs)), first(model.eval()(*inputs)))
    assert not torch.equal(first(other.eval()(*inputs)), before)


@each
def test_a_few_steps_lower_the_loss_and_every_parameter_learns(name):
    model, inputs, y, loss = make(name)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(model(*inputs), y)
        value.backward()
        losses.append(value.item())
        unused = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not unused
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


@each
def test_autocast_computes_nearly_the_same(name):
    model, inputs, y, loss = make(name)
    model.eval()
    exact = first(model(*inputs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*inputs)
        value = loss(output, y)
    value.backward()
    assert (first(output).float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.02
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@each
def test_gradients_are_those_of_finite_differences(name):
    """Along one random direction of all parameters; eight float64 digits are left."""
    model, inputs, y, loss = make(name, torch.float64)
    model.eval()
    parameters = [p for p in model.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
    length = sum((d**2).sum() for d in direction).sqrt()
    direction = [d / length for d in direction]
    gradients = torch.autograd.grad(loss(model(*inputs), y), parameters)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=step)
            values.append(loss(model(*inputs), y))
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=-step)
    torch.testing.assert_close((values[0] - values[1]) / 2e-6, slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "Seq2Seq"])
def test_models_know_nothing_of_devices(name):
    model, inputs, _, _ = make(name)
    x = inputs[0].to("meta")
    assert first(model.to("meta")(x)).device.type == "meta"


@pytest.mark.parametrize("name", [name for name in EVERY if len(EVERY[name][1]) == 2])
def test_what_stands_in_the_padding_does_not_matter(name):
    model, (x, lengths), _, _ = make(name, torch.float64)
    model.eval()
    changed = x.clone()
    for i, n in enumerate(lengths):
        changed[i, n:] = 7
    longer = torch.cat([changed, changed[:, :2]], dim=1)
    for other in (changed, longer):
        torch.testing.assert_close(model(other, lengths), model(x, lengths), rtol=0, atol=1e-10)
    assert not torch.allclose(model(changed), model(x, lengths))  # without lengths it is read
