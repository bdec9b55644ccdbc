"""The tables of the settings are those of the dataclass, in both languages."""

import re

import pytest

from dlguide.cli.options import shown
from dlguide.config import settings
from tests.pages.paths import ROOT

KINDS = {
    "en": {"int": "whole number", "float": "number", "str": "text", "bool": "`true`, `false`", "dict": "table"},
    "zh": {"int": "整数", "float": "数", "str": "文本", "bool": "`true`、`false`", "dict": "表"},
}
JOIN, WITHIN = {"en": ", ", "zh": "、"}, {"en": " in ", "zh": "，"}


def value(setting, lang):
    """What a setting may be, as the table says it."""
    words = [f"`{choice}`" for choice in setting.choices] or [KINDS[lang][setting.kind]]
    if setting.within:
        words[0] += f"{WITHIN[lang]}`{setting.within}`"
    return JOIN[lang].join([*words, *(["`none`"] if setting.optional else [])])


def rows(lang):
    """The rows of the tables: the group, and the four cells."""
    text = (ROOT / "docs" / lang / "tools" / "configuration.md").read_text("utf-8")
    found, group = [], ""
    for line in text.splitlines():
        if heading := re.match(r"## .* \{ #(\w+) \}", line):
            group = heading[1]
        elif line.startswith("| `"):
            found.append((group, *(cell.strip() for cell in line.strip("|").split(" | "))))
    return found


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_tables(lang):
    expected = [(s.group, f"`{s.name}`", value(s, lang), f"`{shown(s.default)}`") for s in settings()]
    assert [row[:4] for row in rows(lang)] == expected


def test_english_table_says_what_help_says():
    assert [row[4] for row in rows("en")] == [setting.help for setting in settings()]


def test_chinese_table_explains_every_setting():
    for setting, row in zip(settings(), rows("zh"), strict=True):
        assert re.search(r"[\u4e00-\u9fff]", row[4]), setting.name
        assert not row[4].endswith("。")
        code = set(re.findall(r"`[^`]+`", setting.help))  # the same names, flags and examples
        assert code <= set(re.findall(r"`[^`]+`", row[4])), setting.name
