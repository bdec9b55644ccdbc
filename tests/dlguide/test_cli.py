"""The command line: what it prints, what it says when something is wrong, and with which exit code it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import classification_report, confusion_matrix

from dlguide.cli import main
from dlguide.cli.group import COMMANDS
from dlguide.config import DATA, RECIPES, settings
from tests.dlguide.cli_runs import ENVIRONMENT, call, facts, process, sentence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "mlp-digits"
    call("train", "mlp", "--data", "digits", "--epochs", 4, "--lr", 0.01, "--out", folder, "--quiet")
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A finished run on texts."""
    folder = tmp_path_factory.mktemp("runs") / "bag"
    call("train", "bag", "--data", "reviews", "--epochs", 2, "--out", folder, "--quiet", "--option", "buckets=512")
    return folder


# ---- help, versions, completion

def test_help():
    text = call("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M), command
        own = call(command, "--help").stdout
        assert "Examples:" in own or command == "doctor", command
        assert "[default: None]" not in own
    for command in ("list", "where", "check"):
        assert "--json" in call("data", command, "--help").stdout


def test_every_setting_is_a_flag_with_its_help():
    text = " ".join(call("train", "--help", terminal_width=400).stdout.split())
    for setting in settings():
        if setting.name not in ("model", "options"):
            assert f"--{setting.name.replace('_', '-')} " in text, setting.name
        if setting.name != "model":
            assert setting.help in text, setting.name


def test_no_command_shows_help():
    done = call(code=2)
    assert "Usage: dlguide" in done.stderr


def test_version_and_module():
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "dlguide 0.1.0\n", "")
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0


@pytest.mark.parametrize(("line", "position", "found"), [
    ("dlguide tr", 1, "train"), ("dlguide train c", 2, "cnn"), ("dlguide train cnn --data m", 4, "mnist"),
    ("dlguide train cnn --opti", 3, "--optimizer"), ("dlguide train cnn --optimizer Ada", 4, "AdamW"),
    ("dlguide data check ci", 3, "cifar10"), ("dlguide evaluate x --part v", 4, "validation"),
])  # fmt: skip
def test_completion(line, position, found):
    environment = {**ENVIRONMENT, "_DLGUIDE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(position)}
    code = "import sys, dlguide.cli as c; sys.argv = ['dlguide']; c.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert f"plain,{found}" in done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell):
    environment = {**ENVIRONMENT, "_DLGUIDE_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", "import dlguide.cli as c; c.main()"], capture_output=True, text=True,
                          check=True, env=environment)  # fmt: skip
    assert "_DLGUIDE_COMPLETE" in done.stdout


# ---- one sentence

