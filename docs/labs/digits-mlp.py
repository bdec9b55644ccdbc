# ---
# kind: lab
# minutes: 20
# needs: [start/first-program, concepts/autograd]
# description:
#   en: Train a 64-128-10 network on real handwritten digits, first with a loop written out, then with dlguide.train, to at least 96 % on the test part.
#   zh: 在真实的手写数字上训练一个 64-128-10 网络：先手写训练循环，再换成 dlguide.train，测试集准确率不低于 96 %。
# ---

# %% [markdown] tags=["en"]
# # Digits with an MLP { #digits-mlp }
#
# A multilayer perceptron (MLP) with one hidden layer learns to read digits. You write its training loop by hand, see why two steps train nothing, and then replace the loop by one call that does the same.
#
# After this lab you can:
#
# - flatten pictures, and say why the network returns logits and not probabilities;
# - write the training loop in five lines, and name what each line does;
# - see from the first loss whether a network starts right;
# - keep training, validation and test parts apart, and say how sure an accuracy is;
# - read a confusion matrix.
#
# Everything runs on a CPU in under a minute. With MNIST in a folder of yours, change `DATA` to `"mnist"`; the [reference](../reference/data.md) says how to get it.

# %% [markdown] tags=["zh"] translates="32310a9c"
# # 用 MLP 识别手写数字 { #digits-mlp }
#
# 这个实验训练一个只有一个隐藏层的多层感知机（MLP）来认数字。先手写训练循环，看看为什么只走两步等于没训练，再把循环换成一次函数调用，结果完全相同。
#
# 做完这个实验你能：
#
# - 把图片展平，并说明网络为什么输出 logits 而不是概率；
# - 用五行代码写出训练循环，说出每一行在做什么；
# - 从第一个损失值看出网络的起点对不对；
# - 把训练集、验证集、测试集分开用，并说出一个准确率有多可靠；
# - 看懂混淆矩阵。
#
# 全部代码在 CPU 上不到一分钟就能跑完。如果本地目录里有 MNIST，把 `DATA` 改成 `"mnist"` 即可，获取方法见[接口参考](../reference/data.md)。

# %%
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from dlguide.data import load
from dlguide.models import MLP
from dlguide.train import choose_device, evaluate, fit, predict

DATA = "digits"  # or "mnist"
DEVICE = choose_device("auto")  # CUDA, else MPS, else CPU

# %% [markdown] tags=["en"]
# ## The data { #data }
#
# The digits are pictures of 8 x 8 pixels that people wrote on forms. Each pixel is a number from 0 (paper) to 1 (ink). They are cut into three parts that share no picture: the training part changes the weights, the validation part chooses between settings, and the test part is looked at once, at the end.

# %% [markdown] tags=["zh"] translates="7aa4b71f"
# ## 数据 { #data }
#
# 这些数字是人们填表时写下的，缩成 8 × 8 像素。每个像素是 0（白纸）到 1（墨迹）之间的一个数。数据分成互不重叠的三份：训练集用来改变权重，验证集用来挑选设置，测试集只在最后看一次。

# %%
data = load(DATA)
x, y = data.train.tensors
print("pictures [N, channels, height, width]:", list(x.shape))
print("pixels from", x.min().item(), "to", x.max().item(), "-", x.dtype)
print("classes", y.unique().tolist(), "-", y.dtype)
for name in ("train", "validation", "test"):
    print(f"{name:<10} {len(getattr(data, name)):>6} pictures")

# %% alt_en="Ten small grey pictures of handwritten digits, each with its class above it" alt_zh="十张灰色的手写数字小图，每张上方标着它的类别"
figure, axes = plt.subplots(1, 10, figsize=(7, 1.1))
for ax, picture, label in zip(axes, x, y, strict=False):
    ax.imshow(picture[0].numpy(), cmap="gray_r")
    ax.set_title(int(label), fontsize=10)
    ax.axis("off")
plt.show()

