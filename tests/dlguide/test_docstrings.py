"""The public package: documented completely, listed in the reference, used by a page, in files of a screen or two."""

import ast
import re
import subprocess
import sys

import pytest

from tests.pages.docstrings import documented
from tests.pages.paths import ROOT

SOURCES = sorted((ROOT / "src" / "dlguide").rglob("*.py"))
WELL_KNOWN = {"forward", "step", "extra_repr"}  # torch documents how these methods are called


def module_name(path):
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}
PUBLIC = [name for name in MODULES if "._" not in name and name != "dlguide"]


def exports(module):
    """The names in `__all__`, None if a module has none."""
    for node in ast.parse(MODULES[module].read_text("utf-8")).body if module in MODULES else []:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def is_public(module, name):
    """No underscore; in a folder that lists its public names (dlguide.graph), listed there."""
    listed = exports(module.rsplit(".", 1)[0])
    return not any(part.startswith("_") for part in name.split(".")) and (
        listed is None or name.split(".")[0] in listed)


def objects():
    """The public classes, functions and methods: module, dotted name, node."""
    for module in PUBLIC:
        for name, node in documented(ast.parse(MODULES[module].read_text("utf-8"))):
            if name != "module" and is_public(module, name):
                yield module, name, node


OBJECTS = [pytest.param(name, node, id=f"{module}.{name}") for module, name, node in objects()]


def parameters(node):
    """The names of a function's arguments, or of those that make an object of a class."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if made:
            return parameters(made[0])
        if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            return []
        fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
        return [name for name in (ast.unparse(n.target) for n in fields) if not name.startswith("_")]
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [a.arg for a in named if a is not None and a.arg not in ("self", "cls")]


def returns(node):
    """Whether a function gives something back."""
    return node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn")


def problems(name, node):
    """What is missing in a docstring."""
    text = ast.get_docstring(node) or ""
    first = text.split("\n", 1)[0].strip()
    if not first:
        return ["it has no docstring: one line that says what it is or does"]
    wrong = [] if first.endswith((".", ":", "?")) else [f"the first line is one sentence with a full stop: {first!r}"]
    is_class, method = isinstance(node, ast.ClassDef), "." in name
    decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
    if any("property" in decorator for decorator in decorators):
        return wrong
    listed = re.search(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)+)", text, re.M)
    said = listed[1] if listed else ""
    missing = [p for p in parameters(node) if not re.search(rf"^\s+\*{{0,2}}{p}\b.*:", said, re.M)]
    if missing and not (method and name.rsplit(".", 1)[1] in WELL_KNOWN):
        wrong.append(f"Args: does not explain {', '.join(missing)} (shape, dtype, range)")
    if not is_class and returns(node) and not re.search(r"^(?:Returns|Yields):\n", text, re.M) and not method:
        wrong.append("Returns: is missing (shape, dtype, range)")
    error = is_class and any("Error" in ast.unparse(base) for base in node.bases)
    if not method and not error and not re.search(r"^Examples?:\n", text, re.M):
        wrong.append("Example: is missing: a ```python block and what it prints")
    return wrong


@pytest.mark.parametrize(("name", "node"), OBJECTS)
def test_public_object_is_documented(name, node):
    wrong = problems(name, node)
    assert not wrong, "\n".join([f"{name}, line {node.lineno}", *wrong])


@pytest.mark.parametrize("module", MODULES)
def test_module_is_documented_and_short(module):
    text = MODULES[module].read_text("utf-8")
    for name, node in documented(ast.parse(text)):  # a line for the module and each name without an underscore
        private = any(part.startswith("_") for part in name.split("."))
        assert private or (ast.get_docstring(node) or "").strip(), f"{module}: {name} has no docstring"
    lines = text.count("\n")
    assert lines <= 300, f"{module} has {lines} lines: a file is a screen or two, at most 300 lines"


def test_reference_lists_every_public_module():
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "en" / "reference").glob("*.md"))
    listed = re.findall(r"^::: ([\w.]+)", pages, re.M)
    for module, name, _ in objects():
        if "." not in name:
            package = module.rsplit(".", 1)[0]  # what a folder exports may be listed there
            assert {module, f"{module}.{name}", package, f"{package}.{name}"} & set(listed), (
                f"{module}.{name} is in no page of docs/en/reference: add `::: {module}`")


def test_everything_public_is_used_by_a_page_or_a_lab():
    """By its own name on a page, in a program or in a lab, or by something else in the package."""
    readers = [*(ROOT / "snippets").rglob("*.py"), *(ROOT / "docs" / "labs").glob("*.py"), ROOT / "README.md",
               *(ROOT / "docs" / "en").rglob("*.md"), *(ROOT / "tests" / "gpu").glob("*.py"),
               *(ROOT / "tests" / "snippets").rglob("*.py")]
    text = "\n".join(path.read_text("utf-8") for path in readers)
    package = [path.read_text("utf-8") for path in SOURCES]
    unused = []
    for module, name, _ in objects():
        if "." in name:
            continue
        word = re.compile(rf"\b{name}\b")
        mention = re.compile(rf"(?:def|class) {name}\b|^from .* import .*|__all__ = .*", re.M)
        inside = any(word.search(mention.sub("", source)) for source in package)
        if not word.search(text) and not inside:
            unused.append(f"{module}.{name}")
    assert not unused, f"no page, lab or test of a page uses {', '.join(unused)}: take it out or use it"


def test_import_is_cheap():
    code = "import sys, dlguide; print(*sorted({'torch', 'numpy', 'matplotlib', 'sklearn'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert done.stdout.strip() == "", f"`import dlguide` imports {done.stdout.strip()}"


GOOD = '''
def half(x: float) -> float:
    """Return half of a number.

    Args:
        x: any number.

    Returns:
        The half.

    Example:
        ```python
        half(1.0)
        ```
    """
'''


@pytest.mark.parametrize(("old", "new", "said"), [
    ("", "", None), ("Return half of a number.", "", "no docstring"), ("number.", "number", "full stop"),
    ("        x: any number.\n", "", "does not explain x"), ("    Returns:", "    Gives:", "Returns:"),
    ("    Example:", "    Note:", "Example:"),
])
def test_rule(old, new, said):
    source = GOOD.replace(old, new) if said != "no docstring" else "def half(x): return x / 2"
    wrong = problems("half", ast.parse(source).body[0])
    assert (wrong == []) if said is None else (said in wrong[0])