@pytest.mark.parametrize(("given", "code", "said"), [
    ("trian", 2, "there is no command 'trian'; did you mean 'train'? (dlguide --help explains)"),
    ("zzz", 2, f"there is no command 'zzz'; there are {', '.join(COMMANDS)} (dlguide --help explains)"),
    ("train", 2, "expected a MODEL, or a --config file that names one (dlguide train --help explains)"),
    ("train cnnn", 2, "there is no model 'cnnn'; did you mean 'cnn'?"),
    ("train qqqqqq", 2, f"there is no model 'qqqqqq'; there are {', '.join(RECIPES)}"),
    ("train cnn --data digit", 2, "there are no data 'digit'; did you mean 'digits'?"),
    ("train cnn --data q", 2, f"there are no data 'q'; there are {', '.join(DATA)}, or the path of your own"),
    ("train cnn --epoch 3", 2, "there is no flag --epoch; did you mean '--epochs'? (dlguide train --help explains)"),
    ("train cnn --epochs three", 2, "epochs: expected a whole number in [1, inf) or none, got 'three'"),
    ("train cnn --lr 0", 2, "lr: expected a number in (0, inf), got '0'"),
    ("train cnn --epochs none", 2,
     "epochs: expected a number of epochs or of steps, got neither: training needs an end"),
    ("train cnn --precision bf15", 2,
     "precision: expected one of float32, bf16, fp16, got 'bf15'; did you mean 'bf16'?"),
    ("train cnn --option hidden", 2, "options: expected NAME=VALUE, such as --option hidden_size=128, got 'hidden'"),
    ("train pretrained --option weights=null", 2,
     "options: expected a text, a number, true or false, or a list of these as weights, got None"),
    ("train cnn mlp", 2, "got unexpected extra argument (mlp) (dlguide train --help explains)"),
    ("train --config none.toml", 1, "none.toml does not exist: expected a configuration file in TOML"),
    ("train mlp --option hiden=[3]", 2, "mlp has no option 'hiden': did you mean 'hidden'?"),
    ("train lstm --data digits --layout pictures", 2, None),
    ("train cnn --data reviews", 2, None),
    ("train mlp --device gpu", 2, None),
    ("train mlp --data no/such/folder", 1, None),
    ("evaluate nowhere", 1, "nowhere holds no run (no config.toml in it)"),
    ("predict nowhere x.png", 1, "nowhere holds no run (no config.toml in it)"),
    ("predict nowhere", 2, "expected FILES or --text, got neither (dlguide predict --help explains)"),
    ("plot nowhere", 1, "nowhere holds no run (no config.toml in it)"),
    ("export nowhere", 1, "nowhere holds no run (no config.toml in it)"),
    ("graph mpl", 2, "there is no model 'mpl'; did you mean 'mlp'?"),
    ("bench --runs 0", 2, None),
    ("data chek", 2, None),
    ("data check mnits", 2, "there are no data 'mnits'; did you mean 'mnist'?"),
])  # fmt: skip
def test_sentence(given, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got = sentence(*given.split(), code=code)
    assert said is None or got == said
    assert not got.endswith(".")
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind


def test_near_run(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    assert sentence("evaluate", "mlp-digit", code=1).endswith("did you mean 'mlp-digits'?")


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("DLGUIDE_DEBUG", "1")
    done = call("evaluate", "nowhere", code=1)
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("dlguide: nowhere holds no run (no config.toml in it)\n")


def test_unexpected_error_is_a_sentence(run, monkeypatch):
    import dlguide.train

    def broken(*_):
        raise KeyError("weights")

    monkeypatch.setattr(dlguide.train, "read_history", broken)
    assert sentence("plot", run, code=1) == "KeyError: 'weights'; with DLGUIDE_DEBUG=1 the traceback is shown"


@pytest.mark.parametrize(("error", "code", "said"), [
    (BrokenPipeError(32, "Broken pipe"), 141, ""),
    (KeyboardInterrupt(), 130, "dlguide: stopped\n"),
    (PermissionError(13, "Permission denied", "x"), 1, "dlguide: x: Permission denied\n"),
    (FloatingPointError("the loss\nis nan"), 1, "dlguide: the loss is nan\n"),
    (RuntimeError("CUDA out of memory"), 1,
     "dlguide: not enough memory, CUDA out of memory; a smaller --batch-size needs less\n"),
    (MemoryError(), 1, "dlguide: not enough memory, the data are too large; a smaller --batch-size needs less\n"),
])  # fmt: skip
def test_errors_and_exit_codes(run, monkeypatch, error, code, said):
    import dlguide.train

    def raising(*_):
        raise error

    monkeypatch.setattr(dlguide.train, "read_history", raising)
    done = call("plot", run, code=code)
    assert done.stderr.lstrip("\n") == said


def test_reader_that_goes_away():
    """`dlguide ... | head -1` ends without a traceback."""
    done = subprocess.Popen([sys.executable, "-m", "dlguide", "train", "cnn", "--print-config"], env=ENVIRONMENT,
                            stdout=(pipe := os.pipe())[1], stderr=subprocess.PIPE)  # fmt: skip
    os.close(pipe[1])
    os.close(pipe[0])
    _, error = done.communicate(timeout=60)
    assert (done.returncode, error) == (141, b"")


def test_a_full_disk_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        for word in ("--version", "--help"):
            command = [sys.executable, "-m", "dlguide", word]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=ENVIRONMENT)
            assert (done.returncode, done.stderr) == (1, "dlguide: [Errno 28] No space left on device\n")


# ---- data


def test_data_list_and_where(tmp_path, monkeypatch):
    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))
    found = facts("data", "list")
    assert list(found) == list(DATA)
    assert [name for name in found if found[name]["here"]] == ["digits", "reviews"]
    text = call("data", "list").stdout
    assert "mnist: dlguide data check mnist --download" in text
    assert "imdb: unpack" in text
    where = facts("data", "where")
    assert where["folder"] == str(tmp_path)
    assert where["exists"]
    assert set(where["sets"].values()) == {None}
    assert str(tmp_path) in call("data", "where").stdout


def test_data_check(tmp_path, monkeypatch):
    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))
    digits, reviews = facts("data", "check")
    assert digits["sizes"] == {"train": 1257, "validation": 180, "test": 360}
    assert digits["shape"] == [1, 8, 8]
    assert reviews["classes"] == ["neg", "pos"]
    text = call("data", "check", "digits").stdout
    assert text.startswith("digits: 1,257 train + 180 validation + 360 test; 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)")
    (tmp_path / "mine.csv").write_text("text,label\n" + "good,1\nbad,0\n" * 20, "utf-8")
    mine = facts("data", "check", tmp_path / "mine.csv", "--unit", "characters")[0]
    assert mine["vocabulary"] == 2 + len({*"good", *"bad"})
    done = call("data", "check", "digits", "mnist", tmp_path / "no.csv", code=1)
    assert done.stdout.startswith("digits: ")
    assert done.stderr.startswith("dlguide: mnist: ")
    assert "no.csv does not exist" in done.stderr


