"""Measured results: `<!-- results: from-scratch -->` in a page becomes the table of that file in docs/results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from docs._site.hooks import trainings

MARK = re.compile(r"^<!-- results: ([\w-]+) -->$", re.M)
WORDS = {
    "en": {
        "piece": "piece", "shape": "shape", "torch": "PyTorch, µs", "forward": "forward",
        "both": "forward and backward",
        "what": "what", "median": "median, s", "range": "range, s", "runs": "runs",
        "activations": "activations", "losses": "losses", "layers": "layers", "normalization": "normalization",
        "recurrence": "recurrence", "attention": "attention", "optimizers": "optimizers",
        "cold build": "cold build, runs the labs", "warm build": "warm build", "live reload": "an edited page is live",
        "from-scratch": "Measured on {date}: {device} ({machine}), torch {torch}, Python {python}, {dtype}, "
                        "seed {seed}, {runs} runs of both in turn.",
        "site": "Measured on {date}: {cores} cores ({machine}), Python {python}, MkDocs {mkdocs}, {pages} pages in two "
                "languages.",
    },
    "zh": {
        "piece": "实现", "shape": "形状", "forward": "前向", "both": "前向与反向", "torch": "PyTorch，µs",
        "what": "项目", "median": "中位数，s", "range": "范围，s", "runs": "次数",
        "activations": "激活函数", "losses": "损失函数", "layers": "层", "normalization": "归一化",
        "recurrence": "循环", "attention": "注意力", "optimizers": "优化器",
        "cold build": "冷构建（运行实验）", "warm build": "热构建", "live reload": "修改后的页面可以打开",
        "from-scratch": "测量于 {date}：CPU 单核（{machine}），torch {torch}，Python {python}，{dtype}，种子 {seed}，"
                        "两者轮流运行 {runs} 次。",
        "site": "测量于 {date}：{cores} 核（{machine}），Python {python}，MkDocs {mkdocs}，两种语言各 {pages} 页。",
    },
}


def ratio(found: dict[str, float] | None) -> str:
    """Return a ratio with its quartiles."""
    return f"{found['ratio']:.2f} ({found['low']:.2f}–{found['high']:.2f})" if found else "–"


def from_scratch(data: dict[str, Any], words: dict[str, str]) -> list[str]:
    """Return a table for each group of pieces."""
    lines = []
    for group, rows in groupby(data["rows"], key=lambda row: row["group"]):
        lines += ["", f"**{words[group]}**", "",
                  f"| {words['piece']} | {words['shape']} | {words['torch']} | {words['forward']} | {words['both']} |",
                  "| --- | --- | ---: | ---: | ---: |"]
        lines += [f"| `{row['name']}` | {row['shape']} | {row['forward']['torch']:.0f} | {ratio(row['forward'])} |"
                  f" {ratio(row.get('both'))} |" for row in rows]
    return lines


def site(data: dict[str, Any], words: dict[str, str]) -> list[str]:
    """Return the table of the build's times."""
    lines = ["", f"| {words['what']} | {words['median']} | {words['range']} | {words['runs']} |",
             "| --- | ---: | ---: | ---: |"]
    return lines + [
        f"| {words[name]} | {data[name]['median']:.1f} | {data[name]['minimum']:.1f}–{data[name]['maximum']:.1f} |"
        f" {data[name]['runs']} |" for name in ("cold build", "warm build", "live reload")]


TABLES = {"from-scratch": from_scratch, "site": site}


def shown(text: str, folder: Path, lang: str, complain: Callable[[str], None]) -> str:
    """Replace each mark in a page by what was measured."""
    def one(match: re.Match[str]) -> str:
        path, words = folder / f"{match[1]}.json", WORDS[lang]
        if match[1] in trainings.TABLES:  # not measured yet is no error: it takes a quiet machine, or a GPU
            found = path.exists() and json.loads(path.read_text("utf-8"))
            return trainings.table(match[1], found, lang) if found else trainings.missing(match[1], lang)
        if match[1] not in TABLES or not path.exists():
            complain(f"there is no result {match[1]}: `make bench` writes docs/results")
            return match[0]
        data = json.loads(path.read_text("utf-8"))
        return "\n".join([words[match[1]].format_map(data), *TABLES[match[1]](data, words)])

    return MARK.sub(one, text)
