"""The program of practice/evaluation: a page shows its sections."""

# --8<-- [start:model]
import torch
import torch.nn.functional as F
from dlguide.data import load
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

digits = load("digits")
torch.manual_seed(0)
x, y = (part[:300] for part in digits.train.tensors)
y = torch.where(torch.rand(300) < 0.2, torch.randint(10, (300,)), y)
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
).double()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    F.cross_entropy(model(x.double()), y).backward()
    optimizer.step()


def part(data):
    return TensorDataset(data.tensors[0].double(), data.tensors[1])


validation, test = part(digits.validation), part(digits.test)
# --8<-- [end:model]


# --8<-- [start:loop]
def evaluate(model, loader):
    """Mean loss and accuracy over all examples; the logits and targets too."""
    model.eval()  # no dropout, BatchNorm with its stored averages
    loss_sum, right, n, seen = 0.0, 0, 0, []
    with torch.no_grad():  # keep nothing for a backward pass
        for x, y in loader:
            logits = model(x)
            loss = F.cross_entropy(logits, y)  # the mean of this batch
            loss_sum += loss.item() * len(y)
            right += (logits.argmax(1) == y).sum().item()
            n += len(y)
            seen.append((logits, y))
    logits, targets = (torch.cat(parts) for parts in zip(*seen, strict=True))
    return loss_sum / n, right / n, logits, targets


loss, accuracy, logits, targets = evaluate(model, DataLoader(test, batch_size=64))
print(f"{len(targets)} examples: loss {loss:.2f}, accuracy {accuracy:.3f}")
# --8<-- [end:loop]

# --8<-- [start:means]
batches = [
    (F.cross_entropy(z, t).item(), len(t))
    for z, t in zip(logits.split(119), targets.split(119), strict=True)
]
whole = F.cross_entropy(logits, targets).item()
print("examples in each batch ", [n for _, n in batches])
print(f"all at once             {whole:.4f}")
print(f"weighted by batch size  {sum(b * n for b, n in batches) / 360:.4f}")
print(f"mean of the batch means {sum(b for b, _ in batches) / len(batches):.4f}")
# --8<-- [end:means]

# --8<-- [start:confusion]
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

predictions = logits.argmax(1)
matrix = F.one_hot(targets, 10).T @ F.one_hot(predictions, 10)
blues = LinearSegmentedColormap.from_list("blues", ["#2b6cb000", "#2b6cb0ff"])
fig, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ax.imshow(matrix.tolist(), cmap=blues, vmax=25)
for i, j in matrix.nonzero().tolist():
    style = {"color": "white"} if i == j else {}
    ax.text(j, i, matrix[i, j].item(), ha="center", va="center", **style)
ax.set(xlabel="answer", ylabel="true digit", xticks=range(10), yticks=range(10))
plt.show()
# --8<-- [end:confusion]

# --8<-- [start:classes]
matrix = matrix.double()
found = matrix.diagonal()
precision = found / matrix.sum(0)  # of a column: all that got this answer
recall = found / matrix.sum(1)  # of a row: all that are this digit
f1 = 2 * precision * recall / (precision + recall)
for k in (0, 8):
    print(f"digit {k}: precision {precision[k]:.2f}, recall {recall[k]:.2f}, "
          f"F1 {f1[k]:.2f}")  # fmt: skip
# --8<-- [end:classes]

# --8<-- [start:rare]
from sklearn.metrics import accuracy_score, f1_score, recall_score

rare = [1] + [0] * 9  # one patient in ten is ill
healthy = [0] * 10  # the answer is always no
print("accuracy", accuracy_score(rare, healthy))
print("recall  ", recall_score(rare, healthy))
print("F1      ", f1_score(rare, healthy))
# --8<-- [end:rare]

# --8<-- [start:averages]
kinds = torch.tensor([0] * 90 + [1] * 5 + [2] * 5)
answers = kinds.clone()
answers[90:95] = 0  # class 1 is never found
scores = [f1_score(kinds, answers, average=a) for a in ("micro", "macro", "weighted")]
print("F1 of each class", f1_score(kinds, answers, average=None).round(2))
print("micro {:.2f}  macro {:.2f}  weighted {:.2f}".format(*scores))
print("accuracy", accuracy_score(kinds, answers))
# --8<-- [end:averages]

