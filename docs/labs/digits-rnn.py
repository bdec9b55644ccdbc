# ---
# kind: lab
# minutes: 25
# needs: [labs/digits-mlp]
# description:
#   en: Read digits row by row with an RNN, an LSTM and a GRU, to at least 95 % each; what their gates cost, what they remember, and how padding is kept out.
#   zh: 用 RNN、LSTM、GRU 逐行读手写数字，准确率都不低于 95 %；门要花多少参数，能记住多远，怎样不让填充混进来。
# ---

# %% [markdown] tags=["en"]
# # Digit rows with RNN, LSTM and GRU { #digits-rnn }
#
# A recurrent network reads a sequence one step at a time and keeps a summary of what it has read. Here the sequence is a picture: 8 rows of 8 pixels, from top to bottom. You run the recurrence by hand, train three kinds of cell to at least 95 %, measure how far back they remember, and keep padding out of the result.
#
# After this lab you can:
#
# - name the five steps of a recurrent network, and say what is a parameter and what is not;
# - work out the parameters of an RNN, a GRU and an LSTM from the number of their gates;
# - measure how much of the gradient reaches the first step of a long sequence;
# - classify sequences of different lengths in one batch.

# %% [markdown] tags=["zh"] translates="58d21ccf"
# # 用 RNN、LSTM、GRU 逐行读数字 { #digits-rnn }
#
# 循环神经网络（RNN）一步一步地读序列，边读边保留一份读过内容的摘要。这里的序列就是一张图片：从上到下 8 行，每行 8 个像素。这个实验先手工走一遍循环，再把三种循环单元都训练到 95 % 以上，测一测它们能记住多远，最后让填充不影响结果。
#
# 做完这个实验你能：
#
# - 说出循环神经网络的五个步骤，分清什么是参数、什么不是；
# - 由门的个数算出 RNN、GRU、LSTM 的参数量；
# - 测量长序列里有多少梯度能传回第一步；
# - 在一个批次里给长短不一的序列分类。

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from dlguide.data import load
from dlguide.models import RNNClassifier
from dlguide.train import choose_device, evaluate, fit, predict

DATA = "digits"  # or "mnist": 28 rows of 28 pixels
DEVICE = choose_device("auto")  # CUDA, else MPS, else CPU

data = load(DATA, layout="rows", standardize=True)
x, y = data.train.tensors
print("sequences [N, steps, numbers in a step]:", list(x.shape))

# %% alt_en="A handwritten digit on the left; on the right its eight rows, one below the other with gaps, marked as steps 1 to 8" alt_zh="左边是一个手写数字，右边是它的八行，彼此隔开，标为第 1 步到第 8 步"
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.6))
left.imshow(x[0].numpy(), cmap="gray_r")
left.axis("off")
steps, width = x[0].shape
apart = torch.full((2 * steps, width), float("nan"))
apart[::2] = x[0]  # an empty row after each row
right.imshow(apart.numpy(), cmap="gray_r", aspect="auto")
names = [f"step {t}" for t in range(1, steps + 1)]
right.set_yticks(range(0, 2 * steps, 2), names)
right.set_xticks([])
plt.show()

# %% [markdown] tags=["en"]
# ## Five steps { #steps }
#
# 1. Draw the weights and biases at random. Set the hidden state to zero. The hidden state is not a parameter: it belongs to a sequence, not to the network, and no optimizer moves it.
# 2. Take step $t$ of the sequence and compute the next hidden state, $h_t = \tanh(x_t W_{ih}^\top + b_{ih} + h_{t-1} W_{hh}^\top + b_{hh})$. The same weights serve at every step.
# 3. After the last step, turn the last hidden state into logits with a linear layer.
# 4. Compute the loss, and its gradients by going back through all steps: backpropagation through time.
# 5. Let the optimizer move the weights, and take the next batch.
#
# Steps 1 to 3 by hand, and the same by `nn.RNN`:

# %% [markdown] tags=["zh"] translates="404b7528"
# ## 五个步骤 { #steps }
#
# 1. 随机初始化权重和偏置，隐藏状态置零。隐藏状态不是参数：它属于某一条序列，不属于网络，优化器也不会去更新它。
# 2. 取序列的第 $t$ 步，算出新的隐藏状态 $h_t = \tanh(x_t W_{ih}^\top + b_{ih} + h_{t-1} W_{hh}^\top + b_{hh})$。每一步用的都是同一组权重。
# 3. 走完最后一步，用线性层把最后的隐藏状态变成 logits。
# 4. 计算损失，再沿着所有时间步倒着求梯度，这叫随时间反向传播（BPTT）。
# 5. 由优化器更新权重，然后取下一个批次。
#
# 第 1 到第 3 步，先手工算，再用 `nn.RNN` 算：

