"""One order of batches: from tensors, from a DataLoader with and without workers, and shared between processes."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from dlguide.data import BatchOrder, Compose, RandomFlip, RandomShift, TensorBatches, load, pad_batch

N, SIZE = 23, 5
X, Y = torch.rand(N, 3, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(N)


class OneByOne(Dataset):
    """The ordinary way: a call for each example. On module level, so that a spawned worker can find it."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def flat(lists):
    return [row for rows in lists for row in rows]


def equal(one, other):
    one, other = list(one), list(other)
    return len(one) == len(other) and all(
        len(a) == len(b) and all(torch.equal(s, t) for s, t in zip(a, b, strict=True))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_order_takes_everyone_once(shuffle):
    order = BatchOrder(N, SIZE, shuffle=shuffle)
    batches = list(order)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert sorted(flat(batches)) == list(range(N))
    assert (flat(batches) == list(range(N))) is not shuffle
    assert len(order) == 5


def test_the_order_of_an_epoch_is_that_draw_of_the_seed():
    generator = torch.Generator().manual_seed(7)
    expected = [torch.randperm(N, generator=generator).tolist() for _ in range(4)]
    order = BatchOrder(N, SIZE, seed=7)
    for epoch in (0, 1, 2, 3, 1, 1, 3, 0):  # forwards, backwards, again
        order.set_epoch(epoch)
        assert flat(order) == expected[epoch]
    late = BatchOrder(N, SIZE, seed=7)
    late.set_epoch(3)
    assert flat(late) == expected[3]


def test_orders_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    list(TensorBatches(TensorDataset(X, Y), SIZE, shuffle=True, augment=RandomFlip()))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_start_leaves_out_the_first_batches_once():
    order = BatchOrder(N, SIZE)
    order.set_epoch(2)
    whole = list(order)
    order.set_epoch(2, start=3)
    assert list(order) == whole[3:]
    order.set_epoch(2)
    assert list(order) == whole


def test_an_order_that_was_read_to_its_end_goes_on_to_the_next_epoch():
    told, order = BatchOrder(N, SIZE, seed=7), BatchOrder(N, SIZE, seed=7)
    for epoch in range(4):
        told.set_epoch(epoch)
        assert list(order) == list(told)
    next(iter(order))
    next(iter(order))  # begun twice and left: epoch 4 is not over
    told.set_epoch(4)
    expected = list(told)
    assert list(order) == expected
    order.set_epoch(4)
    reading = iter(order)
    next(reading)
    order.set_epoch(1)
    list(reading)
    assert order.epoch == 1  # the word of set_epoch counts


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_own_loop_sees_a_new_order_in_each_epoch(workers):
    """As with DataLoader(shuffle=True); the augmentation is new, too."""
    dataset = TensorDataset(X, Y)
    fast = TensorBatches(dataset, SIZE, shuffle=True, seed=2, augment=RandomFlip())
    loader = DataLoader(dataset, batch_sampler=BatchOrder(N, SIZE, seed=2), num_workers=workers)
    epochs = [[torch.cat(part) for part in zip(*fast, strict=True)] for _ in range(3)]
    for epoch, (x, y) in enumerate(epochs):
        told = TensorBatches(dataset, SIZE, shuffle=True, seed=2, augment=RandomFlip())
        told.order.set_epoch(epoch)
        assert equal(told, zip(x.split(SIZE), y.split(SIZE), strict=True))
        assert torch.equal(torch.cat([labels for _, labels in loader]), y)
    flipped = [(x != X[y]).flatten(1).any(1)[y.argsort()] for x, y in epochs]
    assert not torch.equal(flipped[0], flipped[1])
    assert len({tuple(y.tolist()) for _, y in epochs}) == 3


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("n", [23, 24, 21])
def test_processes_together_see_what_one_sees(world_size, n):
    alone = BatchOrder(n, 5, seed=3)
    shares = [BatchOrder(n, 5, seed=3, rank=rank, world_size=world_size) for rank in range(world_size)]
    for epoch in (0, 1):
        for order in (alone, *shares):
            order.set_epoch(epoch)
        whole = [{*batch} for batch in alone]
        batches = list(zip(*shares, strict=True))  # the same number of batches in every process
        assert {len(order) for order in shares} == {len(batches)}
        for parts in batches:
            assert all(parts)  # and none of them empty
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert sorted(flat(map(flat, batches))) == list(range(n))
        full = [{*flat(parts)} for parts in batches]
        assert full[: n // 5 - 1] == whole[: n // 5 - 1]
        if n % 5 >= world_size or n % 5 == 0:
            assert full == whole


def test_tensor_batches_of_processes_together_are_those_of_one():
    dataset = TensorDataset(X, Y)
    alone = list(TensorBatches(dataset, SIZE, shuffle=True, seed=1))
    shares = [TensorBatches(dataset, SIZE, shuffle=True, seed=1, rank=r, world_size=3) for r in range(3)]
    for (x, y), *parts in zip(alone, *shares, strict=True):
        together = torch.empty_like(x)
        for rank, (part, labels) in enumerate(parts):
            together[rank::3] = part
            assert torch.equal(labels, y[rank::3])
        assert torch.equal(together, x)


# ---- tensors and DataLoader


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_data_loader_gives_the_same_batches(workers, context):
    if context not in {None, *torch.multiprocessing.get_all_start_methods()}:
        context = "spawn"
    fast = TensorBatches(TensorDataset(X, Y), SIZE, shuffle=True, seed=2)
    loader = DataLoader(
        OneByOne(X, Y), batch_sampler=BatchOrder(N, SIZE, seed=2), num_workers=workers, multiprocessing_context=context,
        persistent_workers=workers > 0,
    )  # fmt: skip
    assert len(loader) == len(fast)
    for epoch in (0, 1):
        fast.order.set_epoch(epoch)
        loader.batch_sampler.set_epoch(epoch)
        assert equal(fast, loader)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_texts_from_workers_are_the_same_without_the_padding():
    part = load("reviews").validation
    fast = TensorBatches(part, 100, shuffle=True)
    loader = DataLoader(part, batch_sampler=BatchOrder(len(part), 100), num_workers=2, collate_fn=pad_batch)
    for (ids, lengths, y), (cut, same, labels) in zip(fast, loader, strict=True):
        assert torch.equal(lengths, same)
        assert torch.equal(y, labels)
        assert cut.shape[1] == lengths.max()
        assert torch.equal(ids[:, : cut.shape[1]], cut)
        assert not ids[:, cut.shape[1] :].any()


# ---- augmentation


AUGMENT = Compose(RandomFlip(), RandomShift(2))


def test_what_a_batch_draws_follows_from_its_number():
    def batches(epoch, start=0, seed=4):
        loader = TensorBatches(TensorDataset(X, Y), SIZE, shuffle=True, seed=seed, augment=AUGMENT)
        loader.order.set_epoch(epoch, start)
        return list(loader)

    first, second = batches(0), batches(1)
    assert equal(first, batches(0))
    assert equal(first[2:], batches(0, start=2))  # resumed in the middle of an epoch
    assert not equal(first, second)
    assert not equal(first, batches(0, seed=5))
    for epoch, run in ((0, first), (1, second)):
        for number, (x, y) in enumerate(run):
            draws = torch.Generator().manual_seed((4 << 32) + 5 * epoch + number)
            assert torch.equal(x, AUGMENT(X[y], draws))


def test_processes_draw_differently():
    same = TensorDataset(X[:1].expand(8, -1, -1, -1), torch.zeros(8))
    shares = [next(iter(TensorBatches(same, 8, augment=RandomShift(2), rank=r, world_size=2)))[0] for r in (0, 1)]
    assert not torch.equal(*shares)


@pytest.mark.parametrize("seed", [2**40, -1, 2**63 - 1])
def test_any_seed_will_do(seed):
    x, _ = next(iter(TensorBatches(TensorDataset(X, Y), SIZE, seed=seed, augment=RandomFlip())))
    assert x.shape == (SIZE, 3, 6, 6)


def test_without_augmentation_nothing_changes():
    assert torch.equal(torch.cat([x for x, _ in TensorBatches(TensorDataset(X, Y), SIZE)]), X)


@pytest.mark.parametrize("arguments", [(0, 5), (5, 0), (5, 5, 2, 2), (5, 5, -1, 2), (3, 5, 0, 4), (5, 3, 0, 4)])
def test_wrong_sizes_get_one_clear_sentence(arguments):
    n, size, rank, world_size = (*arguments, 0, 1)[:4]
    with pytest.raises(ValueError, match=rf"expected at least .*, got n={n}, rank={rank}, batch_size={size}"):
        BatchOrder(n, size, rank=rank, world_size=world_size)