# --8<-- [start:torchmetrics]
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

metrics = MetricCollection({
    "accuracy": MulticlassAccuracy(10, average="micro"),
    "F1": MulticlassF1Score(10, average="macro"),
})  # fmt: skip
each = [
    metrics(z, t)["F1"].item()  # adds the batch, and returns its own value
    for z, t in zip(logits.split(16), targets.split(16), strict=True)
]
whole = {name: value.item() for name, value in metrics.compute().items()}
metrics.reset()  # before the next epoch
print({name: round(value, 2) for name, value in whole.items()})
print(f"by hand                       {f1.mean():.2f}")
truth = f1_score(targets, predictions, average="macro")
print(f"scikit-learn                  {truth:.2f}")
print(f"mean of the F1 of each batch  {sum(each) / len(each):.2f}")
# --8<-- [end:torchmetrics]

# --8<-- [start:roc]
from sklearn.metrics import roc_auc_score, roc_curve

score = logits[:, 8] - logits.logsumexp(1)  # log-probability of an eight
is_eight = targets == 8
above, below = score[is_eight], score[~is_eight]
pairs = above[:, None] - below[None, :]
area = ((1 + pairs.sign()) / 2).mean().item()
print(f"share of the pairs in the right order {area:.3f}")
print(f"area by scikit-learn                  {roc_auc_score(is_eight, score):.3f}")
fig, ax = plt.subplots(figsize=(4, 3.2), layout="constrained")
pixel = test.tensors[0][:, 0, 1, 2]
print(f"area of one pixel alone               {roc_auc_score(is_eight, pixel):.2f}")
for name, values in {"network": score, "one pixel": pixel}.items():
    false_alarms, hits, _ = roc_curve(is_eight, values)
    ax.plot(false_alarms, hits, label=f"{name}: {roc_auc_score(is_eight, values):.2f}")
ax.plot([0, 1], [0, 1], "--", color="gray", label="chance: 0.50")
ax.set(xlabel="share of the others called an eight", ylabel="recall of eights")
ax.legend()
plt.show()
# --8<-- [end:roc]

# --8<-- [start:alarms]
from sklearn.metrics import average_precision_score

right, wrong = 0.9 * 0.01, 0.1 * 0.99  # alarms, if one example in a hundred is positive
print(f"share of the alarms that are right {right / (right + wrong):.3f}")

found = is_eight[score.argsort(descending=True)].double()  # from the highest score down
precision = found.cumsum(0) / torch.arange(1, len(found) + 1)
print(f"mean precision at each eight {precision[found == 1].mean():.3f}")
print(f"the same by scikit-learn     {average_precision_score(is_eight, score):.3f}")
for times in (1, 10, 100):  # as if there were so many times as many others
    weight = torch.where(is_eight, 1.0, float(times))
    area = roc_auc_score(is_eight, score, sample_weight=weight)
    average = average_precision_score(is_eight, score, sample_weight=weight)
    print(f"others x {times:3}: area {area:.3f}, average precision {average:.3f}")
# --8<-- [end:alarms]


# --8<-- [start:interval]
def standard_error(a, n):
    """Of an accuracy a, measured on n examples."""
    return (a * (1 - a) / n) ** 0.5


for n in (100, 360, 10_000):
    error = standard_error(0.9, n)
    print(f"n {n:5}: 0.90 ± {1.96 * error:.3f}")
# --8<-- [end:interval]

# --8<-- [start:coverage]
torch.manual_seed(0)
measured = torch.distributions.Binomial(360, torch.tensor(0.9)).sample((10_000,)) / 360
reach = 1.96 * standard_error(measured, 360)
holds = (measured - 0.9).abs() < reach
print(f"intervals that hold the truth: {holds.float().mean():.2f}")
# --8<-- [end:coverage]


