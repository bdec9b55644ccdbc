# ---
# kind: lab
# minutes: 20
# needs: [labs/digits-mlp]
# description:
#   en: Train a convolutional network on real handwritten digits to at least 98 % on the test part, with the shape after each layer and its feature maps drawn.
#   zh: 在真实的手写数字上训练卷积神经网络，测试集准确率不低于 98 %，逐层打印形状，画出卷积核和特征图。
# ---

# %% [markdown] tags=["en"]
# # Digits with a CNN { #digits-cnn }
#
# A convolutional neural network (CNN) looks at a picture through small windows. You follow one batch through it layer by layer, train it to at least 98 %, look at what it has learned, and see the flatten that silently mixes pictures up.
#
# After this lab you can:
#
# - name the seven steps of training a CNN, and the shape after each layer;
# - work out the size of a feature map, and of the linear layer behind it;
# - say what `eval()` changes;
# - recognise a flatten that regroups the batch.

# %% [markdown] tags=["zh"] translates="2e5212bc"
# # 用 CNN 识别手写数字 { #digits-cnn }
#
# 卷积神经网络（CNN）透过一个个小窗口看图片。这个实验跟着一个批次逐层走过网络，把它训练到 98 % 以上，看看它学到了什么，再看一种会悄悄把不同图片混在一起的展平写法。
#
# 做完这个实验你能：
#
# - 说出训练 CNN 的七个步骤，以及每一层之后的形状；
# - 算出特征图的大小，以及后面线性层的输入个数；
# - 说明 `eval()` 改变了什么；
# - 认出会打乱批次的展平写法。

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from dlguide.data import load
from dlguide.models import CNN, MLP
from dlguide.train import choose_device, evaluate, fit

DATA = "digits"  # or "mnist"
DEVICE = choose_device("auto")  # CUDA, else MPS, else CPU

data = load(DATA, standardize=True)
x, y = data.train.tensors
print("training pictures", list(x.shape))
print(f"taken out: mean {data.mean:.2f}, standard deviation {data.std:.2f}")

# %% [markdown] tags=["en"]
# The pixels are standardised: the mean of the training pixels is subtracted, and the result is divided by their standard deviation. Both numbers come from the training part alone. They are then used for the other two parts as well.
#
# ## Seven steps { #steps }
#
# Training a CNN takes seven steps. Here they are once, one at a time, on a batch of 32 pictures.
#
# 1. Draw the starting weights at random. Convolutions and linear layers have weights and biases. ReLU and pooling have none.
# 2. Convolve: slide each 3 x 3 filter over the picture and take the sum of products at each place. PyTorch does not flip the filter, so strictly this is a cross-correlation.
# 3. Apply the non-linearity, ReLU. Without it, two convolutions in a row are one convolution.
# 4. Pool: keep the largest of each 2 x 2 square.
# 5. Repeat 2 to 4, flatten what is left, and turn it into logits with linear layers.
# 6. Compute the loss and its gradients.
# 7. Let the optimizer move the weights. Then take the next batch and start again at step 2.

# %% [markdown] tags=["zh"] translates="5e9dcf31"
# 像素做了标准化：减去训练集像素的均值，再除以标准差。这两个数只从训练集算出来，另外两份数据也用这两个数。
#
# ## 七个步骤 { #steps }
#
# 训练 CNN 有七个步骤，下面用 32 张图片的一个批次，一步一步走一遍。
#
# 1. 随机初始化权重。卷积层和线性层有权重和偏置，ReLU 和池化层没有参数。
# 2. 卷积：每个 3 × 3 的卷积核在图片上滑动，在每个位置求乘积之和。PyTorch 不翻转卷积核，严格说这是互相关。
# 3. 过非线性激活函数 ReLU。没有它，连着的两个卷积就等于一个卷积。
# 4. 池化：每个 2 × 2 方格只留最大值。
# 5. 重复第 2 到第 4 步，把剩下的展平，再用线性层变成 logits。
# 6. 计算损失及其梯度。
# 7. 由优化器更新权重。然后取下一个批次，回到第 2 步。

# %%
torch.manual_seed(0)
in_shape = tuple(x.shape[1:])
model = CNN(in_shape)  # step 1
h = x[:32]
print(f"{'input':<12} {list(h.shape)!s:<18} parameters")
for layer in [*model.features, *model.head]:  # steps 2 to 5
    h = layer(h)
    own = sum(p.numel() for p in layer.parameters())
    print(f"{type(layer).__name__:<12} {list(h.shape)!s:<18} {own}")
loss = F.cross_entropy(h, y[:32])  # step 6
loss.backward()
before = evaluate(model, (x[:32], y[:32])).loss
torch.optim.SGD(model.parameters(), lr=0.1).step()  # step 7
after = evaluate(model, (x[:32], y[:32])).loss
print("one step lowers the loss of this batch:", after < before)
assert after < before

