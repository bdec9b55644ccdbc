"""Programs run as a reader runs them: offline, without input, one namespace, and nothing is hidden."""

import pytest

from tests.pages import checks, record
from tests.pages.compare import different_figure
from tests.pages.fences import Page, read
from tests.pages.programs import Result, Run, run
from tests.pages.project import sections


def one(code):
    """What a single block does."""
    return run(("block",), (code,)).blocks[0]


def test_blocks_share_one_namespace_called_main():
    first, second = run(("a", "b"), ("x = 2\nprint(__name__)", "print(x)")).blocks
    assert (first.out, second.out) == ("__main__\n", "2\n")


def test_programs_do_not_share_anything():
    run(("a",), ("import builtins; builtins.left = 1",))
    assert "NameError" in one("print(left)").error


@pytest.mark.parametrize("code", [
    "import socket; socket.create_connection(('192.0.2.1', 80))",
    "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
])
def test_programs_are_offline(code):
    assert "pages run offline" in one(code).error


@pytest.mark.parametrize(("code", "error"), [
    ("import sys; sys.exit(0)", "ends the program"),
    ("input()", "EOFError"),
    ("1 / 0", "ZeroDivisionError"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("def f(:", "SyntaxError"),
])
def test_errors_are_reported(code, error):
    assert error in one(code).error


def test_blocks_after_an_error_do_not_run():
    assert [block.ran for block in run(("a", "b"), ("1 / 0", "print(1)")).blocks] == [True, False]


def test_a_dying_process_is_reported_and_the_next_program_runs():
    assert "did not finish" in one("import os; os._exit(3)").error
    assert one("print(1)").out == "1\n"


def test_warnings_and_other_processes_are_seen():
    assert "UserWarning: careful" in one("import warnings; warnings.warn('careful')").err
    assert one("import os; _ = os.system('echo below')").out == "below\n"


def test_warnings_that_python_hides_are_errors_in_scripts():
    code = "exec('import warnings; warnings.warn(\"old\", DeprecationWarning)', {'__name__': 'library'})"
    assert not one(code).err
    assert "DeprecationWarning" in str(run(("script",), (code,), strict=True).blocks[0].error)


def test_figures_are_kept_in_the_style_of_the_site():
    code = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()"
    (svg,) = one(code).shown
    assert "currentColor" in svg
    assert "<metadata>" not in svg
    assert different_figure(svg, one(code + "  # again").shown[0]) is None
    assert run(("a",), ("import matplotlib.pyplot as plt; _ = plt.plot([0, 1])",)).open == 1


def test_written_figures_are_kept():
    assert dict(one("from pathlib import Path; _ = Path('chain.svg').write_text('<svg></svg>')").written) == {
        "chain": "<svg></svg>"}


PRINTS = "```python\nprint(1.5)\n```\n"


@pytest.mark.parametrize(("text", "result", "said"), [
    (PRINTS + "\n``` {.text .output}\n1.5\n```", Result("1.5\n"), None),
    (PRINTS, Result("1.5\n"), "needs an output fence"),
    (PRINTS + "\n``` {.text .output}\n1.6\n```", Result("1.5\n"), "-1.6\n+1.5"),
    (PRINTS + "\n``` {.text .output}\n1.5\n```", Result(""), "prints nothing"),
    (PRINTS, Result(err="UserWarning: careful"), "stderr"),
    (PRINTS, Result(error="ValueError: no"), "ValueError: no"),
    (PRINTS, Result(ran=False), "earlier block"),
])
def test_messages(text, result, said):
    problems = checks.check(read(text).blocks[0], result, None)
    assert (problems == []) if said is None else (said in problems[0])


@pytest.mark.parametrize(("text", "result", "said"), [
    (PRINTS, Result(shown=("<svg/>",)), "does not show it"),
    (PRINTS + "![a](figure:none)", Result(), "no figure `none`"),
    (PRINTS + "![a](figure:none)", Result(written=(("none", "<svg/>"),)), "not recorded yet"),
    (PRINTS + "![](figure:none)", Result(), "say between the brackets"),
    (PRINTS, Result(shown=("<svg/>", "<svg/>")), "one block, one figure"),
])
def test_messages_about_figures(text, result, said):
    assert said in checks.figures(read(text).blocks[0], result, "start/no-page")[0]


def test_recording_leaves_alone_what_is_equal():
    page = read(PRINTS)
    page.blocks[0].name = "half"
    first = record.outputs("", page, Run((Result("1.5\n"),), 0.1))
    assert first.startswith("# recorded ")
    assert sections(first) == {"half": "1.5"}
    assert record.outputs(first, page, Run((Result("1.5\n"),), 9.9)) == first
    assert sections(record.outputs(first, page, Run((Result("1.6\n"),), 0.1))) == {"half": "1.6"}
    assert record.outputs(first, page, Run((Result(""),), 0.1)).count("\n") == 1  # the section is gone
    assert record.outputs(first.replace("torch", "torch 1"), page, Run((Result("1.5\n"),), 0.1)) != first.replace(
        "torch", "torch 1")
    assert record.record("x", Page(page.blocks, []), Run((Result(error="no"),), 0.1)) == []
