"""The program of practice/data: a page shows its sections."""

# --8<-- [start:dataset]
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    """Says how many examples there are, and what the i-th is."""

    def __init__(self, transform=None):
        self.pictures, self.labels = load_digits(return_X_y=True)  # NumPy: [1797, 64]
        self.transform, self.asked = transform, 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        self.asked += 1
        picture = torch.tensor(self.pictures[i] / 16, dtype=torch.float32).view(1, 8, 8)
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, int(self.labels[i])


digits = Digits()
x, y = digits[0]
print(len(digits), "examples; the first:", x.shape, x.dtype, "and the label", y)
# --8<-- [end:dataset]

# --8<-- [start:loader]
generator = torch.Generator().manual_seed(0)
loader = DataLoader(digits, batch_size=64, shuffle=True, generator=generator)
x, y = next(iter(loader))
print(x.shape, y.shape, y.dtype)
sizes = [len(y) for x, y in loader]
print(len(sizes), "batches, the last one of", sizes[-1])
print(len(DataLoader(digits, batch_size=64, drop_last=True)), "with drop_last=True")
# --8<-- [end:loader]

# --8<-- [start:orders]
import matplotlib.pyplot as plt

numbers = list(range(23))  # anything with a length and an index is a dataset
shuffled = DataLoader(numbers, batch_size=5, shuffle=True, generator=generator)
rows = {
    "as it comes": list(DataLoader(numbers, batch_size=5)),
    "shuffle, epoch 1": list(shuffled),
    "shuffle, epoch 2": list(shuffled),
    "drop_last": list(DataLoader(numbers, batch_size=5, drop_last=True)),
}
fig, ax = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
colors = plt.get_cmap("viridis")
for row, batches in enumerate(rows.values()):
    for place, number in enumerate(torch.cat(batches).tolist()):
        x = place + 0.6 * (place // 5)  # a gap between two batches
        ax.add_patch(plt.Rectangle((x, -row), 0.9, 0.8, color=colors(number / 22)))
        color = "black" if number > 13 else "white"
        ax.text(x + 0.45, 0.4 - row, number, ha="center", va="center", color=color)
ax.set(xlim=(0, 25.5), ylim=(-3.1, 0.9), xticks=[])
ax.set_yticks([0.4 - row for row in range(4)], rows)
ax.spines[:].set_visible(False)
plt.show()
# --8<-- [end:orders]

# --8<-- [start:splits]
from torch.utils.data import random_split

generator = torch.Generator().manual_seed(0)
train, validation, test = random_split(digits, [0.7, 0.1, 0.2], generator)
print(len(train), len(validation), len(test))
taken = train.indices + validation.indices + test.indices
print("everyone once:", sorted(taken) == list(range(len(digits))))
# --8<-- [end:splits]


# --8<-- [start:leak]
def nearest(train_x, train_y, test_x, test_y):
    """Answer with the label of the most similar training picture: the accuracy."""
    answers = train_y[torch.cdist(test_x, train_x).argmin(dim=1)]
    return (answers == test_y).float().mean().item()


pictures = torch.tensor(digits.pictures / 16, dtype=torch.float32)  # [1797, 64]
labels = torch.randint(10, (1797,), generator=generator)  # nothing can be learned
brighter = 0.9 * pictures + 0.1  # a copy of each

twice, twice_labels = torch.cat([pictures, brighter]), torch.cat([labels, labels])
order = torch.randperm(len(twice), generator=generator)
a, b = order[:2800], order[2800:]
leaked = nearest(twice[a], twice_labels[a], twice[b], twice_labels[b])
print(f"copied, then split: {leaked:.2f}")

order = torch.randperm(1797, generator=generator)
a, b = order[:1400], order[1400:]
train_x = torch.cat([pictures[a], brighter[a]])
honest = nearest(train_x, torch.cat([labels[a], labels[a]]), pictures[b], labels[b])
print(f"split, then copied: {honest:.2f}")
# --8<-- [end:leak]

# --8<-- [start:normalize]
from sklearn.datasets import load_sample_images

photos = load_sample_images().images  # two photographs, [427, 640, 3], 0 to 255
x = torch.stack([torch.tensor(photo) for photo in photos]).permute(0, 3, 1, 2) / 255
x = x.unfold(2, 32, 32).unfold(3, 32, 32)  # cut into squares: [2, 3, 13, 20, 32, 32]
x = x.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 32, 32)
mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))  # of all pixels of a channel
z = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def rounded(values):
    return [round(value, 2) for value in values.abs().tolist()]


print(x.shape)
print("mean", rounded(mean), "deviation", rounded(std))
print("of z", rounded(z.mean((0, 2, 3))), "        ", rounded(z.std((0, 2, 3))))
# --8<-- [end:normalize]

