"""The settings: each has its range and its help, files and flags say the same, errors name what was meant."""

import dataclasses
import inspect
import itertools
import subprocess
import sys
import tomllib

import pytest
import torch

from dlguide.cli.options import option_value
from dlguide.config import DATA, RECIPES, Config, ConfigError, near, read_config, recipe, settings, to_toml
from dlguide.config.fields import OPTIMIZERS
from dlguide.config.recipes import data_name
from tests.pages.paths import ROOT

SETTINGS = {setting.name: setting for setting in settings()}
OTHERS = {  # for each setting a value that is not its default
    "model": "mlp", "data": "mnist", "options": {"hidden": [3, 4], "flag": True, "name": 'a "b" \\ c\x7fü'},
    "out": "a folder/ü", "layout": "rows", "size": 32, "standardize": False, "validation": 0.25, "test": 0.125,
    "max_length": 7, "max_words": 9, "unit": "characters", "augment": "flip, shift=3", "loader": "workers",
    "workers": 0,
    "epochs": None, "steps": 5, "batch_size": 1, "optimizer": "SGD", "lr": 1e-5, "momentum": 0.9, "nesterov": True,
    "weight_decay": 1e-22, "schedule": "onecycle", "warmup": 0.5, "label_smoothing": 0.1, "accumulate": 4, "clip": 1e6,
    "ema": 0.0, "patience": 3, "keep": "last", "device": "cuda:1", "spread": "fsdp", "precision": "bf16",
    "compile": True, "channels_last": True, "seed": 2**40, "deterministic": True, "every": 10, "tensorboard": True,
}  # fmt: skip


def test_every_setting_is_described():
    assert list(SETTINGS) == [field.name for field in dataclasses.fields(Config)] == list(OTHERS)
    for setting in settings():
        assert setting.help, setting.name
        assert not setting.help.endswith("."), setting.name
        assert setting.group in ("run", "data", "training", "machine"), setting.name
        assert setting.default == getattr(Config(), setting.name)
        assert setting.kind in ("str", "bool", "dict") or setting.within, f"{setting.name} has numbers without a range"
        assert f"        {setting.name}: " in inspect.getsource(Config)
    assert SETTINGS["lr"].help == "learning rate, the highest one if a schedule changes it"  # not of the example


def test_optimizers_are_those_of_torch():
    parameter = torch.nn.Parameter(torch.ones(2))
    for name in OPTIMIZERS:
        made = getattr(torch.optim, name)([parameter], lr=0.1, weight_decay=0.1)
        assert ("momentum" in made.defaults) == (name in ("SGD", "RMSprop")), name


def test_recipes_are_for_the_models_and_data_that_there_are():
    from dlguide.data import DATASETS
    from dlguide.models import MODELS

    assert list(RECIPES) == list(MODELS)
    assert list(DATA) == list(DATASETS)
    for model, data in itertools.product(RECIPES, (*DATA, "some/folder")):
        Config(**{"model": model, "data": data, **recipe(model, data)})
    for entry in RECIPES.values():
        assert {name for name, value in entry.items() if isinstance(value, dict)} <= set(DATA)
    assert recipe("no such model", "digits") == {}
    assert recipe("mlp", "digits")["lr"] == RECIPES["mlp"]["lr"]
    assert recipe("mlp", "mnist")["lr"] == RECIPES["mlp"]["mnist"]["lr"] != RECIPES["mlp"]["lr"]
    assert recipe("cnn", "digits")["batch_size"] == 32
    assert "batch_size" not in recipe("cnn", "some/folder")


def test_file_brings_every_setting_back(tmp_path):
    path = tmp_path / "all.toml"
    for name, value in OTHERS.items():
        more = {"optimizer": "SGD", "momentum": 0.5} if name in ("momentum", "nesterov") else {}
        more |= {"steps": 5} if name == "epochs" else {}
        config = Config(**{**more, name: value})
        path.write_text(to_toml(config), "utf-8")
        assert Config(**read_config(path)) == config, name
        assert set(tomllib.loads(path.read_text("utf-8"))) == set(SETTINGS)


def test_file_explains_itself():
    text = to_toml(Config())
    for setting in settings():
        assert f"# {setting.help}" in text
    assert 'clip = "none"\n' in text
    assert "lr = 0.001\n" in text
    assert "compile = false\n" in text