# %% [markdown] tags=["en"]
# ## The network { #network }
#
# Two linear layers with a ReLU between them. For a batch of $N$ pictures:
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $x$ | $N \times 64$ | the pixels of each picture in one row |
# | $W_1, b_1$ | $128 \times 64$, $128$ | weights and biases of the hidden layer |
# | $h = \max(0,\ x W_1^\top + b_1)$ | $N \times 128$ | the hidden layer |
# | $W_2, b_2$ | $10 \times 128$, $10$ | weights and biases of the output layer |
# | $z = h W_2^\top + b_2$ | $N \times 10$ | the logits, one number for each class |
#
# A linear layer works on the last dimension only. So a picture of shape $1 \times 8 \times 8$ must become a row of 64 numbers first: `flatten(1)` joins all dimensions from number 1 on and leaves dimension 0, the batch, alone.
#
# The network ends with logits. There is no softmax in it, because `F.cross_entropy` applies the softmax itself.

# %% [markdown] tags=["zh"] translates="a210f4ca"
# ## 网络 { #network }
#
# 两个线性层，中间夹一个 ReLU。对 $N$ 张图片组成的一个批次：
#
# | 符号 | 形状 | 含义 |
# | --- | --- | --- |
# | $x$ | $N \times 64$ | 每张图片的像素排成一行 |
# | $W_1, b_1$ | $128 \times 64$, $128$ | 隐藏层的权重和偏置 |
# | $h = \max(0,\ x W_1^\top + b_1)$ | $N \times 128$ | 隐藏层 |
# | $W_2, b_2$ | $10 \times 128$, $10$ | 输出层的权重和偏置 |
# | $z = h W_2^\top + b_2$ | $N \times 10$ | logits，每个类别一个数 |
#
# 线性层只作用在最后一维上，所以形状为 $1 \times 8 \times 8$ 的图片要先变成一行 64 个数：`flatten(1)` 把第 1 维往后的所有维合并，第 0 维也就是批次那一维保持不动。
#
# 网络到 logits 为止，里面没有 softmax，因为 `F.cross_entropy` 自己会做 softmax。


