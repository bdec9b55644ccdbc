"""LeNet, ResNet, VGG, SpeedyNet and transfer learning against closed forms and torchvision."""

import copy
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models as torchvision_models

from dlguide.models import VGG, BasicBlock, LeNet, ResNet, SpeedyNet, Transfer, pretrained


def count(module):
    return sum(p.numel() for p in module.parameters())


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# LeNet


def test_lenet_has_the_62006_parameters_of_the_closed_form():
    layers = [(3 * 25 + 1) * 6, (6 * 25 + 1) * 16, (400 + 1) * 120, (120 + 1) * 84, (84 + 1) * 10]
    assert count(LeNet()) == sum(layers) == 62_006


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_lenet_fits_every_size_that_leaves_a_pixel(padding):
    features = nn.Sequential(nn.Conv2d(1, 1, 5, padding=padding), nn.MaxPool2d(2),
                             nn.Conv2d(1, 1, 5, padding=padding), nn.MaxPool2d(2))  # fmt: skip
    for height, width in [(n, 40) for n in range(1, 41)] + [(33, n) for n in range(1, 41)]:
        try:
            left = features(torch.zeros(1, 1, height, width)).shape[2:]
        except RuntimeError:  # torch itself finds nothing left
            with pytest.raises(ValueError, match=f"got {height} x {width}"):
                LeNet((1, height, width), padding=padding)
            continue
        model = LeNet((1, height, width), padding=padding)
        assert model.head[1].in_features == 16 * left.numel()
        assert model(torch.zeros(1, 1, height, width)).shape == (1, 10)


def test_lenet_names_the_smallest_picture():
    for padding in (0, 1, 2):
        with pytest.raises(ValueError, match="expected at least") as caught:
            LeNet((1, 1, 1), padding=padding)
        smallest = int(str(caught.value).split()[3])
        LeNet((1, smallest, smallest), padding=padding)
        with pytest.raises(ValueError, match="expected at least"):
            LeNet((1, smallest - 1, smallest), padding=padding)


def test_lenet_is_its_layers():
    model = LeNet().double()
    x = random(5, 3, 32, 32)
    w = list(model.parameters())
    h = F.max_pool2d(F.relu(F.conv2d(x, w[0], w[1])), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, w[2], w[3])), 2).reshape(5, -1)
    h = F.relu(F.relu(h @ w[4].T + w[5]) @ w[6].T + w[7])
    torch.testing.assert_close(model(x), h @ w[8].T + w[9], rtol=0, atol=1e-12)


# ResNet


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_whose_branch_is_zero_is_a_relu_and_on_what_a_relu_made_the_identity(stride):
    block: Any = BasicBlock(6, 6, stride).double()
    nn.init.zeros_(block.branch[-1].weight)
    x = random(4, 6, 5, 7)
    if stride == 1:
        assert torch.equal(block(x), x.relu())
        assert torch.equal(block(x.relu()), x.relu())
        assert not torch.equal(block(x), x)
    else:  # a shortcut that changes the size is no identity
        torch.testing.assert_close(block(x), block.shortcut(x).relu())


def test_zero_branches_start_every_block_with_a_plain_shortcut_as_the_identity():
    model: Any = ResNet(20, zero_branches=True)
    plain = [block for block in model.blocks if isinstance(block.shortcut, nn.Identity)]
    assert len(plain) == 7  # 9 blocks, 2 of which change the size
    seen = []
    for block in plain:
        block.register_forward_hook(lambda _, inputs, output: seen.append(torch.equal(inputs[0], output)))
    model(torch.randn(2, 3, 16, 16))
    assert seen == [True] * 7
    loss = model(torch.randn(2, 3, 16, 16)).square().sum()
    loss.backward()
    assert all(block.branch[-1].weight.grad.abs().sum() > 0 for block in plain)  # and still they can learn


