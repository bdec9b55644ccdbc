"""The examples in docstrings, read like pages: one program for each docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.pages.fences import Page, read

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """The module, its classes and functions with their dotted names, in order."""

    def inside(node: Documented, prefix: str) -> Iterator[tuple[str, Documented]]:
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                if isinstance(child, ast.ClassDef):  # a function inside a function is nobody else's
                    yield from inside(child, f"{prefix}{child.name}.")

    yield "module", tree
    yield from inside(tree, "")


def examples(source: str) -> Iterator[tuple[str, Page]]:
    """The docstrings that hold fences; line numbers are those of the file."""
    for name, node in documented(ast.parse(source)):
        text = ast.get_docstring(node, clean=True)
        if text and ("```" in text or "~~~" in text):
            first = node.body[0].lineno - 1
            page = read(text)
            for block in page.blocks:
                block.line += first
            page.problems[:] = [(line + first, problem) for line, problem in page.problems]
            if page.blocks or page.problems:
                yield name, page