# --8<-- [start:inside]
inside = x.std((2, 3)).mean(0)  # deviation inside each picture, then the average
print("inside a picture", rounded(inside))
wrong = (x - mean.view(3, 1, 1)) / inside.view(3, 1, 1)
print("divided by it, the deviation is", rounded(wrong.std((0, 2, 3))))
# --8<-- [end:inside]

# --8<-- [start:transforms]
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

photo = Image.fromarray(photos[0])
published = ResNet18_Weights.DEFAULT.transforms()
steps = [
    v2.ToImage(),
    v2.Resize(256),
    v2.CenterCrop(224),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize(published.mean, published.std),
]
result = photo
print(f"{'photograph':10} {photo.size} pixels, {photo.mode}")
for step in steps:
    result = step(result)
    name, shape = type(step).__name__, list(result.shape)
    low, high = result.min().item(), result.max().item()
    print(f"{name:10} {shape}, {result.dtype}, {low:.1f} to {high:.1f}")
# --8<-- [end:transforms]

# --8<-- [start:random]
square = v2.functional.resize(v2.functional.to_image(photo), [40, 40])
torch.manual_seed(0)
for step in [
    v2.Resize(32), v2.CenterCrop(32), v2.ToDtype(torch.float32, scale=True),
    v2.RandomHorizontalFlip(), v2.RandomCrop(32), v2.ColorJitter(brightness=0.5),
]:  # fmt: skip
    draws = [step(square) for _ in range(8)]
    same = all(torch.equal(draws[0], draw) for draw in draws)
    print(f"{type(step).__name__:20} {'always the same' if same else 'random'}")
# --8<-- [end:random]

# --8<-- [start:augment]
from dlguide.data import Compose, Cutout, RandomShift

generator = torch.Generator().manual_seed(4)
eight = digits[8][0].expand(5, 1, 8, 8)  # a batch of the same picture, five times
rows = {
    "shift": RandomShift(1)(eight, generator),
    "cutout": Cutout(3)(eight, generator),
    "both": Compose(RandomShift(1), Cutout(3))(eight, generator),
}
fig, axes = plt.subplots(3, 6, figsize=(6, 3.2), layout="constrained")
for (name, batch), line in zip(rows.items(), axes, strict=True):
    for ax, picture in zip(line, [eight[0], *batch], strict=True):
        ax.imshow(picture[0].numpy(), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)
plt.show()
# --8<-- [end:augment]

# --8<-- [start:collate]
from dlguide.data import Vocabulary, pad_batch

texts = ["a good film", "dull", "not a bad film at all"]
vocabulary = Vocabulary.build(texts)
examples = [(torch.tensor(vocabulary.encode(t)), i % 2) for i, t in enumerate(texts)]
try:
    next(iter(DataLoader(examples, batch_size=3)))
except RuntimeError as error:
    print(error)
ids, lengths, y = next(iter(DataLoader(examples, batch_size=3, collate_fn=pad_batch)))
print(ids)
print(lengths, y)
print(vocabulary.encode("a very good film"))
# --8<-- [end:collate]

# --8<-- [start:workers]
import subprocess
import sys
import tempfile
from pathlib import Path

head = """
from multiprocessing import get_context

def work():
    print("the worker works")

def main():
    worker = get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
"""
endings = {"without": "main()\n", "with": 'if __name__ == "__main__":\n    main()\n'}
with tempfile.TemporaryDirectory() as folder:
    for name, ending in endings.items():
        file = Path(folder, f"{name}_guard.py")
        file.write_text(head + ending)
        done = subprocess.run([sys.executable, file], capture_output=True, text=True)
        _, _, error = " ".join(done.stderr.split()).partition("RuntimeError: ")
        print(f"{name} guard:", error.partition(" This")[0] or done.stdout.strip())
# --8<-- [end:workers]


# --8<-- [start:main]
def main(workers=0):  # 2 or more in your script
    loader = DataLoader(Digits(), batch_size=64, num_workers=workers)
    print(sum(len(y) for x, y in loader), "pictures")


if __name__ == "__main__":
    main()
# --8<-- [end:main]

# --8<-- [start:stream]
from itertools import islice

from torch.utils.data import IterableDataset, get_worker_info


class Stream(IterableDataset):
    """Numbers that come one after the other and have no index."""

    def __init__(self, shared):
        self.shared = shared

    def __iter__(self):
        worker = get_worker_info()  # None in the main process
        if self.shared and worker is not None:
            return islice(range(6), worker.id, None, worker.num_workers)
        return iter(range(6))


for shared in (False, True):
    stream = DataLoader(Stream(shared), batch_size=None, num_workers=2)
    print(f"shared {shared!s:5}", sorted(stream))
# --8<-- [end:stream]

