"""The rules behind promise 5: the skeleton of a page, Chinese typography, and how a translation is marked."""

import subprocess

import pytest

from tests.pages import chinese, git, prose
from tests.pages.translated import marked

PAGE = """\
---
kind: lesson
---
# One { #one }

Text with $w$, `$code$`, [a link](x.md#y), [an API][dlguide.optim.SGD] and <https://example.org>.

!!! goals "After this page you can"

    - read;

<!-- formula: its-id -->

$$
y = wx \\quad \\text{if } x > 0
$$

| a | b |
| --- | --- |
| `x|y` | 2 |

```python
--8<-- "a/b.py:c"
```

``` {.text .output}
--8<-- "a/b.out:c"
```

![A line](figure:c)

```console
$ make test  # everything
```

### Two { #two }

??? success "Solution"
"""


def test_skeleton(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf-8")
    found = prose.skeleton(path)
    assert [(s.level, s.id, s.line) for s in found.sections[1:]] == [(1, "one", 4), (3, "two", 36)]
    assert found.sections[1].inline == ["w"]
    assert found.sections[1].links == ["x.md#y", "dlguide.optim.SGD", "https://example.org"]
    assert found.formulas == [(14, "y=wx\\quad\\text{}x>0", "its-id")]
    assert found.boxes == ["goals", "success"]
    assert found.tables == [(3, 2)]
    assert found.images == ["figure:c"]
    assert found.fences == ["python a/b.py:c", "output a/b.out:c", "console\n$ make test"]


@pytest.mark.parametrize(("change", "other"), [
    ("{ #two }", "{ #three }"), ("### Two", "## Two"), ("$w$", "$v$"), ("y = wx", "y = -wx"), ("x.md#y", "x.md#z"),
    ("| `x|y` | 2 |\n", ""), ("its-id", "other-id"), ("goals", "note"), ("b.py:c", "b.py:d"),
    ("figure:c", "figure:d"), ("$ make test", "$ make site"),
])
def test_every_difference_counts(tmp_path, change, other):
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text(PAGE, "utf-8")
    two.write_text(PAGE.replace(change, other, 1), "utf-8")
    assert prose.skeleton(one) != prose.skeleton(two)


def test_words_and_remarks_may_differ(tmp_path):
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text(PAGE, "utf-8")
    two.write_text(PAGE.replace("Text with", "文字").replace("if }", "若 }").replace("everything", "全部"), "utf-8")
    assert prose.skeleton(one) == prose.skeleton(two)


@pytest.mark.parametrize(("text", "said"), [
    ("张量（tensor）是 `x`，形状为 $n$。", None),
    ("损失是 0.5，准确率 98 %。", None),
    ("比例 16:9，见 example.org。", None),
    ("张量,形状", "half-width"),
    ("这是什么?", "half-width"),
    ("结束.", "half-width"),
    ("`x`, 然后", "half-width"),
    ("用Python写", "put a space"),
    ("共3个", "put a space"),
    ("**张量**tensor", "put a space"),
    ("批量正则化", "批量归一化"),
    ("第一行\n第二行", "one paragraph is one line"),
    ("- 第一项\n- 第二项", None),
    ("# 标题\n正文", None),
    ("![四条线](figure:x)", None),
    ("```text\n张量,形状\n```", None),
    ("| 张量 | a |\n| --- | --- |\n| 梯度 | b |", None),
])
def test_chinese(text, said):
    wrong = chinese.problems(text)
    assert (wrong == []) if said is None else (wrong and said in wrong[0])


def test_blob_hash_is_that_of_git(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("一段文字\n".encode())
    said = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True).stdout.strip()
    assert git.blob_hash(path.read_bytes()) == said


OLD, NEW = "0" * 40, "1" * 40


@pytest.mark.parametrize("text", [
    f"---\nkind: lesson\ntranslates: {OLD}\n---\n# A\n", f'---\ntranslates: "{OLD}"\nkind: lesson\n---\n# A\n',
    "---\nkind: lesson\n---\n# A\n", "---\ntranslates: to be written\nkind: lesson\n---\n# A\n",
    f"<!-- translates: {OLD} -->\n# A\n", "# A\n",
])
def test_marking_a_translation(text):
    new = marked(text, NEW)
    assert git.pinned(new) == NEW
    assert new.count("translates:") == 1
    assert new.endswith("# A\n")
    assert marked(new, NEW) == new