def test_data_check_goes_on_after_a_failed_download(tmp_path, monkeypatch):
    def fails(root, download):
        raise RuntimeError("Error downloading a.gz:\nTried x, got:\nno host")

    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))
    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(f"torchvision.datasets.{name}", fails)
    said = sentence("data", "check", "mnist", "fashion-mnist", "--download", code=1)
    assert "mnist: torchvision cannot fetch MNIST into" in said
    assert "; fashion-mnist: torchvision cannot fetch FashionMNIST into" in said


def test_real_data_check():
    if not os.environ.get("DLGUIDE_DATA"):
        pytest.skip("DLGUIDE_DATA is not set")
    mnist = facts("data", "check", "mnist")[0]
    assert mnist["sizes"] == {"train": 54000, "validation": 6000, "test": 10000}


# ---- evaluate, predict, plot, graph

def test_evaluate_against_scikit_learn(run):
    from dlguide.cli.folder import load_model
    from dlguide.data import load

    found = facts("evaluate", run)
    trained = load_model(run)
    x, y = load("digits", standardize=True).test.tensors
    with torch.no_grad():
        logits = trained.model(x)
    report = classification_report(y, logits.argmax(1), output_dict=True, zero_division=0.0)
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item(), abs=1e-6)
    assert found["confusion"] == confusion_matrix(y, logits.argmax(1)).tolist()
    for name, numbers in found["classes"].items():
        assert numbers["precision"] == pytest.approx(report[name]["precision"])
        assert numbers["recall"] == pytest.approx(report[name]["recall"])
        assert numbers["f1"] == pytest.approx(report[name]["f1-score"])
        assert numbers["examples"] == report[name]["support"]
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert found["accuracy"] == pytest.approx(result["test_accuracy"])
    assert found["loss"] == pytest.approx(result["test_loss"], abs=1e-6)
    text = call("evaluate", run, "--part", "validation").stdout
    assert text.startswith("validation: accuracy 0.")
    assert text.count("\n") == 2 + 11