@pytest.mark.parametrize(("given", "said"), [
    ({"epochs": 0}, "epochs: expected a whole number in [1, inf) or none, got 0"),
    ({"epochs": "ten"}, "epochs: expected a whole number in [1, inf) or none, got 'ten'"),
    ({"epochs": 2.5}, "epochs: expected a whole number in [1, inf) or none, got 2.5"),
    ({"epochs": True}, "epochs: expected a whole number in [1, inf) or none, got True"),
    ({"epochs": None}, "epochs: expected a number of epochs or of steps, got neither: training needs an end"),
    ({"lr": float("inf")}, "lr: expected a number in (0, inf), got inf"),
    ({"lr": float("nan")}, "lr: expected a number in (0, inf), got nan"),
    ({"lr": None}, "lr: expected a number in (0, inf), got none"),
    ({"lr": 0}, "lr: expected a number in (0, inf), got 0"),
    ({"validation": 1}, "validation: expected a number in (0, 1), got 1"),
    ({"validation": 0.5, "test": 0.5}, "validation: expected a sum with test below 1, got 0.5 and 0.5"),
    ({"warmup": 1.0}, "warmup: expected a number in [0, 1), got 1.0"),
    ({"compile": "yes"}, "compile: expected true or false, got 'yes'"),
    ({"model": 3}, "model: expected a text, got 3"),
    ({"options": []}, "options: expected a table, got []"),
    ({"options": {"weights": None}}, "options: expected a text, a number, true or false, or a list of these as weights,"
     " got None"),
    ({"options": {"hidden": {"a": 1}}}, "or a list of these as hidden, got {'a': 1}"),
    ({"options": {"hidden": [64, None]}}, "or a list of these as hidden, got [64, None]"),
    ({"options": {"p": float("nan")}}, "or a list of these as p, got nan"),
    ({"data": ""}, "data: expected a text, got ''"),
    ({"out": "caf\udce9"}, "out: expected a text or none, got 'caf\\udce9'"),
    ({"options": {"weights": "caf\udce9"}}, "or a list of these as weights, got 'caf\\udce9'"),
    ({"seed": 2**63}, "seed: expected a number below 2**63, as PyTorch takes it, got 9223372036854775808"),
    ({"precision": "bf61"}, "precision: expected one of float32, bf16, fp16, got 'bf61'; did you mean 'bf16'?"),
    ({"optimizer": "adammw"}, "got 'adammw'; did you mean 'AdamW'?"),
    ({"momentum": 0.9}, "momentum: expected 0 with AdamW, which has none, got 0.9"),
    ({"nesterov": True, "optimizer": "SGD"}, "nesterov: expected false without SGD and a momentum above 0, got true"),
    ({"augment": "flop"}, "augment: expected flip, shift=PIXELS and cutout=SIDE, joined by commas, got 'flop'"),
    ({"augment": "flip=2"}, "augment: expected flip, shift=PIXELS and cutout=SIDE, joined by commas, got 'flip=2'"),
    ({"augment": "flip", "loader": "workers"}, "augment: expected none with the loader 'workers'"),
    ({"patience": 2, "keep": "last"}, "patience: expected none with keep 'last'"),
])  # fmt: skip
def test_impossible_setting_is_one_sentence(given, said):
    with pytest.raises(ConfigError) as caught:
        Config(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_spelled_as_torch_spells_them():
    assert Config(optimizer="sgd").optimizer == "SGD"
    assert Config(precision="BF16").precision == "bf16"
    assert Config(lr=1).lr == 1.0
    assert type(Config(lr=1).lr) is float
    assert Config(clip="none").clip is None
    assert Config(seed="7").seed == 7  # as a flag brings it


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("text", "said"), [
    ("epoch = 3", "there is no setting 'epoch'; did you mean 'epochs'?"),
    ("epochs = -3", "epochs: expected a whole number in [1, inf) or none, got -3"),
    ("epochs = ", "is not TOML: "),
    ("zzz = 1", "there is no setting 'zzz'"),
    ("[lr]\nx = 1", "lr: expected a number in (0, inf), got {'x': 1}"),
    ("seed = 2024-01-01", "seed: expected a whole number in [0, inf), got "),
])  # fmt: skip
def test_wrong_file_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_missing_or_binary_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: expected a configuration file in TOML"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_config(tmp_path / "binary.toml")


def test_near():
    assert near("cnnn", ["mlp", "cnn"]) == "; did you mean 'cnn'?"
    assert near("ADAMW", OPTIMIZERS) == "; did you mean 'AdamW'?"
    assert near("xyz", ["mlp", "cnn"]) == ""


def test_option_values():
    assert option_value("hidden=[256,64]") == ("hidden", [256, 64])
    assert option_value("network=resnet18") == ("network", "resnet18")
    assert option_value("p=0.5") == ("p", 0.5)
    for wrong in ("hidden", "=3", "a b=3"):
        with pytest.raises(ConfigError, match="options: expected NAME=VALUE"):
            option_value(wrong)


def test_folder_names():
    assert [data_name(d) for d in ("digits", "my/pictures", "a/reviews.csv.gz", "..")] == [
        "digits", "pictures", "reviews", "data"
    ]  # fmt: skip


def test_configuration_needs_no_torch():
    code = "import sys, dlguide.cli, dlguide.config; print({'torch', 'numpy', 'dlguide.data'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert done.stdout.strip() == "set()"