def test_resnet18_is_torchvisions_parameter_for_parameter():
    ours, theirs = ResNet(18, num_classes=1000, stem="imagenet"), torchvision_models.resnet18()
    assert count(ours) == count(theirs) == 11_689_512
    source, target = theirs.state_dict(), ours.state_dict()
    assert [v.shape for v in source.values()] == [v.shape for v in target.values()]
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # running values that matter
            module.running_mean.copy_(0.1 * torch.randn_like(module.running_mean))
            module.running_var.copy_(torch.rand_like(module.running_var) + 0.5)
    ours.load_state_dict(dict(zip(target, theirs.state_dict().values(), strict=True)))
    x = random(2, 3, 70, 64, dtype=torch.float32)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(x), theirs.train(mode)(x), rtol=1e-4, atol=1e-5)


def test_resnet34_has_torchvisions_number_of_parameters():
    with torch.device("meta"):
        ours, theirs = ResNet(34, num_classes=1000, stem="imagenet"), torchvision_models.resnet34()
        assert count(ours) == count(theirs) == 21_797_672


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_the_cifar_networks_have_the_closed_form(depth):
    n, c, total = (depth - 2) // 6, 3, 0
    for width in (16, 32, 64):
        first = c if c != 3 else width
        if c == 3:
            total += 3 * 9 * 16 + 32
        total += first * 9 * width + 9 * width * width + 4 * width + (n - 1) * (18 * width * width + 4 * width)
        total += first * width + 2 * width if first != width else 0
        c = width
    with torch.device("meta"):
        model = ResNet(depth)
    assert count(model) == total + 64 * 10 + 10
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) + 1 == depth


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (33, 40)])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_resnet_takes_any_size(size, stem):
    assert ResNet(8, 1, stem=stem).eval()(torch.zeros(2, 1, *size)).shape == (2, 10)


# VGG


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_has_torchvisions_features(depth):
    with torch.device("meta"):
        ours = VGG(depth).features
        theirs = getattr(torchvision_models, f"vgg{depth}_bn")().features
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    kinds = [[type(m) for m in features if not isinstance(m, nn.ReLU)] for features in (ours, theirs)]
    assert kinds[0] == kinds[1]
    assert sum(isinstance(m, nn.Conv2d) for m in ours) + 3 == depth


def test_vgg11_computes_what_torchvisions_features_compute():
    torch.manual_seed(0)
    ours, theirs = VGG(11), torchvision_models.vgg11_bn(init_weights=False)
    target = ours.features.state_dict()
    ours.features.load_state_dict(dict(zip(target, theirs.features.state_dict().values(), strict=True)))
    x = random(2, 3, 32, 32, dtype=torch.float32)
    for mode in (True, False):
        h = theirs.features.train(mode)(x).flatten(1)  # one pixel is left
        torch.testing.assert_close(ours.train(mode)(x), ours.head(h), rtol=1e-4, atol=1e-5)


def test_vgg_leaves_poolings_out_where_a_pixel_is_left():
    expected = {(1, 1): 0, (2, 3): 1, (8, 8): 3, (8, 100): 3, (31, 31): 4, (32, 32): 5, (90, 90): 5}
    for size, poolings in expected.items():
        model = VGG(11, (1, *size), width=2)
        assert sum(isinstance(m, nn.MaxPool2d) for m in model.features) == poolings
        assert model.eval()(torch.zeros(2, 1, *size)).shape == (2, 10)


# SpeedyNet


def patches(x):
    """Every 2 x 2 patch by the loop: [number, 4 C]."""
    h, w = x.shape[2:]
    return torch.stack([x[n, :, i : i + 2, j : j + 2].flatten()
                        for n in range(len(x)) for i in range(h - 1) for j in range(w - 1)])  # fmt: skip