# %% [markdown] tags=["en"]
# ## The size of a feature map { #size }
#
# With a window of $k$ pixels, a padding of $p$ and a stride of $s$, a side of $H$ pixels becomes $\lfloor (H + 2p - k)/s \rfloor + 1$. Pooling follows the same rule with $s = k$. The linear layer behind the flatten must expect channels times height times width.
#
# The function below checks the rule against PyTorch. Then it follows 28 x 28 pictures through two 3 x 3 convolutions without padding, 64 filters in the second, in two networks that are often mixed up: one pools once at the end, the other pools after each convolution. The number for the first does not fit the second.

# %% [markdown] tags=["zh"] translates="10eb0084"
# ## 特征图有多大 { #size }
#
# 窗口边长 $k$、填充 $p$、步幅 $s$ 时，边长 $H$ 变成 $\lfloor (H + 2p - k)/s \rfloor + 1$。池化也是这条规则，只是 $s = k$。展平之后的线性层，输入个数必须等于通道数乘高乘宽。
#
# 下面先把这条规则与 PyTorch 对照，再让 28 × 28 的图片经过两个不填充的 3 × 3 卷积（第二个有 64 个卷积核）。有两种网络常被弄混：一种只在最后池化一次，另一种每个卷积后都池化。前者的数字用不到后者身上。


# %%
def size(side, k, p=0, s=1):
    return (side + 2 * p - k) // s + 1


settings = [(8, 3, 1, 1), (28, 3, 0, 1), (13, 2, 0, 2), (32, 5, 2, 3)]
for side, k, p, s in settings:
    layer = nn.Conv2d(1, 1, k, stride=s, padding=p)
    shape = layer(torch.zeros(1, 1, side, side)).shape
    assert shape[-1] == size(side, k, p, s)

once = size(size(size(28, 3), 3), 2, s=2)
twice = size(size(size(size(28, 3), 2, s=2), 3), 2, s=2)
for sides in ((28, 26, 24, once), (28, 26, 13, 11, twice)):
    print(*sides, sep=" -> ", end="")
    print(f": 64 * {sides[-1]} * {sides[-1]} = {64 * sides[-1] ** 2} numbers")

# %% [markdown] tags=["en"]
# ## Training { #training }
#
# Steps 2 to 7, for all batches of 30 epochs, are one call to [fit][dlguide.train.fit]. [CNN][dlguide.models.CNN] works out the size of its linear layer from the shape of a picture, so the same line trains on MNIST.

# %% [markdown] tags=["zh"] translates="24ae6c70"
# ## 训练 { #training }
#
# 第 2 到第 7 步，对 30 轮里的所有批次，就是一次 [fit][dlguide.train.fit] 调用。[CNN][dlguide.models.CNN] 会根据图片的形状自己算出线性层的大小，所以同一行代码也能在 MNIST 上训练。

# %%
torch.manual_seed(0)
model = CNN(in_shape)
history = fit(
    model,
    data.train,
    data.validation,
    epochs=30,
    lr=1e-3,
    device=DEVICE,
)
best = history.best_epoch - 1
print("trained for", len(history.train_loss), "epochs")
held_out = history.validation_accuracy[best]
print("validation accuracy above 0.97:", held_out > 0.97)

# %% alt_en="Two charts over 30 epochs: training loss goes to zero, validation loss stays a little above it; both accuracies come close to one" alt_zh="两幅横轴为 30 轮的曲线图：训练损失趋近于零，验证损失略高于它，两条准确率曲线都接近 1"
history.plot()
plt.show()

# %% [markdown] tags=["en"]
# The training loss goes on falling when the validation loss no longer does: from there on the network learns its training pictures by heart. The weights that are kept are those of the dotted line.
#
# ## The test part, once { #test }
#
# Training is finished, and nothing more will be chosen. Only now does the test part come in.

# %% [markdown] tags=["zh"] translates="9544df22"
# 验证损失不再下降以后，训练损失还在降：从那里开始，网络只是在背训练图片。最后留下的是虚线处的权重。
#
# ## 测试集，只看一次 { #test }
#
# 训练已经结束，不会再做任何选择，这时才轮到测试集。

# %%
test = evaluate(model, data.test)
n = len(data.test)
error = (test.accuracy * (1 - test.accuracy) / n) ** 0.5
print(f"test accuracy {test.accuracy:.3f} +- {error:.3f} ({n} pictures)")
assert test.accuracy >= 0.98

# %% [markdown] tags=["en"]
# ## What it has learned { #filters }
#
# The first layer has 32 filters of 3 x 3 weights. Below are the first 8 of them, and under each what it makes of one digit after the ReLU: bright where the picture looks like the filter, dark where it does not. Nobody has drawn these filters. They are what made the loss small.

