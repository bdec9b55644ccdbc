"""Proofs of the formulas of practice/data, its claims, and its exercises."""

import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

PAGE = "practice/data"
GENERATOR = torch.Generator().manual_seed(3)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.proves("batches")
def test_number_of_batches(formula):
    for n, size in ((23, 5), (25, 5), (4, 5), (64, 1), (7, 6)):
        kept, dropped = (len(list(DataLoader(range(n), batch_size=size, drop_last=d))) for d in (False, True))
        formula("batches").holds({"n": float(kept), "n'": float(dropped), "N": n, "B": size})


@pytest.mark.proves("standardize")
def test_standardize(formula):
    x = numbers(3, 4, 5).abs()
    mean, std = [0.3, 0.5, 0.2], [0.7, 1.3, 0.4]
    z = v2.Normalize(mean, std)(x)
    for c in range(3):
        formula("standardize").holds({"z": z[c], "x": x[c], r"\mu": mean[c], r"\sigma": std[c]})


@pytest.mark.proves("total-variance")
def test_total_variance(formula):
    """Numbers of different size for each picture, so that neither part is small."""
    x = numbers(6, 20) * numbers(6, 1) + 3 * numbers(6, 1)
    formula("total-variance").holds({
        r"\sigma": x.std(correction=0), "N": 6, "s": x.std(1, correction=0), "m": x.mean(1), r"\mu": x.mean()})


@pytest.mark.proves("bytes")
def test_bytes(formula):
    for shape in ((5, 3, 7, 2), (1, 1, 8, 9)):
        size = torch.zeros(shape).nbytes
        formula("bytes").holds({"M": float(size), **dict(zip("NCHW", map(float, shape), strict=True))})


def test_the_loader_gives_every_example_once(page):
    names = page(PAGE)
    seen = torch.cat([x for x, _ in names["loader"]]).flatten(1)
    assert sorted(seen.tolist()) == sorted((torch.tensor(names["digits"].pictures) / 16).float().tolist())
    assert [len(b) for b in names["shuffled"]] == [5, 5, 5, 5, 3]


def test_copies_leak_and_an_honest_split_does_not(page):
    names = page(PAGE)
    assert names["leaked"] > 0.6
    assert abs(names["honest"] - 0.1) < 0.06  # 2.5 standard errors of 397 random answers, and some more


def test_transforms_give_what_the_older_names_give(page):
    from torchvision import transforms

    names = page(PAGE)
    photo, published = names["photo"], names["published"]
    older = transforms.Compose([transforms.ToTensor(), transforms.Normalize(published.mean, published.std)])
    small = v2.Compose([v2.ToImage(), v2.Resize(256), v2.CenterCrop(224)])(photo)
    torch.testing.assert_close(older(v2.functional.to_pil_image(small)), names["result"].as_subclass(torch.Tensor))
    whole = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])(photo)
    torch.testing.assert_close(whole.as_subclass(torch.Tensor), transforms.ToTensor()(photo))
    assert v2.Resize([256, 256])(small).shape == (3, 256, 256)


def test_constants_of_imagenet_are_those_in_the_table():
    published = ResNet18_Weights.DEFAULT.transforms()
    assert published.mean == [0.485, 0.456, 0.406]
    assert published.std == [0.229, 0.224, 0.225]
    x = torch.tensor([0.0, 0.5, 1.0]).expand(1, 1, 3)
    assert v2.Normalize([0.5], [0.5])(x).flatten().tolist() == [-1.0, 0.0, 1.0]


def test_torchvision_draws_once_for_a_whole_batch():
    batch = torch.rand(1, 3, 9, 9).expand(8, 3, 9, 9)
    cropped = v2.RandomCrop(5)(batch)
    assert all(torch.equal(cropped[0], picture) for picture in cropped)


def test_a_pretrained_network_expects_scaled_pictures(page):
    z = page(PAGE)["result"]
    assert z.min() >= -2.2  # (0 - 0.485) / 0.229 and (1 - 0.406) / 0.225 are the ends of the range
    assert z.max() <= 2.7