def test_whitening_makes_patches_uncorrelated_with_mean_0_and_variance_1():
    model = SpeedyNet((3, 10, 9)).double()
    x = random(20, 3, 10, 9).cumsum(3) + 2
    model.whiten(x, epsilon=0)
    h = model.whitening(x).transpose(0, 1).flatten(1)  # [24, patches]
    assert torch.equal(h[:12], -h[12:]) or torch.allclose(h[:12], -h[12:], atol=1e-10)
    torch.testing.assert_close(h[:12].mean(1), torch.zeros(12, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.cov(h[:12], correction=0), torch.eye(12, dtype=torch.float64), atol=1e-8, rtol=0)
    rows = patches(x)
    covariance = torch.cov(rows.T, correction=0)
    a = model.whitening.weight[:12].flatten(1)
    torch.testing.assert_close(a @ covariance @ a.T, torch.eye(12, dtype=torch.float64), atol=1e-8, rtol=0)
    before = torch.cov(nn.Conv2d(3, 12, 2).double()(x).transpose(0, 1).flatten(1))
    assert (before - before.diag().diag()).abs().max() > 0.01  # a convolution as it comes does not


def test_epsilon_bounds_a_direction_without_variance():
    model = SpeedyNet((1, 9, 9)).double()
    model.whiten(torch.ones(3, 1, 9, 9, dtype=torch.float64), epsilon=1e-2)  # nothing varies
    torch.testing.assert_close(model.whitening.weight[:4].flatten(1).norm(dim=1), torch.full((4,), 10.0).double())


def test_speedynet_has_the_parameters_of_the_closed_form():
    model = SpeedyNet()
    stages, before = 0, 24
    for width in (64, 256, 256):
        stages += 9 * before * width + 9 * width * width + 4 * width
        before = width
    assert count(model) == (12 * 24 + 24) + stages + 2560
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"whitening.weight"} | {f"stages.{i}.weight" for i in range(3, 27, 4)}


def test_speedynet_starts_with_the_identity_and_scales_its_logits():
    model = SpeedyNet((1, 9, 9)).double().eval()
    first = model.stages[1]
    x = random(2, 8, 6, 6)
    torch.testing.assert_close(first(x)[:, :8], x, rtol=0, atol=1e-12)
    assert first(x)[:, 8:].abs().max() > 0
    x = random(2, 1, 9, 9)
    nine = copy.deepcopy(model)
    nine.scale = 1.0
    torch.testing.assert_close(9 * model(x), nine(x))


# Transfer learning


def test_pretrained_takes_the_weights_of_a_file_and_freezes_all_but_the_head(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision_models.resnet18(num_classes=7)
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    model = pretrained("resnet18", num_classes=3, weights=tmp_path / "weights.pt")
    features = nn.Sequential(*list(theirs.children())[:-1], nn.Flatten()).eval()
    x = random(2, 3, 64, 64, dtype=torch.float32)
    torch.testing.assert_close(model.body(x), features(x))
    before = copy.deepcopy(model.state_dict())
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        F.cross_entropy(model(x), torch.tensor([0, 2])).backward()
        optimizer.step()
    assert all(p.grad is None for p in model.body.parameters())
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"head.weight", "head.bias"}  # not even the running values of BatchNorm
    model.freeze(False)
    assert model.body.training
    F.cross_entropy(model(x), torch.tensor([0, 2])).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vgg11", "vit_b_32", "convnext_tiny", "densenet121"])
def test_the_last_linear_layer_is_found_in_other_networks(name, tmp_path, monkeypatch):
    get_model = torchvision_models.get_model
    with torch.device("meta"):
        full = get_model(name)
        monkeypatch.setattr(torchvision_models, "get_model", lambda n, weights: get_model(n))
        model = pretrained(name, num_classes=3)
        assert model.head.in_features == [m for m in full.modules() if isinstance(m, nn.Linear)][-1].in_features
        assert count(model.body) == count(full) - 1000 * model.head.in_features - 1000
        if name != "vit_b_32":  # which takes 224 x 224 only
            assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_grey_pictures_are_shown_as_three_equal_channels():
    model = Transfer(nn.Flatten(), features=48, num_classes=2).double()
    x = random(3, 1, 4, 4)
    torch.testing.assert_close(model(x), model(x.repeat(1, 3, 1, 1)))


