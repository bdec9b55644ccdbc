"""Tables of what training costs: every number of the file is shown, in both languages, and no other."""

import json
import re
import sys
from pathlib import Path

import pytest

from docs._site.hooks import results, trainings
from tests.pages.paths import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import training as bench

FACTS = {
    "date": "2026-11-27", "device": "CPU", "machine": "x86_64", "cores": 2, "threads": 2, "matrix unit": True,
    "python": "3.11.7", "torch": "2.15.0", "torchvision": "0.29.2", "scikit-learn": "1.9.1", "numpy": "2.4.6",
}  # fmt: skip


def never(said: str) -> None:
    raise AssertionError(said)


def example(name: str) -> dict:
    """A file as the benchmark writes it, with made numbers."""
    if name == "tricks":
        names = [key.removeprefix("tricks.") for key in trainings.WORDS if key.startswith("tricks.")]
        rows = [{"name": n, "task": "CNN", "ratio": 1.5 + i, "low": 1.25, "high": 40.0} for i, n in enumerate(names)]
        return FACTS | {"claim": "", "runs": 9, "seed": 0, "rows": [rows[0] | {"first": 12.5}, *rows[1:]]}
    if name == "gpu-cifar":
        return FACTS | {"cuda": "13.0", "runs": 20, "mean accuracy": 0.9402,
                        "accuracy": bench.spread([0.9391, 0.9403, 0.9411]), "seconds": bench.spread([2.5, 2.51, 2.6])}
    values = {"rate": [8000.0, 123456.0]} if name == "mlp" else {"accuracy": [0.98, 0.9954]}
    values |= {"seconds": [5.0, 165.25], "program": [9.0, 171.0]}
    rows = [{"name": p.name, "runs": p.runs, "seeds": [0]} | {key: bench.spread(v) for key, v in values.items()}
            for p in bench.BENCHMARKS[name][1]]
    return FACTS | {"claim": bench.BENCHMARKS[name][0], "rows": rows}


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", trainings.TABLES)
def test_a_table_shows_each_row(name: str, lang: str, tmp_path: Path) -> None:
    data = example(name)
    (tmp_path / f"{name}.json").write_text(json.dumps(data))
    text = results.shown(f"before\n\n<!-- results: {name} -->\n\nafter", tmp_path, lang, never)
    lines = [line for line in text.split("\n") if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(data.get("rows", [0]))
    assert all(data[key] in text for key in ("date", "torch", "python"))
    assert ("矩阵单元" in text or "matrix unit" in text) == (name != "gpu-cifar")
    for row, line in zip(data.get("rows", []), lines[2:], strict=False):
        if name == "tricks":
            assert f"{row['ratio']:.2f} (1.25–40.00)" in line
        elif name == "mlp":
            assert "65,730 (8,000–123,500)" in line
        else:
            assert "98.77 (98.00–99.54)" in line
            assert f"| {row['runs']} |" in line


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_gpus_runs(lang: str) -> None:
    text = trainings.table("gpu-cifar", example("gpu-cifar"), lang)
    assert "| 94.02 | 94.03 (93.91–94.11) | 2.51 (2.50–2.60) |" in text


def test_one_run_has_no_range() -> None:
    assert trainings.spread(bench.spread([0.5]), 100, 1) == "50.0"


@pytest.mark.parametrize("name", trainings.TABLES)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_is_not_measured_says_so_and_shows_no_number(name: str, lang: str, tmp_path: Path) -> None:
    text = results.shown(f"<!-- results: {name} -->", tmp_path, lang, never)
    assert not re.search(r"[|\d]", text)
    [command] = re.findall(r"`([^`]+)`", text)
    assert (ROOT / command.split()[0]).is_file()


RECORDED = [*bench.BENCHMARKS, "tricks"]


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_file_has_what_its_benchmark_runs(name: str) -> None:
    """`make bench` has written it, with every program of today."""
    data = json.loads((ROOT / f"docs/results/{name}.json").read_text("utf-8"))
    assert {"claim", "date", "device", "machine", "cores", "threads", "python", "torch", "rows"} <= set(data)
    if name == "tricks":
        assert {row["name"] for row in data["rows"]} == {row["name"] for row in example("tricks")["rows"]}
        assert all(row["low"] <= row["ratio"] <= row["high"] for row in data["rows"])
    else:
        programs = bench.BENCHMARKS[name][1]
        assert [(row["name"], row["runs"]) for row in data["rows"]] == [(p.name, p.runs) for p in programs]
        assert all(row[key]["low"] <= row[key]["median"] <= row[key]["high"]
                   for row in data["rows"] for key in ("seconds", "program"))


def rows(name: str) -> dict:
    return {row["name"]: row for row in json.loads((ROOT / f"docs/results/{name}.json").read_text("utf-8"))["rows"]}


def test_what_the_page_says_of_film_reviews() -> None:
    """Simple models are right more often than networks, and a bag takes a small part of their time."""
    found = rows("imdb")
    accuracy = {name: row["accuracy"]["median"] for name, row in found.items()}
    assert min(accuracy["linear"], accuracy["bag"]) > max(accuracy[name] for name in ("usual", "lstm", "transformer"))
    networks = [found[name]["seconds"]["median"] for name in ("usual", "lstm", "transformer")]
    assert found["bag"]["seconds"]["high"] < 0.25 * min(networks)


@pytest.mark.parametrize("name", ["usual", "fast"])
def test_the_table_counts_the_pictures_that_the_program_for_mnist_sees(name: str) -> None:
    program = (ROOT / f"tests/bench/{name}/mnist.py").read_text("utf-8")
    [epochs] = re.findall(r'60_000, epochs=([\d.]+)\)|"--epochs", type=int, default=(\d+)', program)
    for label in trainings.WORDS[f"mnist.{name}"]:
        assert f"{60_000 * float(''.join(epochs)):,.0f} " in label


@pytest.mark.parametrize("name", ["mnist", "cifar", "names"])
def test_a_recipe_of_this_package_is_faster_and_right_more_often(name: str) -> None:
    found = rows(name)
    assert found["fast"]["accuracy"]["low"] > found["usual"]["accuracy"]["high"]
    assert found["fast"]["seconds"]["high"] < found["usual"]["seconds"]["low"]


PAYS = {("tensors", "CNN"), ("tensors", "MLP"), ("batch", "MLP"), ("fused", "MLP"), ("channels_last", "CNN"),
        ("bf16", "CNN"), ("compile", "CNN"), ("flush denormals", "LSTM"), ("not packed", "RNN"), ("together", "CNN")}
HARMS = {("workers", "CNN"), ("bf16", "MLP"), ("compile", "MLP")}
NO_DIFFERENCE = {("foreach", "MLP"), ("set_to_none", "MLP"), ("no item", "MLP"), ("inference_mode", "CNN"),
                 ("inference_mode", "MLP")}


def test_the_page_on_speed_names_what_pays_and_what_does_not() -> None:
    tricks = json.loads((ROOT / "docs/results/tricks.json").read_text("utf-8"))["rows"]
    ratio = {(row["name"], row["task"]): row["ratio"] for row in tricks}
    assert all(ratio[trick] > 1.1 for trick in PAYS)
    assert all(ratio[trick] < 0.95 for trick in HARMS)
    assert all(0.9 < ratio[trick] < 1.1 for trick in NO_DIFFERENCE)
    assert ratio["batch", "MLP"] > ratio["batch", "CNN"] > 1


def test_runs_are_spread_over_the_whole_time() -> None:
    programs = [bench.Program("usual", ("u.py",), 2), bench.Program("fast", ("f.py",), 10)]
    order = [(program.name, seed) for program, seed in bench.in_turn(programs)]
    assert len(order) == len(set(order)) == 12
    places = [i for i, (name, _) in enumerate(order) if name == "usual"]
    assert 1 <= places[0] <= 4 < 7 <= places[1] <= 10
    assert [seed for name, seed in order if name == "fast"] == list(range(10))


def test_every_command_is_a_program() -> None:
    for _, programs in bench.BENCHMARKS.values():
        assert len({p.name for p in programs}) == len(programs)
        assert all((ROOT / "tests/bench" / p.command[0]).is_file() for p in programs)