# %%
class Net(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.hidden = nn.Linear(in_features, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, x):
        x = x.flatten(1)  # [N, 1, 8, 8] -> [N, 64]
        h = F.relu(self.hidden(x))  # [N, 128]
        return self.out(h)  # [N, 10]: logits


pixels = x[0].numel()
torch.manual_seed(0)
net = Net(pixels).to(DEVICE)
for name, parameter in net.named_parameters():
    print(f"{name:<14} {list(parameter.shape)}")
print(sum(p.numel() for p in net.parameters()), "parameters")

# %% [markdown] tags=["en"]
# ## Before the first step { #before }
#
# A network that knows nothing should give each of the ten classes about the same probability. Then the cross-entropy is close to $\ln 10$. A first loss far from it is a sign that something is wrong with the scale of the inputs or the weights.

# %% [markdown] tags=["zh"] translates="348453b9"
# ## 迈出第一步之前 { #before }
#
# 一个什么都还没学的网络，应该给十个类别差不多的概率，这时交叉熵接近 $\ln 10$。如果第一个损失离它很远，多半是输入或权重的尺度出了问题。

# %%
start = evaluate(net, data.validation)
print(f"ln 10 = {math.log(10):.3f}")
print(f"validation loss {start.loss:.2f}, accuracy {start.accuracy:.2f}")
assert abs(start.loss - math.log(10)) < 0.1

# %% [markdown] tags=["en"]
# ## The loop { #loop }
#
# One step has five lines. An epoch is one pass over the shuffled training part in batches. The gradients are thrown away before each `backward`, because PyTorch adds new gradients to old ones.
#
# First the mistake: a learning rate of 0.001 and two steps. The code runs without an error, and the loss even falls a little. But the network is as good as untrained, and only a measured accuracy shows it.

# %% [markdown] tags=["zh"] translates="5b898a3c"
# ## 训练循环 { #loop }
#
# 一步（step）就是五行代码。一轮（epoch）是把打乱的训练集按批次过一遍。每次 `backward` 之前要清掉旧梯度，因为 PyTorch 会把新梯度加到旧梯度上。
#
# 先看错误的做法：学习率 0.001，只走两步。代码不报错，损失甚至还降了一点点，但网络等于没训练，只有测一下准确率才看得出来。


# %%
def step(net, optimizer, x, y):
    logits = net(x)  # 1. forward pass
    loss = F.cross_entropy(logits, y)  # 2. one number: how wrong
    optimizer.zero_grad()  # 3. forget the gradients of the last step
    loss.backward()  # 4. gradients of this loss
    optimizer.step()  # 5. move the weights against the gradient
    return loss.item()


x, y = x.to(DEVICE), y.to(DEVICE)
timid = torch.optim.SGD(net.parameters(), lr=0.001)
losses = [step(net, timid, x[:32], y[:32]) for _ in range(2)]
after_two = evaluate(net, data.validation)
print("two losses:", [round(loss, 4) for loss in losses])
print(f"validation accuracy {after_two.accuracy:.2f}, guessing gives 0.10")
assert after_two.accuracy < 0.3

# %% [markdown] tags=["en"]
# Now the same five lines with a learning rate of 0.1, for 50 epochs. After each epoch the validation part is measured, without touching a weight.

# %% [markdown] tags=["zh"] translates="30599507"
# 现在用同样的五行代码，学习率 0.1，训练 50 轮。每轮结束后在验证集上测一次，测的时候不动任何权重。

# %%
torch.manual_seed(0)
net = Net(pixels).to(DEVICE)  # start again from the same weights
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
shuffle = torch.Generator().manual_seed(0)
by_hand = []
for epoch in range(1, 51):
    net.train()
    order = torch.randperm(len(y), generator=shuffle).to(DEVICE)
    for rows in order.split(32):
        step(net, optimizer, x[rows], y[rows])
    scores = evaluate(net, data.validation)  # eval mode and back
    by_hand.append(scores.loss)
    if epoch in (1, 2, 5, 10, 20, 50):
        loss, accuracy = scores
        print(f"epoch {epoch:>2}: loss {loss:.2f}, accuracy {accuracy:.2f}")

# %% [markdown] tags=["en"]
# ## The same loop in one call { #fit }
#
# [fit][dlguide.train.fit] is this loop with the things around it: the device, the validation after each epoch, the weights of the best epoch, a history. From the same start and with the same order of batches it sees the same losses.

# %% [markdown] tags=["zh"] translates="4bd1f0c9"
# ## 一次调用，同一个循环 { #fit }
#
# [fit][dlguide.train.fit] 就是这个循环，外加周边的事：选设备、每轮验证、保留最佳一轮的权重、记下历史。起点相同、批次顺序相同，看到的损失也就相同。

# %%
torch.manual_seed(0)
model = MLP(pixels, hidden=(128,))  # the same layers as Net
history = fit(
    model,
    data.train,
    data.validation,
    epochs=50,
    lr=0.1,
    batch_size=32,
    optimizer=torch.optim.SGD,
    device=DEVICE,
    seed=0,
)
pairs = zip(by_hand, history.validation_loss, strict=True)
gap = max(abs(a - b) for a, b in pairs)
print("largest difference of the two runs below 0.001:", gap < 0.001)
print("validation accuracy of the best epoch at least 0.95:", end=" ")
print(history.validation_accuracy[history.best_epoch - 1] >= 0.95)
assert gap < 0.001

# %% alt_en="Two charts over 50 epochs: the losses of training and validation fall quickly and then slowly, the accuracies rise in the same way to nearly one" alt_zh="两幅横轴为 50 轮的曲线图：训练损失和验证损失先快后慢地下降，准确率先快后慢地升到接近 1"
history.plot()
plt.show()

# %% [markdown] tags=["en"]
# ## The test part, once { #test }
#
# The validation part has helped to choose the epoch, so its accuracy is a little too good. The test part has chosen nothing. It is measured here for the first and only time.
#
# An accuracy from $n$ pictures is itself uncertain: with accuracy $p$ its standard error is $\sqrt{p(1-p)/n}$. Another 360 digits would give a slightly different number. So do not read a third digit into it, and do not call a difference smaller than two standard errors an improvement.

# %% [markdown] tags=["zh"] translates="4532a263"
# ## 测试集，只看一次 { #test }
#
# 验证集参与了挑选最佳轮次，所以它的准确率会略微偏高。测试集没有参与过任何选择，这里是第一次也是唯一一次用它。
#
# 用 $n$ 张图片测出的准确率 $p$ 本身也有误差，标准误是 $\sqrt{p(1-p)/n}$。换另外 360 张数字，结果会略有不同。所以不要计较第三位小数，也不要把小于两倍标准误的差别当成进步。

# %%
test = evaluate(model, data.test)
n = len(data.test)
error = math.sqrt(test.accuracy * (1 - test.accuracy) / n)
print(f"test accuracy {test.accuracy:.3f} +- {error:.3f} ({n} pictures)")
assert test.accuracy >= 0.96

# %% [markdown] tags=["en"]
# Which digits are mixed up? Row $i$, column $j$ of the confusion matrix counts the pictures of class $i$ that the network called $j$. What is right lies on the diagonal.

# %% [markdown] tags=["zh"] translates="6fb1adeb"
# 哪些数字会被认混？混淆矩阵第 $i$ 行第 $j$ 列，是真实类别为 $i$、被网络判成 $j$ 的图片张数。判对的都在对角线上。

# %% alt_en="A table of ten by ten cells; the counts on the diagonal lie between about 30 and 50, almost all other cells are empty" alt_zh="十行十列的表格，对角线上的计数大约在 30 到 50 之间，其余格子几乎都是空的"
x_test, y_test = data.test.tensors
said = predict(model, x_test)
confusion = torch.bincount(10 * y_test + said, minlength=100).view(10, 10)
assert confusion.trace() == (said == y_test).sum()

figure, ax = plt.subplots(figsize=(5, 4.4))
shade = confusion.sqrt()  # so that a single mistake can be seen
ax.imshow(shade.numpy(), cmap="Blues", vmax=1.6 * shade.max())
style = {"ha": "center", "va": "center", "color": "black"}
for i, j in confusion.nonzero().tolist():
    ax.text(j, i, int(confusion[i, j]), **style)
ax.set(xticks=range(10), yticks=range(10))
ax.set(xlabel="the network says", ylabel="the class is")
plt.show()

# %% [markdown] tags=["en"]
# And these are the pictures behind the numbers outside the diagonal. Some of them would make a person hesitate too.

# %% [markdown] tags=["zh"] translates="117a79d4"
# 对角线以外的计数背后就是下面这些图。其中有几张，人看了也会犹豫。

# %% alt_en="The test pictures that the network gets wrong, each titled with its class and with what the network says" alt_zh="网络判错的测试图片，每张标题写着真实类别和网络给出的类别"
wrong = (said != y_test).nonzero().flatten()[:10].tolist()
figure, axes = plt.subplots(1, 10, figsize=(7, 1.3))
for ax in axes:
    ax.axis("off")
for ax, i in zip(axes, wrong, strict=False):
    ax.imshow(x_test[i, 0].numpy(), cmap="gray_r")
    ax.set_title(f"{int(y_test[i])} not {int(said[i])}", fontsize=9)
plt.show()

# %% [markdown] tags=["en"]
# ## What goes wrong { #what-goes-wrong }
#
# **The pictures are not flattened.** A linear layer takes the last dimension of what it gets, here the 8 pixels of a row, and does not fit.

# %% [markdown] tags=["zh"] translates="92aa4d62"
# ## 常见错误 { #what-goes-wrong }
#
# **图片没有展平。** 线性层取的是输入的最后一维，这里是一行的 8 个像素，对不上。

# %%
try:
    nn.Linear(64, 128)(torch.zeros(32, 1, 8, 8))
except RuntimeError as e:
    print("RuntimeError:", e)

# %% [markdown] tags=["en"]
# **`zero_grad` is forgotten.** The gradients of all steps so far add up, and each step follows the sum instead of the gradient.

# %% [markdown] tags=["zh"] translates="8471e0bc"
# **忘了 `zero_grad`。** 到目前为止每一步的梯度都累加在一起，每一步走的是总和的方向，而不是当前梯度的方向。

# %%
net.zero_grad()
sizes = []
for _ in range(3):
    F.cross_entropy(net(x[:32]), y[:32]).backward()  # always the same batch
    sizes.append(net.out.weight.grad.norm())
times = [f"{size / sizes[0]:.1f} x" for size in sizes]
print("gradient after 1, 2, 3 backward:", times)

# %% [markdown] tags=["en"]
# **Probabilities instead of logits.** `F.cross_entropy` takes the softmax of what it gets. If the network already did, the softmax is taken twice. Even an answer that is right with certainty then has a loss of about 1.461 with ten classes, and the gradients are too small.

# %% [markdown] tags=["zh"] translates="29433f7f"
# **给损失函数的是概率而不是 logits。** `F.cross_entropy` 会对拿到的数做 softmax。如果网络里已经做过，就做了两遍。这样十个类别时，哪怕答案百分之百正确，损失也在 1.461 左右，而且梯度偏小。

# %%
three = torch.tensor([3])
certain = F.one_hot(three, 10).float()  # probability 1 for class 3
print(f"loss of a perfect answer: {F.cross_entropy(certain, three):.3f}")
print(f"log(e + 9) - 1 =          {math.log(math.e + 9) - 1:.3f}")

# %% [markdown] tags=["en"]
# **The test part chooses.** Who tries ten settings and reports the best test accuracy has measured how lucky one of ten tries can be. Choose by the validation part.
#
# ## Exercises { #exercises }
#
# 1. How much does the hidden layer bring? Train `MLP(pixels, hidden=())`, which is one linear layer, in the same way and compare the validation losses.
# 2. Which learning rate is best here: 0.001, 0.01, 0.1 or 1? Choose without the test part.

# %% [markdown] tags=["zh"] translates="d1cd5721"
# **用测试集做选择。** 试了十组设置，报告其中最高的测试准确率，测出来的只是十次里最好的那次运气。要用验证集来选。
#
# ## 练习 { #exercises }
#
# 1. 隐藏层带来多少好处？用同样的方法训练只有一个线性层的 `MLP(pixels, hidden=())`，比较两者的验证损失。
# 2. 这里 0.001、0.01、0.1、1 哪个学习率最好？不许用测试集。

# %% [markdown] tags=["en"]
# <details markdown="1">
# <summary>Solution 1</summary>
#
# All runs of both solutions go through one function. It returns the history, and nobody looks at the test part.

# %% [markdown] tags=["zh"] translates="685e1259"
# <details markdown="1">
# <summary>答案 1</summary>
#
# 两道题的几次训练都走同一个函数，它返回历史记录，全程不碰测试集。


# %%
def trained(hidden, lr):
    torch.manual_seed(0)
    candidate = MLP(pixels, hidden=hidden)
    return fit(
        candidate,
        data.train,
        data.validation,
        epochs=50,
        lr=lr,
        optimizer=torch.optim.SGD,
        device=DEVICE,
    )


linear, deep = trained((), 0.1), trained((128,), 0.1)
for name, run in (("linear", linear), ("one hidden layer", deep)):
    best = run.best_epoch - 1
    print(f"{name:<17} validation loss {run.validation_loss[best]:.2f}")
assert min(deep.validation_loss) < min(linear.validation_loss)

# %% [markdown] tags=["en"]
# </details>
#
# <details markdown="1">
# <summary>Solution 2</summary>
#
# Train once with each rate and compare the lowest validation losses. With 0.001 the network has hardly begun after 50 epochs. If the largest rate of the row comes out best, as here, the row was too short: try larger ones too.

# %% [markdown] tags=["zh"] translates="e4645d00"
# </details>
#
# <details markdown="1">
# <summary>答案 2</summary>
#
# 每个学习率各训练一次，比较最低的验证损失。学习率为 0.001 时，训练 50 轮也才刚刚起步。如果像这里一样，最好的是试过的最大值，说明试的范围还不够，应当再往大试。

# %%
best_losses = {}
for lr in (0.001, 0.01, 0.1, 1.0):
    best_losses[lr] = min(trained((128,), lr).validation_loss)
    print(f"lr {lr:<6} validation loss {best_losses[lr]:.2f}")
assert best_losses[0.001] > best_losses[0.01] > best_losses[0.1]

# %% [markdown] tags=["en"]
# </details>
#
# ## References { #references }
#
# - [scikit-learn: load_digits](https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html), the data and where they come from
# - [PyTorch: torch.nn.functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html), the loss that takes logits
# - [PyTorch: Optimizing model parameters](https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html), the same loop in the official tutorial
# - The next lab: [Digits with a CNN](digits-cnn.py)

# %% [markdown] tags=["zh"] translates="b95d16e4"
# </details>
#
# ## 参考资料 { #references }
#
# - [scikit-learn：load_digits](https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html)，数据及其来历
# - [PyTorch：torch.nn.functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html)，接收 logits 的损失函数
# - [PyTorch：Optimizing model parameters](https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html)，官方教程里的同一个循环
# - 下一个实验：[用 CNN 识别手写数字](digits-cnn.py)