# %% [markdown] tags=["zh"] translates="2831cee7"
# ## 它学到了什么 { #filters }
#
# 第一层有 32 个 3 × 3 的卷积核。下面画出前 8 个，每个卷积核下面是它作用在同一个数字上、再过 ReLU 的结果：图片和卷积核像的地方亮，不像的地方暗。这些卷积核不是谁设计的，而是让损失变小的过程中自己形成的。

# %% alt_en="Two rows of eight squares: above, filters of 3 by 3 weights; below, the same digit as each filter sees it, with different parts of it bright" alt_zh="两行各八个方块：上面是 3 × 3 的卷积核，下面是同一个数字经过各个卷积核后的样子，亮的部位各不相同"
model = model.to("cpu")
filters = model.features[0].weight.detach()  # [32, 1, 3, 3]
with torch.no_grad():
    maps = F.relu(model.features[0](x[:1]))[0]  # [32, H, W]
figure, axes = plt.subplots(2, 8, figsize=(7, 2))
for i in range(8):
    axes[0, i].imshow(filters[i, 0].numpy(), cmap="gray")
    axes[1, i].imshow(maps[i].numpy(), cmap="gray")
for ax in axes.flat:
    ax.axis("off")
plt.show()

# %% [markdown] tags=["en"]
# ## What goes wrong { #what-goes-wrong }
#
# **A flatten that regroups the batch.** `view(-1, k)` asks for rows of $k$ numbers and lets PyTorch work out how many rows. If $k$ is wrong, the rows no longer are pictures. When the sizes happen to divide, no error says so. Here 9 pictures of 256 numbers become 16 rows of 144: none is a whole picture, and half of them hold pieces of two. `flatten(1)` cannot do that: it never touches the batch dimension.

# %% [markdown] tags=["zh"] translates="88191d99"
# ## 常见错误 { #what-goes-wrong }
#
# **展平时打乱了批次。** `view(-1, k)` 要求每行 $k$ 个数，行数由 PyTorch 去凑。$k$ 写错时，一行就不再是一张图片；碰巧能整除时，连报错都没有。下面 9 张图片、每张 256 个数，变成了 16 行、每行 144 个数：没有一行是完整的图片，其中一半还掺着两张图片。`flatten(1)` 不会出这种事，它从不碰批次那一维。

# %%
small = CNN((1, 8, 8)).features  # [N, 64, 2, 2]: 256 numbers for a picture
for n in (9, 32):
    h = small(torch.zeros(n, 1, 8, 8))
    try:
        rows = h.view(-1, 144)
        print(n, "pictures ->", len(rows), "rows with view(-1, 144)")
    except RuntimeError as e:
        print(n, "pictures -> RuntimeError:", e)
    print(n, "pictures ->", len(h.flatten(1)), "rows with flatten(1)")
for n in range(1, 33):
    assert small(torch.zeros(n, 1, 8, 8)).flatten(1).shape == (n, 256)

# %% [markdown] tags=["en"]
# The loss usually notices, because it counts the targets. [fit][dlguide.train.fit] says in one sentence what is wrong:

# %% [markdown] tags=["zh"] translates="e6b81224"
# 损失函数一般会发现，因为它要数目标的个数。[fit][dlguide.train.fit] 会用一句话说明错在哪里：