LOADER = """
from torch.utils.data import DataLoader

def main():
    loader = DataLoader(range(6), batch_size=3, num_workers=2, multiprocessing_context="spawn")
    print([len(batch) for batch in loader])

"""


@pytest.mark.parametrize("guarded", [True, False])
def test_workers_that_are_spawned_need_the_guard(tmp_path, guarded):
    script = tmp_path / "train.py"
    script.write_text(LOADER + ('if __name__ == "__main__":\n    main()\n' if guarded else "main()\n"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    if guarded:
        assert done.stdout == "[3, 3]\n", done.stderr
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert "An attempt has been made to start a new process before the" in done.stderr
        assert "exited unexpectedly" in done.stderr  # what the loader says in the process that started it


def test_a_lambda_cannot_travel():
    import pickle

    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(lambda examples: examples)


def test_both_ways_of_making_batches_agree(page):
    names = page(PAGE)
    assert all(names["same"])
    assert names["digits"].asked >= 1797
    slow, fast = names["calls"](names["slow"]), names["calls"](names["fast"])
    assert slow > 20 * fast
    rows = torch.cat([y for _, y in names["batches"]])
    assert torch.equal(rows.sort().values, torch.tensor(names["digits"].labels).sort().values)


def test_what_goes_wrong_does(page):
    names = page(PAGE)
    assert set(names["plain"].indices) == set(names["check"].indices)
    assert not set(names["learn"].indices) & set(names["check"].indices)
    first = next(iter(DataLoader(names["by_class"], batch_size=64)))[1]
    assert first.unique().tolist() == [0]


GROUPS = [0, 3, 1, 1, 2, 0, 4, 4, 3, 2, 5, 6, 7, 7, 0, 1]


def check_groups(split):
    seen = set()
    for seed in range(12):
        train, test = split(GROUPS, 0.25, seed)
        held_out, kept = {GROUPS[i] for i in test}, {GROUPS[i] for i in train}
        if held_out & kept or len(held_out) != 2 or sorted([*train, *test]) != list(range(16)):
            return False
        seen.add(frozenset(held_out))
    return len(seen) > 3 and split(GROUPS, 0.25, 5) == split(GROUPS, 0.25, 5)


def test_exercise_groups(page):
    assert check_groups(page(PAGE)["split_groups"])

    def examples(groups, share, seed):
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)).tolist()
        count = round(share * len(groups))
        return order[count:], order[:count]

    def first_ones(groups, share, seed):
        held_out = set(sorted(set(groups))[: round(share * len(set(groups)))])
        inside = [group in held_out for group in groups]
        return [i for i in range(16) if not inside[i]], [i for i in range(16) if inside[i]]

    assert not check_groups(examples)
    assert not check_groups(first_ones)


def check_constants(constants):
    x = (numbers(11, 3, 4, 5) * numbers(11, 3, 1, 1) + 2 * numbers(11, 3, 1, 1)).float()
    mean, std = constants(batch for (batch,) in DataLoader(TensorDataset(x), batch_size=4))
    flat = x.double().transpose(0, 1).flatten(1)
    return torch.allclose(mean.double(), flat.mean(1), atol=1e-6) and torch.allclose(
        std.double(), flat.std(1, correction=0), atol=1e-6)


def test_exercise_constants(page):
    assert check_constants(page(PAGE)["constants"])

    def average_of_batches(batches):
        pairs = [(x.mean((0, 2, 3)), x.transpose(0, 1).flatten(1).std(1, correction=0)) for x in batches]
        means, stds = zip(*pairs, strict=True)
        return torch.stack(means).mean(0), torch.stack(stds).mean(0)

    def one_for_all_channels(batches):
        x = torch.cat(list(batches))
        return x.mean().expand(3), x.std(correction=0).expand(3)

    assert not check_constants(average_of_batches)
    assert not check_constants(one_for_all_channels)
