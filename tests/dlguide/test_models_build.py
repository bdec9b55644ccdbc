"""build(name, splits): the model that fits the data, or one sentence."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.data import Splits
from dlguide.models import MLP, MODELS, LeNet, ResNet, RNNClassifier, SpeedyNet, build


class Words:
    def __len__(self):
        return 30


def splits(x, classes=4, vocabulary=None):
    y = torch.arange(len(x)) % classes
    tensors = (x, y) if vocabulary is None else (x, torch.full((len(x),), x.shape[1]), y)
    part = TensorDataset(*tensors)
    return Splits(part, part, part, tuple("abcdefgh"[:classes]), vocabulary=vocabulary)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


DATA = {
    "grey 8 x 8": splits(random(9, 1, 8, 8)),
    "grey 28 x 28": splits(random(9, 1, 28, 28)),
    "colour": splits(random(9, 3, 32, 32)),
    "large": splits(random(2, 3, 96, 80)),
    "rows": splits(random(9, 8, 5)),
    "numbers": splits(random(9, 13)),
    "text": splits(torch.randint(0, 30, (9, 300)), 2, Words()),
}
TAKES = {"grey 8 x 8": "pictures", "grey 28 x 28": "pictures", "colour": "pictures", "large": "pictures",
         "rows": "rows", "numbers": "numbers", "text": "text"}  # fmt: skip
SMALL = {"resnet": {"depth": 8}, "vgg": {"width": 2}, "speedynet": {"widths": (4, 4, 4)}}


@pytest.mark.parametrize(("name", "data"), [
    (name, data) for name, data in product(MODELS, DATA) if TAKES[data] in MODELS[name].data and name != "pretrained"
    and (name, data) != ("speedynet", "grey 8 x 8")
])  # fmt: skip
def test_every_model_fits_the_data_it_says_it_takes(name, data):
    part = DATA[data]
    model = build(name, part, **SMALL.get(name, {})).eval()
    *inputs, y = part.train.tensors
    assert model(*inputs).shape == (len(y), len(part.classes))


@pytest.mark.parametrize(("name", "data"), [
    (name, data) for name, data in product(MODELS, DATA) if TAKES[data] not in MODELS[name].data
])  # fmt: skip
def test_every_other_data_gets_a_sentence_that_names_models_that_fit(name, data):
    sentence = f"{name} takes .* and these data are {TAKES[data]}, .* take one of "
    with pytest.raises(ValueError, match=sentence) as caught:
        build(name, DATA[data])
    said = str(caught.value)
    assert "\n" not in said
    proposed = said.rsplit("take one of ", 1)[1].split(", ")
    assert proposed == [other for other in MODELS if TAKES[data] in MODELS[other].data]
    assert proposed
    assert ("layout='rows'" in said) == (TAKES[data] == "pictures" and name in ("rnn", "lstm", "gru"))


def test_speedynet_is_whitened_on_the_training_pictures():
    model = build("speedynet", DATA["colour"], widths=(4, 4, 4))
    assert isinstance(model, SpeedyNet)
    h = model.whitening(DATA["colour"].train.tensors[0]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(h[:12]), torch.eye(12), rtol=0, atol=0.05)
    with pytest.raises(ValueError, match="expected at least 9 x 9 pixels, got 8 x 8"):
        build("speedynet", DATA["grey 8 x 8"])


def test_sizes_follow_from_the_data_and_options_win():
    def layers(name, data, **options) -> Any:
        return build(name, DATA[data], **options)

    assert layers("linear", "colour").layers[0].in_features == 3 * 32 * 32
    assert [m.out_features for m in layers("mlp", "numbers", hidden=(7, 6)).layers[::2]] == [7, 6, 4]
    lenet = layers("lenet", "colour")
    assert isinstance(lenet, LeNet)
    assert lenet.features[0].padding == (0, 0)
    assert layers("lenet", "grey 28 x 28").features[0].padding == (2, 2)
    assert isinstance(layers("resnet", "colour", depth=8).stem[3], nn.Identity)
    assert isinstance(layers("resnet", "large", depth=8).stem[3], nn.MaxPool2d)
    assert isinstance(layers("resnet", "large", depth=8, stem="cifar"), ResNet)
    lstm = layers("lstm", "text", hidden_size=5)
    assert isinstance(lstm, RNNClassifier)
    assert isinstance(lstm.rnn, nn.LSTM)
    assert lstm.embedding.num_embeddings == 30
    assert isinstance(layers("gru", "rows").rnn, nn.GRU)
    assert isinstance(layers("rnn", "rows").rnn, nn.RNN)
    assert layers("transformer", "text").positions.num_embeddings == 300
    assert layers("transformer", "text", max_length=400).positions.num_embeddings == 400
    assert isinstance(layers("linear", "rows"), MLP)


def test_pretrained_takes_its_network_and_its_file(tmp_path):
    import torchvision

    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "w.pt")
    model = build("pretrained", DATA["large"], network="mobilenet_v3_small", weights=tmp_path / "w.pt").eval()
    assert model(DATA["large"].train.tensors[0]).shape == (2, 4)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: build("rnnn", DATA["rows"]), "there is no model 'rnnn': did you mean 'rnn'?"),
    (lambda: build("resnet18", DATA["colour"]), "there is no model 'resnet18': did you mean 'resnet'?"),
    (lambda: build("xyzzy", DATA["rows"]), "there is no model 'xyzzy': there are linear, mlp, lenet"),
    (lambda: build("mlp", DATA["rows"], hiden=(3,)), "mlp has no option 'hiden': did you mean 'hidden'?"),
    (lambda: build("linear", DATA["rows"], hidden=(3,)), "linear has no option 'hidden'"),
    (lambda: build("lstm", DATA["rows"], cell="GRU"), "lstm has no option 'cell'"),
])  # fmt: skip
def test_a_wrong_name_or_option_gets_a_near_match(call, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "data", "options", "said"), [
    ("mlp", "rows", {"hidden": 64}, "mlp: expected a list as hidden, such as [128], got 64"),
    ("mlp", "rows", {"hidden": "64"}, "mlp: expected a list as hidden, such as [128], got '64'"),
    ("cnn", "colour", {"hidden": [64]}, "cnn: expected a whole number as hidden, such as 128, got [64]"),
    ("lenet", "colour", {"padding": "2"}, "lenet: expected a whole number as padding, such as 0, got '2'"),
    ("lstm", "rows", {"bidirectional": "False"}, "lstm: expected true or false as bidirectional, got 'False'"),
    ("lstm", "rows", {"num_layers": True}, "lstm: expected a whole number as num_layers, such as 1, got True"),
    ("gru", "rows", {"dropout": "low"}, "gru: expected a number as dropout, such as 0.0, got 'low'"),
    ("resnet", "colour", {"stem": 3}, "resnet: expected a text as stem, such as 'cifar', got 3"),
    ("bag", "text", {"buckets": "many"}, "bag: expected a whole number as buckets, such as 65536, got 'many'"),
])  # fmt: skip
def test_an_option_of_the_wrong_kind_is_named(name, data, options, said):
    with pytest.raises(ValueError, match=r".") as caught:
        build(name, DATA[data], **options)
    assert str(caught.value) == said


def test_options_may_be_written_as_configuration_files_write_them():
    mlp: Any = build("mlp", DATA["rows"], hidden=[3, 2])
    gru: Any = build("gru", DATA["rows"], dropout=0)
    assert (mlp.layers[2].out_features, gru.dropout.p) == (2, 0)


def test_every_entry_is_described():
    for name, entry in MODELS.items():
        assert entry.description, name
        assert entry.description[0].islower(), name
        assert set(entry.data) <= {"pictures", "rows", "numbers", "text"}
        assert "num_classes" in entry.options()
    assert MODELS["resnet"].options()["depth"] == 18
    assert "hidden" not in MODELS["linear"].options()