# --8<-- [start:fast]
x = pictures.view(-1, 1, 8, 8)
y = torch.tensor(digits.labels)
batches = [(x[rows], y[rows]) for rows in torch.randperm(len(y)).split(64)]
print(len(batches), "batches,", batches[0][0].shape)
# --8<-- [end:fast]

# --8<-- [start:same]
from dlguide.data import BatchOrder, TensorBatches
from torch.utils.data import TensorDataset

digits.asked = 0
slow = DataLoader(digits, batch_sampler=BatchOrder(len(digits), 64, seed=0))
fast = TensorBatches(TensorDataset(x, y), 64, shuffle=True, seed=0)
same = [
    torch.equal(a, c) and torch.equal(b, d)
    for (a, b), (c, d) in zip(slow, fast, strict=True)
]
print("the same batches:", all(same))
print("one epoch asks the dataset", digits.asked, "times, the tensors", len(fast))


def calls(loader):
    """How many functions one epoch calls."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    for _ in loader:
        pass
    sys.setprofile(None)
    return count


print("more than 20 times as many calls:", calls(slow) > 20 * calls(fast))
# --8<-- [end:same]

# --8<-- [start:bytes]
for name, shape in {
    "digits": (1797, 1, 8, 8),
    "MNIST": (70_000, 1, 28, 28),
    "CIFAR-10": (60_000, 3, 32, 32),
    "ImageNet, training part": (1_281_167, 3, 224, 224),
}.items():
    size = torch.empty(shape, device="meta").nbytes  # a tensor without memory
    print(f"{name:24} {size / 1e6:10,.1f} MB")
# --8<-- [end:bytes]

# --8<-- [start:load]
from dlguide.data import load

data = load("digits", standardize=True)
print(data.train.tensors[0].shape, len(data.validation), len(data.test))
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "praise.txt").write_text("a good film\nnot bad\ngreat\nI like it\n")
    Path(folder, "blame.txt").write_text("dull\nnot good\na bad film\nI hate it\n")
    mine = load(folder, validation=0.25, test=0.25)
ids, lengths, targets = mine.train.tensors
for row, target in zip(ids, targets, strict=True):
    print(f"{mine.classes[target]:7}", row.tolist(), mine.vocabulary.decode(row))
# --8<-- [end:load]

# --8<-- [start:sorted]
by_class = TensorDataset(x[y.argsort()], y.sort().values)
for shuffle in (False, True):
    torch.manual_seed(0)
    _, first = next(iter(DataLoader(by_class, batch_size=64, shuffle=shuffle)))
    print(f"shuffle={shuffle}: the first batch holds", first.unique().tolist())
# --8<-- [end:sorted]

# --8<-- [start:shared]
from torch.utils.data import Subset

torch.manual_seed(0)
whole = Digits(transform=v2.RandomCrop(8, padding=2))
learn, check = random_split(whole, [0.8, 0.2])
print("validation changes:", not torch.equal(check[0][0], check[0][0]))
plain = Subset(Digits(), check.indices)  # the same pictures, as they are
print("and now:", not torch.equal(plain[0][0], plain[0][0]))
# --8<-- [end:shared]

# --8<-- [start:scale]
to_float = v2.ToDtype(torch.float32, scale=True)
pixels = v2.functional.to_image(photo)
print("uint8:  ", to_float(pixels).max().item())
print("float64:", to_float(pixels.double()).max().item())
# --8<-- [end:scale]


# --8<-- [start:exercise-groups]
def split_groups(groups, share, seed):
    """Indices of a training and a test part; no group is in both."""
    names = sorted(set(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    held_out = {names[i] for i in order[: round(share * len(names))].tolist()}
    train = [i for i, group in enumerate(groups) if group not in held_out]
    test = [i for i, group in enumerate(groups) if group in held_out]
    return train, test


writers = ["Ann", "Ben", "Ann", "Eva", "Ben", "Tom", "Eva", "Ann"]
train, test = split_groups(writers, share=0.25, seed=0)
print({writers[i] for i in test} & {writers[i] for i in train}, sorted(train + test))
# --8<-- [end:exercise-groups]


# --8<-- [start:exercise-constants]
def constants(batches):
    """Mean and standard deviation of each channel, one batch at a time."""
    n, total, squares = 0, 0.0, 0.0
    for x in batches:  # [B, C, H, W]
        x = x.double().transpose(0, 1).flatten(1)  # [C, B * H * W]
        n += x.shape[1]
        total = total + x.sum(1)
        squares = squares + (x**2).sum(1)
    mean = total / n
    return mean, (squares / n - mean**2).sqrt()


mean, std = constants(x for x, _ in loader)
print(f"mean {mean.item():.4f}, deviation {std.item():.4f}")
# --8<-- [end:exercise-constants]