def saved(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize(("make", "error", "sentence"), [
    (lambda f: ("resnet81", f / "no"), ValueError, "no classifier 'resnet81': did you mean 'resnet18'"),
    (lambda f: ("zzz", f / "no"), ValueError, "no classifier 'zzz': see torchvision"),
    (lambda f: ("squeezenet1_0", f / "no"), ValueError, "last layer of squeezenet1_0 is a Conv2d and not a Linear"),
    (lambda f: ("resnet18", f / "no.pt"), FileNotFoundError, r"no.pt is missing: give the file that torch.save"),
    (lambda f: ("resnet18", saved(f / "a.pt", [1, 2])), ValueError, "holds no state_dict"),
    (lambda f: ("resnet18", saved(f / "a.pt", nn.Linear(1, 1))), ValueError, "is damaged or not a file of weights"),
    (lambda f: ("resnet18", saved(f / "a.pt", torchvision_models.resnet34().state_dict())), ValueError,
     r"another network than resnet18: at layer1.2.conv1.weight expected nothing, got \[64, 64, 3, 3\]"),
    (lambda f: ("resnet18", saved(f / "a.pt", {})), ValueError,
     r"at conv1.weight expected \[64, 3, 7, 7\], got nothing"),
])  # fmt: skip
def test_a_wrong_name_or_file_gets_one_sentence(make, error, sentence, tmp_path):
    name, file = make(tmp_path)
    with pytest.raises(error, match=sentence) as caught:
        pretrained(name, num_classes=3, weights=file)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_gets_one_sentence(tmp_path):
    file = saved(tmp_path / "a.pt", torchvision_models.mobilenet_v3_small().state_dict())
    whole = file.read_bytes()
    for size in (0, 10, 1000, len(whole) - 100):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"a\.pt is damaged") as caught:
            pretrained("mobilenet_v3_small", num_classes=3, weights=file)
        assert "\n" not in str(caught.value)


def test_without_a_network_the_sentence_says_how_to_bring_the_weights(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision_models, "get_model", offline)
    with pytest.raises(ConnectionError, match=r"of resnet18 cannot be downloaded \(no route to host\): give weights="):
        pretrained("resnet18", num_classes=3)


# What they say


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: LeNet()(torch.zeros(2, 1, 32, 32)),
     r"\(channels 1 instead of 3\): reshape them, or build LeNet\(in_shape=\(1, 32, 32\)\)"),
    (lambda: LeNet()(torch.zeros(2, 3, 28, 32)), r"\(height 28 instead of 32\)"),
    (lambda: LeNet((1, 28, 28), padding=-1), "expected a padding of at least 0, got -1"),
    (lambda: LeNet((0, 28, 28)), "expected a whole number of at least 1 as channels, got 0"),
    (lambda: ResNet(19), r"expected a depth of 18, 34 or 6n \+ 2 .*, got 19"),
    (lambda: ResNet(2), "expected a depth of 18"),
    (lambda: ResNet(20, stem="tree"), "expected the stem 'cifar' .* or 'imagenet' .*, got 'tree'"),
    (lambda: ResNet(8)(torch.zeros(2, 1, 8, 8)),
     r"expected pictures of shape \[N, 3, H, W\], got .*: build ResNet\(in_channels=1\)"),
    (lambda: ResNet(8)(torch.zeros(3, 8, 8)), r"x.unsqueeze\(0\) the batch of a single one"),
    (lambda: VGG(12), "expected a depth of 11, 13, 16 or 19, got 12"),
    (lambda: VGG(11, (3, 0, 8)), "expected a whole number of at least 1 as height, got 0"),
    (lambda: VGG(11, width=2)(torch.zeros(2, 3, 32, 31)), r"\(width 31 instead of 32\).*build VGG"),
    (lambda: ResNet(20.5), "expected a whole number of at least 1 as depth, got 20.5"),
    (lambda: SpeedyNet(widths=64), r"expected a list of 3 sizes as widths, such as \[64, 64, 64\], got 64"),
    (lambda: SpeedyNet((3, 8, 8)), "expected at least 9 x 9 pixels, got 8 x 8"),
    (lambda: SpeedyNet()(torch.zeros(2, 3, 31, 32)), r"build SpeedyNet\(in_shape=\(3, 31, 32\)\)"),
    (lambda: SpeedyNet().whiten(torch.zeros(2, 3, 31, 32)), r"build SpeedyNet\(in_shape=\(3, 31, 32\)\)"),
    (lambda: Transfer(nn.Flatten(), 48, 2)(torch.zeros(2, 2, 4, 4)),
     r"expected pictures \[N, 3, H, W\] or \[N, 1, H, W\], got \[2, 2, 4, 4\]"),
])  # fmt: skip
def test_wrong_shapes_get_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