def test_predict_pictures(run, tmp_path):
    from dlguide.cli.folder import load_model
    from dlguide.data import load

    splits = load("digits")
    x, y = splits.test.tensors
    for i in range(20):
        pixels = (x[i, 0] * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        Image.fromarray(255 - pixels).convert("RGB").save(tmp_path / f"dark{i}.png")
    found = facts("predict", run, *(tmp_path / f"{i}.png" for i in range(20)), "--top", 3)
    assert all(len(f["classes"]) == 3 for f in found)
    with torch.no_grad():
        standardized = load("digits", standardize=True).test.tensors[0][:20]
        expected = load_model(run).model(standardized).softmax(1)
    for f, probabilities in zip(found, expected, strict=True):  # a file has 256 levels of ink, the data have 17
        for name, p in f["classes"].items():
            assert p == pytest.approx(probabilities[splits.classes.index(name)].item(), abs=0.02)
    right = sum(next(iter(f["classes"])) == splits.classes[k] for f, k in zip(found, y, strict=False))
    assert right >= 16
    dark = facts("predict", run, *(tmp_path / f"dark{i}.png" for i in range(20)), "--invert", "--top", 3)
    assert [f["classes"] for f in dark] == [pytest.approx(f["classes"], abs=1e-5) for f in found]
    line = call("predict", run, tmp_path / "0.png").stdout.split()
    assert line[0] == str(tmp_path / "0.png")
    assert 0 <= float(line[2]) <= 1
    large = Image.fromarray(np.full((100, 50), 255, np.uint8))
    large.save(tmp_path / "large.jpg")
    assert len(facts("predict", run, tmp_path / "large.jpg", "--top", 99)[0]["classes"]) == 10


def test_predict_refuses(run, words, tmp_path):
    (tmp_path / "no.png").write_text("no picture", "utf-8")
    (tmp_path / "no.txt").write_bytes(b"\xff\xfe\xfa")
    assert "no.png cannot be decoded as a picture" in sentence("predict", run, tmp_path / "no.png", code=1)
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    assert "deep.png has pixels of kind 'I;16'" in sentence("predict", run, tmp_path / "deep.png", code=1)
    assert "does not exist: expected a picture" in sentence("predict", run, tmp_path / "none.png", code=1)
    assert "is a folder: expected a picture" in sentence("predict", run, tmp_path, code=1)
    assert "is a folder: expected a text file" in sentence("predict", words, tmp_path, code=1)
    assert "--text: the model of this run takes pictures" in sentence("predict", run, "--text", "good", code=2)
    assert "is not a text in UTF-8" in sentence("predict", words, tmp_path / "no.txt", code=1)
    assert "expected a text file" in sentence("predict", words, tmp_path / "none.txt", code=1)
    assert "takes texts" in sentence("predict", words, "--text", "x", "--invert", code=2)
    assert "empty standard input" in sentence("predict", words, "-", code=1)
    done = call("predict", words, "-", code=1, input=b"caf\xe9")
    assert done.stderr == "dlguide: the standard input is not a text in UTF-8: the model of this run takes texts\n"


def test_predict_texts(words, tmp_path):
    (tmp_path / "a.txt").write_text("a film that is not good", "utf-8")
    found = facts("predict", words, tmp_path / "a.txt", "--text", "a good film", "--top", 2)
    assert [f["file"] for f in found] == [str(tmp_path / "a.txt"), "a good film"]
    assert all(sum(f["classes"].values()) == pytest.approx(1) for f in found)
    piped = json.loads(call("predict", words, "-", "--json", "--top", 2, input="a good film\n\nbad\n").stdout)
    assert [f["file"] for f in piped] == ["line 1", "line 3"]
    assert piped[0]["classes"] == pytest.approx(found[1]["classes"])
    marked = json.loads(call("predict", words, "-", "--json", "--top", 2, input="\ufeffa good\x85film".encode()).stdout)
    assert [f["classes"] for f in marked] == [pytest.approx(found[1]["classes"])]  # one line without its mark


def test_plot(run, tmp_path):
    svg = tmp_path / "curves.svg"
    assert facts("plot", run, "-o", svg)["epochs"] == 4
    first = svg.read_bytes()
    assert first.startswith(b"<?xml")
    call("plot", run, "-o", svg)
    assert svg.read_bytes() == first  # no date, no random ids
    assert call("plot", run, "-o", tmp_path / "new" / "curves.png").stdout == f"{tmp_path / 'new' / 'curves.png'}\n"
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert picture.size[0] > 500
    assert "did you mean 'png'?" in sentence("plot", run, "-o", tmp_path / "x.pgn", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.svg", "new"]
    call("plot", run)
    assert (run / "history.svg").is_file()


def test_graph(tmp_path):
    text = call("graph", "linear").stdout
    assert "AddmmBackward0 (2, 10)" in text
    assert "leaf layers.0.weight (10, 64)" in text
    assert call("graph", "linear", "--format", "mermaid").stdout.startswith("flowchart")
    found = facts("graph", "linear", "--examples", 3)
    assert (found["leaves"], found["parameters"]) == (2, 650)
    assert "(3, 10)" in found["text"]
    call("graph", "linear", "--format", "svg", "-o", tmp_path / "g.svg")
    assert (tmp_path / "g.svg").read_text("utf-8").startswith("<svg")
    assert "rnn" in call("graph", "rnn").stdout  # rows, because that is what it takes
    assert "expected a file that ends in .svg" in sentence("graph", "mlp", "--format", "svg", "-o", "x.png", code=2)


def test_a_folder_where_a_file_is_expected(run, tmp_path):
    for words in (("train", "--config", tmp_path), ("graph", "mlp", "-o", tmp_path), ("plot", run, "-o", tmp_path)):
        assert f"{str(tmp_path)!r} is a directory" in sentence(*words, code=2)


def test_pictures_without_a_folder_for_each_class(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    assert sentence("data", "check", tmp_path, code=1).endswith("or with pictures in CLASS/")


def test_data_that_have_changed_since_the_training(tmp_path):
    file, folder = tmp_path / "mine.csv", tmp_path / "run"
    file.write_text("text,label\n" + "good,1\nbad,0\n" * 20, "utf-8")
    call("train", "bag", "--data", file, "--epochs", 1, "--quiet", "--out", folder)
    call("evaluate", folder)
    for rows, what in (("good,1\nbad,0\nso so,2\n", "classes"), ("fine,1\nbad,0\n", "words")):
        file.write_text("text,label\n" + rows * 20, "utf-8")
        assert sentence("evaluate", folder, code=1) == (
            f"{file} holds other {what} than when {folder} was trained: train again")  # fmt: skip


def test_damaged_run(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "model.pt").write_bytes((run / "model.pt").read_bytes()[:500])
    assert sentence("evaluate", copy, code=1).endswith(
        "model.pt is damaged: delete it, and the same `dlguide train` writes it again")  # fmt: skip
    (copy / "result.json").write_text("{", "utf-8")
    assert "result.json is damaged" in sentence(
        "train", "mlp", "--data", "digits", "--epochs", 4, "--lr", 0.01, "--out", copy, code=1)  # fmt: skip
    (copy / "model.pt").unlink()
    assert "has no model.pt yet" in sentence("evaluate", copy, code=1)
    (copy / "history.jsonl").write_text("", "utf-8")
    assert "has no finished epoch yet" in sentence("plot", copy, code=1)
