"""The page on the command line: each command it shows is run, each flag it names exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from dlguide.cli.group import COMMANDS, Group
from tests.dlguide.cli_runs import call
from tests.pages.paths import ROOT

PAGES = [ROOT / "docs" / lang / "tools" / "command-line.md" for lang in ("en", "zh")]
PROGRAM = (ROOT / "snippets" / "tools" / "command-line.py").read_text("utf-8")

# Commands that the program of the page leaves out, because they take long or belong to a shell: what runs them.
ELSEWHERE = {
    "dlguide train mlp --data digits --print-config > mine.toml": "test_configuration_file_goes_round",
    "dlguide train --config mine.toml --out runs/mine": "test_configuration_file_goes_round",
    "dlguide train lstm --data digits --option hidden_size=32 --option num_layers=2": "test_options_of_the_model",
    "dlguide train bag --data reviews": "test_texts",
    'dlguide predict runs/bag-reviews --text "a good film"': "test_texts",
    'echo "a good film" | dlguide predict runs/bag-reviews -': "test_texts",
    "dlguide graph cnn --format svg -o cnn.svg": "test_drawing",
    "dlguide export runs/mlp-digits": "tests/dlguide/test_cli_export.py::test_onnx_takes_raw_pixels",
    "dlguide data list": "tests/dlguide/test_cli.py::test_data_list_and_where",
    "dlguide data where": "tests/dlguide/test_cli.py::test_data_list_and_where",
    "dlguide doctor": "tests/dlguide/test_cli_machine.py::test_doctor_finds_a_torchvision_that_does_not_fit",
    "dlguide bench cnn --data digits": "tests/dlguide/test_cli_machine.py::test_bench",
    "torchrun --nproc-per-node 2 -m dlguide train mlp --data digits":
        "tests/dlguide/test_cli_train.py::test_two_processes_are_one",
    "DLGUIDE_DEBUG=1 dlguide evaluate runs/mlp-digit": "tests/dlguide/test_cli.py::test_debugging_shows_the_traceback",
    'eval "$(_DLGUIDE_COMPLETE=bash_source dlguide)"': "tests/dlguide/test_cli.py::test_completion_script",
    'eval "$(_DLGUIDE_COMPLETE=zsh_source dlguide)"': "tests/dlguide/test_cli.py::test_completion_script",
    "_DLGUIDE_COMPLETE=fish_source dlguide | source": "tests/dlguide/test_cli.py::test_completion_script",
}  # fmt: skip


def shown(page):
    """The commands that a page shows."""
    return re.findall(r"^ *\$ (.*)$", page.read_text("utf-8"), re.M)


def flags():
    """All flags of all commands."""
    found = set()
    waiting = [Group().get_command(click.Context(Group()), name) for name in COMMANDS] + [Group()]
    while waiting:
        command = waiting.pop()
        for parameter in command.get_params(click.Context(command)):
            found |= {*parameter.opts, *parameter.secondary_opts}
        waiting += getattr(command, "commands", {}).values()
    return found


def problems(text, program):
    """Commands of a page that nothing runs."""
    run = set(re.findall(r'"(dlguide [^"]*)"', program))
    return [line for line in re.findall(r"^ *\$ (.*)$", text, re.M) if line not in run and line not in ELSEWHERE]


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_every_command_is_run(page):
    assert problems(page.read_text("utf-8"), PROGRAM) == []
    assert set(ELSEWHERE) <= set(shown(page)), "a command in ELSEWHERE is no longer on the page"
    assert shown(page) == shown(PAGES[0])


def test_where_the_others_are_run():
    for test in ELSEWHERE.values():
        file, _, name = test.rpartition("::")
        source = (ROOT / file if file else Path(__file__)).read_text("utf-8")
        assert f"def {name}(" in source, test


def test_a_command_that_is_not_run_is_found():
    assert problems("$ dlguide trian\n    $ dlguide doctor\n$ dlguide --version", PROGRAM) == ["dlguide trian"]


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_every_flag_exists(page):
    text = page.read_text("utf-8")
    spans = " ".join(re.findall(r"`[^`\n]+`|^ *\$ .*$", text, re.M))
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*\b", spans))
    assert len(named) > 15
    assert named - flags() == {"--nproc-per-node", "-m"}  # of torchrun and of Python


def test_exit_codes_are_those_of_the_program():
    for page in PAGES:
        codes = re.findall(r"^\| (\d+) \|", page.read_text("utf-8"), re.M)
        assert codes == ["0", "1", "2", "130", "141", "143"]


def test_configuration_file_goes_round(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = call(*shlex.split("train mlp --data digits --print-config")).stdout
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    assert 'out = "runs/mine"' in call(*shlex.split("train --config mine.toml --out runs/mine --print-config")).stdout


def test_options_of_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split("train lstm --data digits --option hidden_size=32 --option num_layers=2")
    call(*words, "--epochs", 1, "--quiet")
    assert (tmp_path / "runs" / "lstm-digits" / "model.pt").is_file()


def test_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*shlex.split("train bag --data reviews"), "--epochs", 1, "--quiet")
    first = call(*shlex.split('predict runs/bag-reviews --text "a good film"')).stdout.split()
    second = call(*shlex.split("predict runs/bag-reviews -"), input="a good film\n").stdout.split()
    assert first[-2:] == second[-2:]


def test_drawing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*shlex.split("graph cnn --format svg -o cnn.svg"))
    assert (tmp_path / "cnn.svg").read_text("utf-8").startswith("<svg")