# %%
class Regroups(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = CNN((1, 8, 8)).features
        self.out = nn.Linear(144, 10)

    def forward(self, x):
        return self.out(self.features(x).view(-1, 144))


nine = (torch.zeros(9, 1, 8, 8), torch.zeros(9, dtype=torch.long))
try:
    fit(Regroups(), nine, nine, epochs=1, device="cpu")
except ValueError as e:
    print("ValueError:", e)

# %% [markdown] tags=["en"]
# **`eval()` is forgotten.** The CNN above has no layer that behaves differently in training, so here it does no harm. With batch normalisation or dropout it does: in training mode the answer for a picture depends on the other pictures of its batch, or on chance. In `eval` mode it depends on the picture alone.

# %% [markdown] tags=["zh"] translates="db0b4da8"
# **忘了 `eval()`。** 上面的 CNN 没有训练和推理行为不同的层，所以忘了也没事。一旦加上批量归一化或 Dropout 就不同了：在训练模式下，一张图片的结果取决于同一批次里的其他图片，或者取决于运气；在 `eval` 模式下只取决于这张图片自己。

# %%
torch.manual_seed(0)
unsteady = nn.Sequential(
    nn.Conv2d(1, 8, 3),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(1),
    nn.Linear(8, 10),
)
pictures = x[:8]
for mode in ("train", "eval"):
    unsteady.train(mode == "train")
    with torch.no_grad():
        together, alone = unsteady(pictures)[:1], unsteady(pictures[:1])
    same = torch.allclose(together, alone, atol=1e-5)
    print(f"{mode}: same answer in a batch and alone: {same}")

# %% [markdown] tags=["en"]
# **The test part is used for validation.** Then the best epoch is chosen by the test part, and the accuracy that is reported is the largest of 30, not the accuracy of a network. Split off a validation part, as [load][dlguide.data.load] does.
#
# **Nothing is evaluated.** A falling training loss does not show that the network reads digits it has not seen.
#
# ## Exercises { #exercises }
#
# 1. Shift every validation picture one pixel to the right. Which loses more accuracy, the CNN or an MLP? Why?
# 2. Build a head that works for pictures of any size, without knowing height and width. `nn.AdaptiveAvgPool2d(1)` takes the mean of each feature map.

# %% [markdown] tags=["zh"] translates="237268cb"
# **拿测试集当验证集。** 这样最佳轮次是用测试集挑的，报告出来的准确率是 30 个数里最大的那个，而不是一个网络的准确率。要像 [load][dlguide.data.load] 那样单独分出一份验证集。
#
# **根本没有评估。** 训练损失下降，并不说明网络认得没见过的数字。
#
# ## 练习 { #exercises }
#
# 1. 把每张验证图片向右平移一个像素，CNN 和 MLP 哪个准确率掉得多？为什么？
# 2. 写一个不需要知道高和宽、任何尺寸的图片都能用的输出头。`nn.AdaptiveAvgPool2d(1)` 对每张特征图取平均。

# %% [markdown] tags=["en"]
# <details markdown="1">
# <summary>Solution 1</summary>
#
# The MLP has a weight of its own for each pixel, so a shifted digit meets other weights. The filters of the CNN are the same everywhere, and pooling forgives a small shift. It still loses a good deal, because its linear layers do have a weight for each place.

# %% [markdown] tags=["zh"] translates="4ed6a1e7"
# <details markdown="1">
# <summary>答案 1</summary>
#
# MLP 对每个像素都有单独的权重，数字一平移就碰上了别的权重。CNN 的卷积核在各处都一样，池化又能容忍小的平移。它也会掉不少，因为后面的线性层仍然是每个位置一个权重。

# %%
torch.manual_seed(0)
mlp = MLP(x[0].numel())
fit(mlp, data.train, data.validation, epochs=30, lr=1e-3, device="cpu")
straight, labels = data.validation.tensors
paper = straight.min()  # what an empty pixel is after standardising
shifted = F.pad(straight, (1, 0), value=paper.item())[..., :-1]
kept = {}
for name, network in (("MLP", mlp), ("CNN", model)):
    kept[name] = evaluate(network, (shifted, labels)).accuracy
    whole = evaluate(network, (straight, labels)).accuracy
    print(f"{name}: straight {whole:.2f}, shifted {kept[name]:.2f}")
assert kept["CNN"] > kept["MLP"]

# %% [markdown] tags=["en"]
# </details>
#
# <details markdown="1">
# <summary>Solution 2</summary>

# %% [markdown] tags=["zh"] translates="7b001f61"
# </details>
#
# <details markdown="1">
# <summary>答案 2</summary>

# %%
any_size = nn.Sequential(
    *CNN((1, 8, 8)).features,
    nn.AdaptiveAvgPool2d(1),  # [N, 64, H/4, W/4] -> [N, 64, 1, 1]
    nn.Flatten(1),
    nn.Linear(64, 10),
)
for side in (8, 28, 33):
    logits = any_size(torch.zeros(5, 1, side, side))
    print(f"{side} x {side} ->", list(logits.shape))
    assert logits.shape == (5, 10)

# %% [markdown] tags=["en"]
# </details>
#
# ## References { #references }
#
# - [PyTorch: torch.nn.Conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html), with the formula of the output size
# - [PyTorch: torch.flatten](https://docs.pytorch.org/docs/stable/generated/torch.flatten.html)
# - [PyTorch: torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html), what training and evaluation mode compute
# - The next lab: [Digit rows with RNN, LSTM and GRU](digits-rnn.py)

# %% [markdown] tags=["zh"] translates="f2c2cfcf"
# </details>
#
# ## 参考资料 { #references }
#
# - [PyTorch：torch.nn.Conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html)，含输出大小的公式
# - [PyTorch：torch.flatten](https://docs.pytorch.org/docs/stable/generated/torch.flatten.html)
# - [PyTorch：torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)，训练模式和推理模式各算什么
# - 下一个实验：[用 RNN、LSTM、GRU 逐行读数字](digits-rnn.py)