# %%
torch.manual_seed(0)
rnn = nn.RNN(width, 16, batch_first=True)
out = nn.Linear(16, 10)
w_ih, w_hh, b_ih, b_hh = rnn.parameters()
print("parameters:", [name for name, _ in rnn.named_parameters()])

h = torch.zeros(5, 16)  # five sequences, nothing read yet
for t in range(steps):
    h = torch.tanh(x[:5, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
logits = out(h)
print("hidden state", list(h.shape), "- logits", list(logits.shape))

states, last = rnn(x[:5])  # [N, steps, 16], and the last [1, N, 16]
print("equal to nn.RNN:", torch.allclose(h, last[0], atol=1e-5))
print("all states end with it:", torch.equal(states[:, -1], last[0]))
assert torch.allclose(h, last[0], atol=1e-5)

# %% [markdown] tags=["en"]
# ## What a gate costs { #gates }
#
# Each gate of a cell is one affine map of $x_t$ and $h_{t-1}$. With $I$ numbers in a step (the width of a row) and $H$ in the hidden state it has $H I + H^2 + 2H$ parameters (PyTorch keeps two biases for each gate). A plain RNN has one such map, a GRU three, an LSTM four.

# %% [markdown] tags=["zh"] translates="ac4cc892"
# ## 一个门要多少参数 { #gates }
#
# 循环单元的每个门都是 $x_t$ 和 $h_{t-1}$ 的一个仿射变换。一步有 $I$ 个数（一行的宽度）、隐藏状态有 $H$ 个数时，一个门有 $H I + H^2 + 2H$ 个参数（PyTorch 每个门存两个偏置）。普通 RNN 只有一个这样的变换，GRU 有三个，LSTM 有四个。

# %%
H = 64
gate = H * width + H * H + 2 * H
print("one gate:", gate)
for cell, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    recurrent = RNNClassifier(cell, width, H).rnn
    counted = sum(p.numel() for p in recurrent.parameters())
    print(f"{cell:<4} {gates} x {gate} = {counted}")
    assert counted == gates * gate

# %% [markdown] tags=["en"]
# ## Training the three { #training }
#
# The same data, the same 40 epochs, the same optimizer. Each test accuracy is looked at once, after its training, and nothing is chosen by it.

# %% [markdown] tags=["zh"] translates="709c7087"
# ## 训练三种单元 { #training }
#
# 数据相同，都训练 40 轮，优化器也相同。每个测试准确率只在训练结束后看一次，不用它做任何选择。

# %%
models, histories = {}, {}
for cell in ("RNN", "GRU", "LSTM"):
    torch.manual_seed(0)
    models[cell] = RNNClassifier(cell, width)
    histories[cell] = fit(
        models[cell],
        data.train,
        data.validation,
        epochs=40,
        lr=3e-3,
        device=DEVICE,
    )
    test = evaluate(models[cell], data.test)
    print(f"{cell:<4} test accuracy {test.accuracy:.3f}")
    assert test.accuracy >= 0.95

# %% alt_en="Validation loss of the RNN, the GRU and the LSTM over 40 epochs: all three fall quickly within ten epochs and then stay low" alt_zh="RNN、GRU、LSTM 在 40 轮中的验证损失：三条曲线都在前十轮迅速下降，之后保持在低处"
figure, ax = plt.subplots(figsize=(7, 3))
for cell, history in histories.items():
    ax.plot(range(1, 41), history.validation_loss, label=cell)
ax.set(xlabel="epoch", ylabel="validation loss", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown] tags=["en"]
# With 8 steps all three are good, and the differences are within the error of 360 pictures. A cell with gates is not better by itself. It was made for long sequences.
#
# ## How far back does it remember? { #memory }
#
# Take sequences of 50 steps and ask how strongly the last hidden state depends on each step: the size of the gradient of the last state with respect to $x_t$. If it is close to zero for the first steps, no training can learn from them.
#
# Going back one step multiplies the gradient by the same kind of factor each time. Below 1, fifty factors leave nothing; above 1 they explode. An LSTM adds a cell state that is multiplied by its forget gate only. If that gate is open, the factor is close to 1. A fresh `nn.LSTM` starts with forget gates that are about half open, so it forgets as fast as the others. A forget bias of 2 opens them.

# %% [markdown] tags=["zh"] translates="5c9d270f"
# 只有 8 步时三种单元都不错，差别没有超出 360 张图片的误差。带门的单元并不天生更好，它们是为长序列设计的。
#
# ## 它能记住多远？ { #memory }
#
# 取 50 步长的序列，看最后的隐藏状态对每一步的依赖有多强，也就是最后状态对 $x_t$ 的梯度有多大。如果开头几步的梯度接近零，怎么训练也学不到开头的内容。
#
# 每往回走一步，梯度就乘上一个差不多的因子。因子小于 1，乘五十次就什么都不剩；大于 1 则会爆炸。LSTM 多了一个细胞状态，它只和遗忘门相乘，门打开时因子接近 1。刚建好的 `nn.LSTM`，遗忘门大约半开，所以忘得和别的单元一样快；把遗忘门偏置设为 2，门才打开。


# %%
def gradient_sizes(cell, forget_bias=None, length=50):
    torch.manual_seed(0)
    net = cell(8, 64, batch_first=True).double()
    if forget_bias is not None:  # in the order input, forget, cell, output
        with torch.no_grad():
            net.bias_ih_l0[64:128] = forget_bias
            net.bias_hh_l0[64:128] = 0
    sequences = torch.randn(16, length, 8).double().requires_grad_()
    states, _ = net(sequences)
    states[:, -1].sum().backward()
    return sequences.grad.norm(dim=(0, 2))  # one number for each step


sizes = {
    "RNN": gradient_sizes(nn.RNN),
    "GRU": gradient_sizes(nn.GRU),
    "LSTM": gradient_sizes(nn.LSTM),
    "LSTM, forget bias 2": gradient_sizes(nn.LSTM, forget_bias=2.0),
}
for name, g in sizes.items():
    print(f"{name:<20} first step / last step: {g[0] / g[-1]:.0e}")
closed, opened = sizes["LSTM"], sizes["LSTM, forget bias 2"]
assert closed[0] / closed[-1] < 1e-6
assert opened[0] / opened[-1] > 1e-2

# %% alt_en="Size of the gradient at each of 50 steps on a logarithmic scale: for RNN, GRU and LSTM it falls nearly in a straight line over about ten powers of ten towards the first step; for the LSTM with forget bias 2 it stays nearly level" alt_zh="50 步中每一步的梯度大小（对数坐标）：RNN、GRU、LSTM 越往第一步越小，近似直线地跌落约十个数量级；遗忘门偏置为 2 的 LSTM 几乎持平"
figure, ax = plt.subplots(figsize=(7, 3.2))
for name, g in sizes.items():
    ax.semilogy(range(1, 51), g, label=name)
ax.set(xlabel="step of the sequence", ylabel="size of the gradient")
ax.legend()
plt.show()

# %% [markdown] tags=["en"]
# So gates do not abolish the problem, they make it solvable: the network can learn to open them. The opposite, exploding gradients, is met by clipping the norm of the gradient.
#
# ## Sequences of different lengths { #lengths }
#
# A batch is one tensor, so shorter sequences are filled up with padding. Without further notice the network reads the padding as if it were data. Given the lengths, [RNNClassifier][dlguide.models.RNNClassifier] packs the batch (`pack_padded_sequence`), and each sequence ends at its own last step.
#
# Below, each picture gets four rows of padding. With lengths it does not matter what stands there.

# %% [markdown] tags=["zh"] translates="1f2d2057"
# 可见门并不能消除这个问题，只是让它有了解法：网络可以学会把门打开。相反的情形是梯度爆炸，办法是裁剪梯度的范数。
#
# ## 长短不一的序列 { #lengths }
#
# 一个批次是一个张量，短的序列要用填充补齐。不特别说明的话，网络会把填充当数据读进去。给出长度以后，[RNNClassifier][dlguide.models.RNNClassifier] 会把批次打包（`pack_padded_sequence`），每条序列在自己的最后一步结束。
#
# 下面给每张图片补四行填充。只要给了长度，填充里写什么都无所谓。

# %%
x_val, y_val = data.validation.tensors
model = models["GRU"].to("cpu")
lengths = torch.full((len(x_val),), steps)
plain = predict(model, x_val)
for filling in (0.0, 3.0):
    padding = torch.full((len(x_val), 4, width), filling)
    padded = torch.cat([x_val, padding], dim=1)
    packed = predict(model, padded, lengths)
    read = (predict(model, padded) == y_val).float().mean()
    same = torch.equal(packed, plain)
    print(f"padding {filling}: with lengths the same classes: {same}")
    print(f"             without lengths accuracy {read:.1f}")
    assert torch.equal(packed, plain)
    assert read < 0.9

# %% [markdown] tags=["en"]
# ## What goes wrong { #what-goes-wrong }
#
# **Batch and time are swapped.** By default the recurrent layers of PyTorch expect `[steps, N, numbers]`. Given `[N, steps, numbers]` they do not complain: they read across the pictures of the batch. Only the shape of the state shows it, and when N equals the number of steps not even that. `batch_first=True` says what is meant.

# %% [markdown] tags=["zh"] translates="abdb9962"
# ## 常见错误 { #what-goes-wrong }
#
# **批次和时间弄反了。** PyTorch 的循环层默认要 `[步数, N, 每步的数]`。给它 `[N, 步数, 每步的数]` 也不会报错，只是变成了横着读一个批次里的各张图片。只有从状态的形状才看得出来；如果 N 恰好等于步数，连形状都看不出来。写明 `batch_first=True`，读的才是行。

# %%
five = torch.zeros(5, 8, 8)  # five pictures of eight rows
for batch_first in (True, False):
    _, state = nn.GRU(8, 16, batch_first=batch_first)(five)
    print(f"batch_first={batch_first}: last state {list(state.shape)}")

# %% [markdown] tags=["en"]
# **Every step is classified.** The first result of a recurrent layer holds the hidden states of all steps. Put through the linear layer it gives logits for each step, and the loss does not fit. Take the last state.

# %% [markdown] tags=["zh"] translates="0a8b483f"
# **给每一步都分了类。** 循环层的第一个返回值是所有时间步的隐藏状态，直接过线性层，每一步都有一组 logits，和损失对不上。要取最后一个状态。

# %%
every_step = out(rnn(x[:5])[0])
print("logits", list(every_step.shape))
try:
    nn.functional.cross_entropy(every_step, y[:5])
except (RuntimeError, ValueError) as e:
    print(f"{type(e).__name__}:", e)

# %% [markdown] tags=["en"]
# **Pictures instead of rows.** A channel dimension does not belong here; the message says where rows come from.

# %% [markdown] tags=["zh"] translates="bc5a0a5d"
# **给的是图片而不是行。** 这里不该有通道那一维，报错会说明行序列从哪里来。

# %%
try:
    model(load("digits").train.tensors[0])
except ValueError as e:
    print("ValueError:", e)

# %% [markdown] tags=["en"]
# ## Exercises { #exercises }
#
# 1. How many parameters has the recurrent part of a GRU with 28 numbers in a step and 100 in the hidden state? Work it out, then count.
# 2. Read the digits column by column instead of row by row, and train a GRU in the same way. Does it matter?

# %% [markdown] tags=["zh"] translates="b91aaabe"
# ## 练习 { #exercises }
#
# 1. 一个 GRU 每步 28 个数、隐藏状态 100 个数，它的循环部分有多少参数？先算，再数。
# 2. 把数字改成逐列读，用同样的方法训练一个 GRU。有影响吗？

# %% [markdown] tags=["en"]
# <details markdown="1">
# <summary>Solution 1</summary>
#
# Three gates, each with $100 \cdot 28 + 100^2 + 2 \cdot 100$ parameters.

# %% [markdown] tags=["zh"] translates="fab90a7c"
# <details markdown="1">
# <summary>答案 1</summary>
#
# 三个门，每个门有 $100 \cdot 28 + 100^2 + 2 \cdot 100$ 个参数。

# %%
worked_out = 3 * (100 * 28 + 100**2 + 2 * 100)
counted = sum(p.numel() for p in nn.GRU(28, 100).parameters())
print(worked_out, counted)
assert worked_out == counted

# %% [markdown] tags=["en"]
# </details>
#
# <details markdown="1">
# <summary>Solution 2</summary>
#
# Swapping the last two dimensions turns rows into columns. It matters little: in either direction a digit is a sequence of strokes, and the network can learn both.

# %% [markdown] tags=["zh"] translates="db0a9345"
# </details>
#
# <details markdown="1">
# <summary>答案 2</summary>
#
# 把最后两维互换，行就变成了列。影响不大：无论从哪个方向看，一个数字都是一串笔画，两种读法网络都学得会。

# %%
torch.manual_seed(0)
model = RNNClassifier("GRU", steps)  # a column has as many pixels as rows
parts = (data.train.tensors, data.validation.tensors)
by_columns = [(rows.mT, classes) for rows, classes in parts]
run = fit(model, *by_columns, epochs=40, lr=3e-3, device=DEVICE)
accuracy = run.validation_accuracy[run.best_epoch - 1]
print("validation accuracy above 0.95:", accuracy > 0.95)
assert accuracy > 0.9

# %% [markdown] tags=["en"]
# </details>
#
# ## References { #references }
#
# - [Pascanu, Mikolov and Bengio: On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063), vanishing and exploding gradients
# - [PyTorch: torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html), the equations, the order of the gates, `batch_first`
# - [PyTorch: pack_padded_sequence](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html)
# - The code of this lab's models: [dlguide.models](../reference/models.md)

# %% [markdown] tags=["zh"] translates="df1ef6bd"
# </details>
#
# ## 参考资料 { #references }
#
# - [Pascanu、Mikolov、Bengio：On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063)，梯度消失与梯度爆炸
# - [PyTorch：torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)，公式、门的顺序、`batch_first`
# - [PyTorch：pack_padded_sequence](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html)
# - 本实验所用模型的代码：[dlguide.models](../reference/models.md)
