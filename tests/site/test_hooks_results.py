"""Measured results: the tables of a page are those of the files, and a missing file is said."""

import json
import re
from pathlib import Path

import pytest

from docs._site.hooks import results

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/results"


def never(said: str) -> None:
    raise AssertionError(said)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_measured_piece_is_shown(lang: str) -> None:
    text = results.shown("before\n\n<!-- results: from-scratch -->\n\nafter", FOLDER, lang, never)
    data = json.loads((FOLDER / "from-scratch.json").read_text("utf-8"))
    rows = [line for line in text.split("\n") if line.startswith("| `")]
    assert len(rows) == len(data["rows"]) > 30
    for row, line in zip(data["rows"], rows, strict=True):
        assert f"`{row['name']}`" in line
        for part in ("forward", "both"):
            if part in row:
                found = row[part]
                assert f"{found['ratio']:.2f} ({found['low']:.2f}–{found['high']:.2f})" in line
                assert found["low"] <= found["ratio"] <= found["high"]
    assert all(str(data[key]) in text for key in ("date", "torch", "python", "seed", "runs"))
    assert len(re.findall(r"^\*\*", text, re.M)) == len({row["group"] for row in data["rows"]})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_build_s_times_are_shown(lang: str) -> None:
    text = results.shown("<!-- results: site -->", FOLDER, lang, never)
    data = json.loads((FOLDER / "site.json").read_text("utf-8"))
    for part in ("cold build", "warm build", "live reload"):
        assert f"| {data[part]['median']:.1f} |" in text


def test_a_missing_result_is_said() -> None:
    said: list[str] = []
    assert results.shown("<!-- results: speed -->", FOLDER, "en", said.append) == "<!-- results: speed -->"
    assert "there is no result speed" in said[0]
