"""The docstrings of a module as Markdown, for those who read a reference page without its HTML (llms.txt)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

DIRECTIVE = re.compile(r"^::: ([\w.]+)[ \t]*(?:\n(?:[ \t]+\S.*\n?)*)?", re.M)


def expanded(markdown: str, sources: Path) -> str:
    """Return a page with each `::: package.module` or `::: package.module.Name` replaced by the public docstrings."""
    def one(match: re.Match[str]) -> str:
        text = documented(match[1], sources)
        return text + "\n" if text else match[0]

    return DIRECTIVE.sub(one, markdown)


def documented(name: str, sources: Path) -> str:
    """Return the docstrings of a module, or of one definition wherever it is imported from; nothing if unknown."""
    base = sources / name.replace(".", "/")
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return module(file.read_text("utf-8"))
    parent, _, last = name.rpartition(".")
    base = sources / parent.replace(".", "/")
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if parent and file.is_file():
            for node in ast.parse(file.read_text("utf-8")).body:
                if getattr(node, "name", "") == last:
                    return "\n\n".join(part for part in described(node, "") if part)
                if isinstance(node, ast.ImportFrom) and node.module and last in {alias.name for alias in node.names}:
                    return documented(f"{node.module}.{last}", sources)
    return ""


def module(source: str) -> str:
    """Return the docstring of a module and of its public classes, functions and methods, in the order of the source."""
    tree = ast.parse(source)
    parts = [ast.get_docstring(tree) or ""]
    for node in tree.body:
        parts += described(node, "")
    return "\n\n".join(part for part in parts if part)


def described(node: ast.AST, within: str) -> list[str]:
    """Return the heading and the docstring of a public definition, and of what is public in it."""
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
        return []
    if isinstance(node, ast.FunctionDef):
        signature = f"({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
        return [f"## `{within}{node.name}{signature}`", ast.get_docstring(node) or ""]
    parts = [f"## `class {node.name}`", ast.get_docstring(node) or ""]
    for child in node.body:
        parts += described(child, f"{node.name}.")
    return parts
