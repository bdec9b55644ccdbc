"""Language models, sequence to sequence and autoencoders against causality, loops and torch.distributions."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from dlguide.models import GPT, VAE, Autoencoder, CharRNN, Seq2Seq, negative_elbo, next_token_loss

F64 = torch.float64
IDS = torch.randint(1, 20, (3, 9), generator=torch.Generator().manual_seed(0))


def count(module):
    return sum(p.numel() for p in module.parameters())


def language_model(name):
    torch.manual_seed(0)
    return {"CharRNN": lambda: CharRNN(20, 8, 16, 2), "GPT": lambda: GPT(20, 9, 16, 2, 2)}[name]().double().eval()


both = pytest.mark.parametrize("name", ["CharRNN", "GPT"])


@both
def test_no_output_depends_on_a_later_input(name):
    model = language_model(name)
    logits = model(IDS)
    for t in range(9):
        changed = IDS.clone()
        changed[:, t] = 20 - IDS[:, t]
        other = model(changed)
        torch.testing.assert_close(other[:, :t], logits[:, :t], rtol=0, atol=1e-12)
        assert not torch.allclose(other[:, t], logits[:, t])
        x = model.embedding(IDS).detach().requires_grad_()  # and by the gradient, to every input at once
        model.embedding.register_forward_hook(lambda *_, x=x: x)
        [slope] = torch.autograd.grad(model(IDS)[:, t].sum(), x)
        model.embedding._forward_hooks.clear()
        touched = slope.abs().sum(2).gt(0).all(0)
        assert touched.tolist() == [s <= t for s in range(9)]


@both
def test_generate_without_temperature_takes_the_likeliest_each_time(name):
    model = language_model(name)
    ids = IDS[:, :3]
    for _ in range(6):
        logits = model(ids)[:, -1]
        logits[:, 0] = -math.inf  # padding
        ids = torch.cat([ids, logits.argmax(1, keepdim=True)], dim=1)
    assert torch.equal(model.generate(IDS[:, :3], 6, temperature=0), ids)
    assert torch.equal(model.generate(IDS, 0), IDS)


@both
def test_generate_draws_with_the_probabilities_of_the_model(name):
    model = language_model(name)
    prompt = IDS[:1, :3].expand(20_000, 3)
    for temperature in (0.5, 2.0):
        generator = torch.Generator().manual_seed(0)
        drawn = model.generate(prompt, 1, temperature, generator)[:, -1]
        logits = model(prompt[:1])[0, -1] / temperature
        logits[0] = -math.inf
        p = logits.softmax(0)
        share = torch.bincount(drawn, minlength=20) / 20_000
        assert (share - p).abs().max() < 5 * 0.5 / 20_000**0.5
        assert share[0] == 0
    a, b = (model.generate(IDS, 5, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(a, b)


def test_gpt_reads_the_last_context_when_it_writes_on():
    model = language_model("GPT")
    read = []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    written = model.generate(IDS, 4, temperature=0)
    assert written.shape == (3, 13)
    assert all(torch.equal(ids, written[:, i : i + 9]) for i, ids in enumerate(read))


def test_gpt_ties_its_weights_and_has_the_parameters_of_the_closed_form():
    model = GPT(65, 32, 48, 3, 2)
    assert model.out.weight is model.embedding.weight
    assert count(model) == 65 * 48 + 32 * 48 + 2 * (12 * 48**2 + 13 * 48) + 2 * 48
    F.cross_entropy(model(IDS)[:, -1], IDS[:, 0]).backward()
    assert model.embedding.weight.grad.abs().sum(1).gt(0).all()  # from the exit, ids that did not come too


def test_gpt_starts_from_the_standard_deviations_of_gpt_2():
    model = GPT(500, 64, 128, 4, 8)
    for name, p in model.named_parameters():
        expected = 0.02 / 4 if name.endswith(("out_proj.weight", "mlp.2.weight")) else 0.02
        if p.dim() == 2:
            assert p.std().item() == pytest.approx(expected, rel=0.05)
        elif "norm" not in name:
            assert p.abs().max() == 0
    loss = next_token_loss(model(IDS[:, :-1]), IDS[:, 1:])
    assert loss.item() == pytest.approx(math.log(500), rel=0.05)  # it knows nothing yet


def test_charrnn_has_the_parameters_of_the_closed_form():
    assert count(CharRNN(30)) == 30 * 64 + 4 * 128 * (64 + 128 + 2) + 128 * 30 + 30


def test_next_token_loss_is_the_mean_over_targets_that_are_not_padding():
    logits = torch.randn(2, 3, 5, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([[4, 2, 0], [1, 0, 0]])
    picked = [logits[0, 0].log_softmax(0)[4], logits[0, 1].log_softmax(0)[2], logits[1, 0].log_softmax(0)[1]]
    expected = -sum(picked) / 3
    torch.testing.assert_close(next_token_loss(logits, targets), expected)
    [got] = torch.autograd.grad(next_token_loss(logits, targets), logits)
    [slope] = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(got, slope)


def test_charrnn_learns_a_rhyme_by_heart():
    ids = torch.tensor([[3, 4, 5, 3, 4, 6, 7, 8, 3, 9, 4, 5]])
    torch.manual_seed(0)
    for model in (CharRNN(10, 16, 32), GPT(10, 12, 32, 2, 1)):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            next_token_loss(model(ids[:, :-1]), ids[:, 1:]).backward()
            optimizer.step()
        assert torch.equal(model.eval().generate(ids[:, :2], 10, temperature=0), ids)


# Sequence to sequence


def source(lengths):
    ids = torch.randint(4, 12, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor(lengths)
    return ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], 0), lengths


def test_seq2seq_is_its_formula_step_by_step():
    torch.manual_seed(0)
    model = Seq2Seq(12, 6, 8).double()
    ids, lengths = source([4, 2])
    written = torch.tensor([[2, 7, 6], [2, 8, 5]])
    weights = model.weights(ids, lengths, written)
    for i, n in enumerate((4, 2)):
        e, last = model.encoder(model.embedding(ids[i : i + 1, :n]))  # the text alone
        d = torch.cat([last[0], last[1]], dim=1)  # [1, 8]
        for t in range(3):
            _, state = model.decoder(model.embedding(written[i : i + 1, t : t + 1]), d[None])
            d = state[0]
            scores = torch.stack([d[0] @ e[0, s] for s in range(n)])
            a = scores.exp() / scores.exp().sum()
            context = sum(a[s] * e[0, s] for s in range(n))
            expected = model.out(torch.tanh(model.combine.weight @ torch.cat([context, d[0]])))
            torch.testing.assert_close(model(ids, lengths, written)[i, t], expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(weights[i, t, :n], a, rtol=0, atol=1e-12)
            assert weights[i, t, n:].abs().sum() == 0


START, END = 2, 3


def reversals(n, generator, longest=5):
    """Strings of 1 to 5 letters, their lengths, and START, the string reversed, END."""
    lengths = torch.randint(1, longest + 1, (n, 1), generator=generator)
    k = torch.arange(longest)
    ids = torch.randint(4, 12, (n, longest), generator=generator).masked_fill(k >= lengths, 0)
    back = ids.gather(1, (lengths - 1 - k).clamp(min=0)).masked_fill(k >= lengths, 0)
    target = F.pad(back, (1, 1)).scatter_(1, lengths + 1, END)
    target[:, 0] = START
    return ids, lengths[:, 0], target


def test_seq2seq_learns_to_reverse():
    torch.manual_seed(0)
    model = Seq2Seq(12, 16, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=300)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        ids, lengths, target = reversals(64, generator)
        optimizer.zero_grad()
        next_token_loss(model(ids, lengths, target[:, :-1]), target[:, 1:]).backward()
        optimizer.step()
        scheduler.step()
    ids, lengths, target = reversals(500, torch.Generator().manual_seed(1))
    written = model.greedy(ids, lengths, START, END, max_length=6)
    assert torch.equal(written, target[:, 1:])  # all of them
    looked = model.weights(ids, lengths, target[:, :-1])[lengths == 5][:, :5].argmax(2)
    assert (looked == torch.arange(4, -1, -1)).double().mean() > 0.6  # it looks from the right to the left


def test_greedy_stops_at_the_end_and_pads_behind_it():
    model = Seq2Seq(12, 6, 8)
    ids, lengths = source([4, 2, 1])
    model.out.bias.data[3] = 100.0  # always the end
    assert model.greedy(ids, lengths, 2, 3).tolist() == [[3], [3], [3]]
    model.out.bias.data[3] = -100.0  # never
    assert model.greedy(ids, lengths, 2, 3, max_length=5).shape == (3, 5)
    model.out.bias.data[3] = 0.0
    written = model.greedy(ids, lengths, 2, 3, max_length=8)
    for row in written.tolist():
        if 3 in row:
            assert not any(row[row.index(3) + 1 :])


# Autoencoders


def test_a_linear_autoencoder_learns_what_pca_finds():
    x = torch.randn(200, 6, dtype=F64, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([3.0, 2.0, 1.0, 0.5, 0.3, 0.1], dtype=F64))  # fmt: skip
    x = x - x.mean(0)
    torch.manual_seed(0)
    model = Autoencoder((6,), hidden=(), latent=2).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x)
        loss.backward()
        return loss

    optimizer.step(closure)
    left = torch.linalg.svdvals(x)[2:].square().sum() / x.numel()
    assert F.mse_loss(model(x), x).item() == pytest.approx(left.item(), rel=1e-4)


def test_autoencoder_mirrors_its_layers():
    model = Autoencoder((1, 4, 4), hidden=(12, 8), latent=3)
    widths = [m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
    assert widths == [12, 8, 3, 8, 12, 16]
    x = torch.zeros(2, 1, 4, 4)
    assert torch.equal(model(x), model.decode(model.encode(x)))


def test_the_kl_of_the_elbo_is_that_of_torch_and_of_an_integral():
    mean, log_variance = torch.tensor([[0.7, -1.2]], dtype=F64), torch.tensor([[0.4, -1.0]], dtype=F64)
    logits = torch.zeros(1, 0, dtype=F64)  # no pixels: only the second part is left
    kl = negative_elbo((logits, mean, log_variance), logits)
    q = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(kl, kl_divergence(q, Normal(0.0, 1.0)).sum())
    z = torch.linspace(-12, 12, 200_001, dtype=F64)[:, None]
    ratio = q.log_prob(z) - Normal(torch.tensor(0.0, dtype=F64), 1.0).log_prob(z)
    torch.testing.assert_close(kl, torch.trapezoid(q.log_prob(z).exp() * ratio, z, dim=0).sum(), rtol=1e-7, atol=0)
    torch.testing.assert_close(negative_elbo((logits, mean, log_variance), logits, beta=3.0), 3 * kl)


def test_the_elbo_is_a_lower_bound_that_the_right_posterior_reaches():
    """One latent number, one binary pixel: log p(x) by an integral."""
    z = torch.linspace(-12, 12, 100_001, dtype=F64)
    prior = Normal(torch.tensor(0.0, dtype=F64), 1.0)
    likelihood = torch.sigmoid(1.5 * z - 0.3)  # of a pixel that is 1
    evidence = torch.trapezoid(prior.log_prob(z).exp() * likelihood, z).log()
    best = -math.inf
    for mu in torch.linspace(-1, 2, 13, dtype=F64):
        for log_variance in torch.linspace(-2, 1, 13, dtype=F64):
            q = Normal(mu, (log_variance / 2).exp()).log_prob(z).exp()
            rebuilt = torch.trapezoid(q * likelihood.log(), z)  # the first part, on average over z
            nothing = torch.zeros(1, 0, dtype=F64)
            kl = negative_elbo((nothing, mu[None, None], log_variance[None, None]), nothing)
            bound = (rebuilt - kl).item()
            assert bound <= evidence.item() + 1e-9
            best = max(best, bound)
    assert evidence.item() - best < 0.02


def test_the_first_part_of_the_elbo_is_the_log_likelihood_of_the_pixels_for_each_example():
    logits, x = torch.randn(4, 1, 2, 2, dtype=F64), torch.rand(4, 1, 2, 2, dtype=F64)
    zero = torch.zeros(4, 3, dtype=F64)
    p = logits.sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum() / 4
    torch.testing.assert_close(negative_elbo((logits, zero, zero), x), expected)


def test_the_reparametrized_gradient_is_that_of_the_mean():
    """d E[z^2] / d mu = 2 mu and d E[z^2] / d log sigma^2 = sigma^2, by many draws through the VAE."""
    model: Any = VAE((2,), hidden=(), latent=1).double()
    model.decoder = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model.decoder[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        model.decoder[0].bias.zero_()
    torch.manual_seed(0)
    x = torch.ones(200_000, 2, dtype=F64)
    reconstruction, mean, log_variance = model(x)  # the first number is z itself
    slopes = torch.autograd.grad(reconstruction[:, 0].square().sum(), (mean, log_variance))
    mu, variance = mean[0].item(), log_variance[0].exp().item()
    assert slopes[0].mean().item() == pytest.approx(2 * mu, abs=0.03)
    assert slopes[1].mean().item() == pytest.approx(variance, abs=0.03)
    z = reconstruction[:, 0]
    assert z.mean().item() == pytest.approx(mu, abs=0.02)
    assert z.var().item() == pytest.approx(variance, rel=0.03)


def test_vae_draws_in_training_only_and_samples_with_a_generator():
    model, x = VAE(), torch.rand(2, 1, 8, 8)
    assert not torch.equal(model(x)[0], model(x)[0])
    assert torch.equal(model.eval()(x)[0], model(x)[0])
    a, b = (model.sample(3, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(a, b)
    assert ((a > 0) & (a < 1)).all()
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(a, model.decoder(z).view(3, 1, 8, 8).sigmoid())


# What they say


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: CharRNN(9)(IDS), r"expected ids in \[0, 9\), got 19"),
    (lambda: CharRNN(9).generate(IDS, 2), r"expected prompt in \[0, 9\), got 19"),
    (lambda: CharRNN(20).generate(IDS, 2, temperature=-1), "expected a temperature of at least 0, got -1"),
    (lambda: GPT(20, 8)(IDS), r"expected sequences of up to 8 ids, got 9: cut them, or build GPT\(context=9\)"),
    (lambda: GPT(20, 8, -1), "at least 1 as width, got -1"),
    (lambda: VAE(hidden=3), r"expected a list of sizes as hidden, such as \[64\], got 3"),
    (lambda: GPT(20, 8, 10, 3), "expected a width that 3 heads divide, got 10: take 9"),
    (lambda: GPT(20, 8, dropout=2.0), r"expected dropout in \[0, 1\), got 2.0"),
    (lambda: GPT(20)(IDS[0]), r"expected ids of shape \[N, T\].*got \[9\]"),
    (lambda: Seq2Seq(20, 8, 7), "expected an even hidden_size, half for each direction, got 7"),
    (lambda: Seq2Seq(9)(IDS, torch.tensor([9, 9, 9]), IDS), r"expected source in \[0, 9\)"),
    (lambda: Seq2Seq(20)(IDS, torch.tensor([9, 9, 9]), IDS + 9), r"expected written words in \[0, 20\)"),
    (lambda: Seq2Seq(20)(IDS, torch.tensor([9, 9]), IDS), "expected 3 lengths between 1 and 9"),
    (lambda: Seq2Seq(20).greedy(IDS, torch.tensor([9, 9, 9]), 1, 2, 0), "at least 1 as max_length, got 0"),
    (lambda: next_token_loss(torch.zeros(2, 3, 4), torch.zeros(2, 4)), r"got \[2, 3, 4\] and \[2, 4\]: targets are"),
    (lambda: next_token_loss(torch.zeros(6, 4), torch.zeros(6)), r"expected logits \[N, T, V\]"),
    (lambda: Autoencoder()(torch.zeros(2, 64)), r"expected examples of shape \[N, 1, 8, 8\], got \[2, 64\]: reshape"),
    (lambda: VAE()(torch.zeros(2, 1, 8, 9)), r"build the model with in_shape=\(1, 8, 9\)"),
    (lambda: VAE(latent=0), "at least 1 as latent, got 0"),
    (lambda: negative_elbo((torch.zeros(2, 4), torch.zeros(2, 1), torch.zeros(2, 1)), torch.zeros(2, 2, 2)),
     r"expected pixels of shape \[2, 4\], as the model returned, got \[2, 2, 2\]"),
])  # fmt: skip
def test_wrong_shapes_get_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