# --8<-- [start:calibration]
def calibration_error(confidence, right, bins=10):
    """Expected calibration error, and the (confidence, accuracy, count) of the bins."""
    groups = []
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            groups.append((confidence[inside].mean().item(),
                           right[inside].double().mean().item(),
                           inside.sum().item()))  # fmt: skip
    error = sum(n / len(right) * abs(acc - conf) for conf, acc, n in groups)
    return error, groups


torch.manual_seed(1)
wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.AdamW(wide.double().parameters(), lr=0.01)
for _ in range(150):  # until it knows even the wrong labels by heart
    optimizer.zero_grad()
    F.cross_entropy(wide(x.double()), y).backward()
    optimizer.step()

_, accuracy, logits, targets = evaluate(wide, DataLoader(test, batch_size=64))
confidence, predictions = logits.softmax(1).max(1)
before, groups = calibration_error(confidence, predictions == targets)
print(f"accuracy {accuracy:.2f}, mean confidence {confidence.mean():.2f}")
print(f"expected calibration error {before:.2f}")
# --8<-- [end:calibration]


# --8<-- [start:temperature]
def temperature(logits, targets):
    """The T that makes the cross-entropy of logits / T smallest."""
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)  # T stays above 0
    search = torch.optim.LBFGS([log_t], line_search_fn="strong_wolfe",
                               tolerance_change=0, max_iter=50)  # fmt: skip

    def loss():
        search.zero_grad()
        value = F.cross_entropy(logits / log_t.exp(), targets)
        value.backward()
        return value

    search.step(loss)
    return log_t.exp().item()


_, _, held_out, held_out_targets = evaluate(wide, DataLoader(validation, batch_size=64))
T = temperature(held_out, held_out_targets)
cooler = (logits / T).softmax(1).max(1).values
after, softer_groups = calibration_error(cooler, predictions == targets)
same = torch.equal((logits / T).argmax(1), predictions)
print(f"T {T:.1f}: error {before:.2f} -> {after:.2f}, same answers: {same}")
fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True, layout="constrained")
for ax, found, name in zip(
    axes, (groups, softer_groups), ("T = 1", f"T = {T:.1f}"), strict=True
):
    confidences, accuracies, counts = zip(*found, strict=True)
    ax.plot([0, 1], [0, 1], "--", color="gray")
    ax.scatter(confidences, accuracies, s=counts)
    ax.set(title=name, xlabel="confidence", xlim=(0, 1.08), ylim=(0, 1.08))
axes[0].set(ylabel="accuracy")
plt.show()
# --8<-- [end:temperature]

# --8<-- [start:once]
torch.manual_seed(0)
truth = torch.randint(2, (10_100,))  # two classes
coins = torch.randint(2, (1000, 10_100), dtype=torch.int8)  # 1000 models toss a coin
right = coins == truth
tested, fresh = right[:, :100].double().mean(1), right[:, 100:].double().mean(1)
best = tested.argmax()
print(f"the best of 1000: {tested[best]:.2f} on 100 test examples, "
      f"{fresh[best]:.2f} on 10000 fresh ones")  # fmt: skip
print(f"the first of them: {tested[0]:.2f} and {fresh[0]:.2f}")
# --8<-- [end:once]

# --8<-- [start:optimism]
tries = torch.logspace(0, 4, 100, dtype=torch.float64)
counts = torch.arange(101, dtype=torch.float64)
steps = torch.exp(  # the binomial distribution: 100 tosses
    torch.lgamma(torch.tensor(101.0).double()) - torch.lgamma(counts + 1)
    - torch.lgamma(101 - counts) - 100 * torch.log(torch.tensor(2.0).double())
)  # fmt: skip
below_or_equal = steps.cumsum(0).clamp(max=1)
expected = [1 - (below_or_equal[:-1] ** m).sum().item() / 100 for m in tries]
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(tries, 0.5 + (tries.log() / 200) ** 0.5, "--", color="gray", label="bound")
ax.plot(tries, expected, label="the best on the test set")
ax.axhline(0.5, color="tab:orange", label="the same model on fresh examples")
ax.set(xscale="log", xlabel="models tried", ylabel="accuracy", ylim=(0.45, 0.75))
ax.legend()
plt.show()
# --8<-- [end:optimism]

