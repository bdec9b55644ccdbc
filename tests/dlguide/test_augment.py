"""Random changes of a batch against the same change made to one picture at a time."""

import pytest
import torch
import torch.nn.functional as F

from dlguide.data import Compose, Cutout, RandomFlip, RandomShift


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.rand(64, 3, 7, 9, generator=generator(5))


def test_each_picture_is_flipped_or_not_as_torchvision_flips_it():
    from torchvision.transforms.v2.functional import horizontal_flip

    y = RandomFlip(0.3)(X, generator())
    coins = torch.rand(64, 1, 1, 1, generator=generator()).flatten() < 0.3
    assert 5 < coins.sum() < 35
    for x, z, coin in zip(X, y, coins.tolist(), strict=True):
        assert torch.equal(z, horizontal_flip(x) if coin else x)


@pytest.mark.parametrize(("p", "same"), [(0.0, True), (1.0, False)])
def test_certain_flips(p, same):
    assert torch.equal(RandomFlip(p)(X, generator()), X if same else X.flip(-1))


@pytest.mark.parametrize("pixels", [0, 1, 2, 6])
def test_each_picture_is_shifted_as_a_padded_and_cropped_one(pixels):
    y = RandomShift(pixels)(X, generator(1))
    down, right = torch.randint(2 * pixels + 1, (2, 64), generator=generator(1)).tolist()
    for x, z, i, j in zip(X, y, down, right, strict=True):
        padded = F.pad(x, [pixels] * 4, mode="reflect")
        assert torch.equal(z, padded[:, i : i + 7, j : j + 9])
    assert {*down} <= {*range(2 * pixels + 1)}


def test_every_shift_comes_about_equally_often():
    ramp = torch.arange(11.0).expand(5000, 1, 11, 11)  # the middle pixel tells how far the picture moved
    y = RandomShift(2)(ramp + 100 * ramp.transpose(2, 3), generator())[:, 0, 5, 5]
    moves, counts = y.unique(return_counts=True)
    assert moves.tolist() == [100 * (5 + i) + 5 + j for i in range(-2, 3) for j in range(-2, 3)]
    assert (counts - 200).abs().max() < 70  # 5 standard deviations of about 14


@pytest.mark.parametrize("size", [1, 2, 3, 4, 30])
def test_each_picture_loses_one_square(size):
    y = Cutout(size)(X, generator(2))
    draws = generator(2)
    rows = torch.randint(7, (64, 1), generator=draws).flatten().tolist()
    columns = torch.randint(9, (64, 1), generator=draws).flatten().tolist()
    for x, z, i, j in zip(X, y, rows, columns, strict=True):
        expected, top, left = x.clone(), i - size // 2, j - size // 2
        expected[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
        assert torch.equal(z, expected)
    assert torch.equal(y == 0, (y[:, :1] == 0).expand_as(y))  # the same square in every channel


def test_compose_goes_from_first_to_last_with_one_generator():
    draws = generator(3)
    expected = Cutout(2)(RandomShift(1)(RandomFlip()(X, draws), draws), draws)
    assert torch.equal(Compose(RandomFlip(), RandomShift(1), Cutout(2))(X, generator(3)), expected)
    assert torch.equal(Compose()(X, generator()), X)


@pytest.mark.parametrize("augment", [RandomFlip(), RandomShift(2), Cutout(3), Compose(RandomFlip(), RandomShift(1))])
def test_draws_follow_from_the_generator_alone(augment):
    before, original = torch.get_rng_state(), X.clone()
    y, again, other = augment(X, generator()), augment(X, generator()), augment(X, generator(1))
    assert torch.equal(y, again)
    assert not torch.equal(y, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(X, original)  # nothing is changed in place
    assert y.shape == X.shape
    assert y.dtype == X.dtype


@pytest.mark.parametrize("augment", [RandomFlip(), RandomShift(1), Cutout(3)])
def test_an_empty_share_stays_empty(augment):
    assert augment(X[:0], generator()).shape == (0, 3, 7, 9)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RandomFlip(1.5), r"expected a probability p in \[0, 1\], got 1.5"),
        (lambda: RandomShift(-1), "expected pixels of at least 0, got -1"),
        (lambda: Cutout(0), "expected a size of at least 1, got 0"),
        (lambda: RandomShift(7)(X, generator()), "expected pictures larger than 7 pixels, got 7 x 9"),
        (lambda: RandomFlip()(X[0], generator()), r"expected a batch of pictures \[N, C, H, W\], got .*\[3, 7, 9\]"),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
