"""Proofs of the formulas of concepts/tensors, and its exercises."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

PAGE = "concepts/tensors"
DOUBLE = torch.float64


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=DOUBLE)


@pytest.mark.proves("address")
def test_address(formula):
    base = random(4, 6)
    memory = torch.tensor(base.untyped_storage().tolist(), dtype=torch.uint8).view(DOUBLE)
    for x in (base, base.T, base[1:, ::2], base.T[2:5, 1:], base[:, :1].expand(4, 3), base[2].expand(2, 6)):
        for i, j in product(range(x.shape[0]), range(x.shape[1])):
            formula("address").holds({"x": x, "M": memory, "o": x.storage_offset(), "s_0": x.stride(0),
                                      "s_1": x.stride(1), "i": i, "j": j}, first=0)


@pytest.mark.proves("contiguous")
def test_contiguous_strides(formula):
    for shape in ((2, 3, 5), (7, 4, 2), (3, 1, 6)):
        given = {f"s_{k}": torch.empty(shape).stride(k) for k in range(3)}
        formula("contiguous").holds({**given, "n_1": shape[1], "n_2": shape[2]})


@pytest.mark.proves("broadcast-size")
def test_broadcast_size(formula):
    for a, b in ((1, 1), (1, 4), (4, 1), (4, 4), (1, 0), (0, 1), (0, 0)):
        (n,) = (torch.ones(a) + torch.ones(b)).shape
        formula("broadcast-size").holds({"n": n, "a": a, "b": b})
    for a, b in ((2, 3), (3, 2), (0, 2)):
        with pytest.raises(RuntimeError, match="must match"):
            torch.ones(a) + torch.ones(b)


@pytest.mark.proves("gather")
def test_gather(formula):
    x, k = random(3, 5), torch.tensor([[4, 0], [2, 2], [1, 3]])
    y = x.gather(1, k)
    for i, j in product(range(3), range(2)):
        formula("gather").holds({"y": y, "x": x, "k": k, "i": i, "j": j}, first=0)


@pytest.mark.proves("matrix-product")
def test_matrix_product(formula):
    a, b = random(2, 4), random(4, 3)
    for i, j in product((1, 2), (1, 2, 3)):
        formula("matrix-product").holds({"c": a @ b, "a": a, "b": b, "m": 4, "i": i, "j": j})
    assert np.allclose(a @ b, a.numpy() @ b.numpy(), rtol=1e-12)


@pytest.mark.proves("deviation")
def test_deviation(formula):
    for n in (2, 7):
        x = random(n)
        sigma = torch.tensor(x.numpy().std())
        formula("deviation").holds({r"\mu": x.mean(), "s": x.std(), r"\sigma": sigma, "x": x, "n": n})


@pytest.mark.proves("all-pairs")
def test_all_pairs(formula):
    y, t = random(6), 3 * random(6).flip(0) + 1
    formula("all-pairs").holds({
        r"\ell": ((y[:, None] - t) ** 2).mean(), "y": y, "t": t, "n": 6, r"\sigma_y": y.std(correction=0),
        r"\sigma_t": t.std(correction=0), r"\bar y": y.mean(), r"\bar t": t.mean()})
    with pytest.warns(UserWarning, match="different to the input size"):
        nn.functional.mse_loss(y[:, None], t)


@pytest.mark.proves("floor-division")
def test_floor_division(formula):
    for a, b in product((-8, -7, -1, 0, 1, 7, 9), (1, 2, 3, 8)):
        one, other = torch.tensor(a), torch.tensor(b)
        formula("floor-division").holds({"q": one // other, "r": one % other, "a": a, "b": b})


def test_numpy_and_torch_agree_and_share(page):
    names = page(PAGE)
    assert len(names["pairs"]) == 13
    assert all(np.allclose(t, n, rtol=1e-12) for t, n in names["pairs"].values())
    assert names["shared"].tolist() == names["array"].tolist() == [7, 5, 3]
    assert names["copied"].tolist() == [0, 0, 0]


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    x = torch.zeros(3, 4)
    for view in (x[0], x[:, 1:], x[..., None], x.T, x[1, 2], x.permute(1, 0), x.flatten(), x.squeeze()):
        assert view.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    for copy in (x[[0]], x[x == 0], x[torch.tensor([1])], x.T.flatten(), x.clone()):
        assert copy.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    assert names["views"]["m.T"][1, 2] == 9
    with pytest.raises(RuntimeError):
        torch.ones(3) + torch.ones(3, device="meta")
    assert (torch.ones(3, device="meta") + torch.tensor(1.0)).device.type == "meta"


def right_distances(distances) -> bool:
    for n, m, d in ((3, 4, 2), (1, 1, 5), (4, 4, 3)):
        a, b = random(n, d), random(m, d + 1)[:, :d]
        result = distances(a, b)
        expected = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        if result.shape != (n, m) or not torch.allclose(result, expected, rtol=1e-10):
            return False
    return True


def test_exercise_distances(page):
    assert right_distances(page(PAGE)["distances"])
    assert not right_distances(lambda a, b: ((a[:, None] - b) ** 2).sum(2))
    assert not right_distances(lambda a, b: ((b[:, None] - a) ** 2).sum(2).sqrt())
    assert not right_distances(lambda a, b: (a[:, None] - b).abs().sum(2))


def right_windows(windows) -> bool:
    for x, size in ((torch.arange(7), 3), (torch.arange(20)[3::2], 4), (torch.arange(5), 5)):
        result = windows(x, size)
        if not torch.equal(result, x.unfold(0, size, 1)):
            return False
        if result.untyped_storage().data_ptr() != x.untyped_storage().data_ptr():
            return False
    return True


def test_exercise_windows(page):
    assert right_windows(page(PAGE)["windows"])
    assert not right_windows(lambda x, size: torch.stack([x[i : i + size] for i in range(len(x) - size + 1)]))
    assert not right_windows(lambda x, size: x.as_strided((len(x) - size + 1, size), (1, 1)))
    assert not right_windows(lambda x, size: x.unfold(0, size, 1)[:-1])


def right_one_hot(one_hot) -> bool:
    for classes, count in (([2, 0, 1], 4), ([1], 2), ([0, 0], 1)):
        given = torch.tensor(classes)
        result, expected = one_hot(given, count), nn.functional.one_hot(given, count)
        if result.dtype != expected.dtype or not torch.equal(result, expected):
            return False
    return True


def test_exercise_one_hot(page):
    assert right_one_hot(page(PAGE)["one_hot"])
    assert not right_one_hot(lambda classes, count: classes[:, None] == torch.arange(count))
    assert not right_one_hot(lambda classes, count: (classes == torch.arange(count)[:, None]).long())
    assert not right_one_hot(lambda classes, count: (classes[:, None] >= torch.arange(count)).long())