# --8<-- [start:folds]
from sklearn.model_selection import StratifiedKFold

pictures = digits.train.tensors[0][:200].flatten(1).double()
names = digits.train.tensors[1][:200]
accuracies = []
folds = StratifiedKFold(5, shuffle=True, random_state=0)
for learn, hold in folds.split(pictures, names):
    torch.manual_seed(0)
    net = nn.Linear(64, 10).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(50):
        optimizer.zero_grad()
        F.cross_entropy(net(pictures[learn]), names[learn]).backward()
        optimizer.step()
    with torch.no_grad():
        right = net(pictures[hold]).argmax(1) == names[hold]
    accuracies.append(right.double().mean().item())
print([round(a, 2) for a in accuracies])
print(f"mean {sum(accuracies) / 5:.2f}")
# --8<-- [end:folds]

# --8<-- [start:training-mode]
pictures, names = test.tensors
model.train()  # forgotten: model.eval()
torch.manual_seed(0)
with torch.no_grad():
    runs = [(model(pictures).argmax(1) == names).double().mean() for _ in range(3)]
print("with dropout on:", *(f"{a:.3f}" for a in runs))
print(f"with eval():     {evaluate(model, DataLoader(test, batch_size=64))[1]:.3f}")
# --8<-- [end:training-mode]

# --8<-- [start:shapes]
output = torch.tensor([[2.0], [-1.0], [3.0], [-2.0]])  # [4, 1], from nn.Linear(…, 1)
truth = torch.tensor([1, 0, 1, 0])  # [4]
wrong = (output > 0) == truth  # [4, 4]: every answer with every target
print(wrong.shape, wrong.float().mean().item())
right = (output.squeeze(1) > 0) == truth
print(right.shape, right.float().mean().item())
# --8<-- [end:shapes]


# --8<-- [start:leak]
def selected(x, y, rows):
    """The 20 columns that follow y most closely in these rows."""
    a, b = x[rows] - x[rows].mean(0), y[rows] - y[rows].mean()
    return (a * b[:, None]).mean(0).abs().topk(20).indices


torch.manual_seed(0)
noise, tosses = torch.randn(200, 2000).double(), torch.randint(2, (200,)).double()
learn, hold = torch.arange(100), torch.arange(100, 200)
for name, rows in {"all rows": torch.arange(200), "training rows": learn}.items():
    columns = selected(noise, tosses, rows)
    w = torch.linalg.lstsq(noise[learn][:, columns], tosses[learn] * 2 - 1).solution
    right = (noise[hold][:, columns] @ w > 0) == tosses[hold].bool()
    print(f"columns chosen with {name:13}: test accuracy {right.double().mean():.2f}")
# --8<-- [end:leak]


# --8<-- [start:exercise-macro]
def macro_f1(batches, classes):
    """Macro F1 over all batches; each batch is (predictions, targets)."""
    matrix = torch.zeros(classes, classes, dtype=torch.float64)
    for predictions, targets in batches:
        pairs = targets * classes + predictions
        matrix += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    twice = 2 * matrix.diagonal()
    all_of_them = matrix.sum(0) + matrix.sum(1)
    return (twice / all_of_them.clamp(min=1)).mean().item()


halves = list(zip(answers.split(33), kinds.split(33), strict=True))
print(f"{macro_f1(halves, 3):.2f}")
# --8<-- [end:exercise-macro]


# --8<-- [start:exercise-wilson]
def wilson(right, n, w=1.96):
    """Both ends of Wilson's interval for an accuracy of right / n."""
    measured, square = right / n, w**2 / n
    middle = (measured + square / 2) / (1 + square)
    reach = (square * measured * (1 - measured) + square**2 / 4) ** 0.5 / (1 + square)
    return middle - reach, middle + reach


print("{:.3f} {:.3f}".format(*wilson(50, 50)))
# --8<-- [end:exercise-wilson]
