"""Annotations are for users, too: checkers and editors read them without an install."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CODE = """
from typing import reveal_type

from keras_seg import export
from keras_seg.export import FORMATS

reveal_type(export.export)
"""


def test_a_checker_resolves_export_in_a_checkout_without_an_install(tmp_path):
    (tmp_path / "user.py").write_text(CODE)
    command = [sys.executable, "-m", "pyrefly", "check", "user.py"]
    options = ["--search-path", str(ROOT), "--skip-interpreter-query", "--output-format=min-text"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "-> ExportReport" in done.stdout


def test_the_checker_fails_on_an_error(tmp_path):
    (tmp_path / "user.py").write_text("from keras_seg import export\nexport.export(1, 2)\n")
    command = [sys.executable, "-m", "pyrefly", "check", "user.py", "--preset=default"]
    options = ["--search-path", str(ROOT), "--skip-interpreter-query", "--output-format=min-text"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "parameter `path`" in done.stdout


def test_the_link_in_the_package_leads_to_the_folder_at_the_top():
    link = ROOT / "keras_seg" / "export"
    if link.is_file():
        pytest.skip("a checkout without symbolic links; an install maps the folder")
    assert link.resolve() == ROOT / "export"


def test_public_functions_are_annotated():
    files = [*(ROOT / "keras_seg").rglob("*.py"), *(ROOT / "export").rglob("*.py")]
    bare = [name for path in sorted(files) for name in unannotated(path)]
    assert bare == []


def unannotated(path: Path) -> list[str]:
    """folder/file:line name of each public function and method that lacks an annotation.

    Public: no part of the name begins with one underscore. Functions inside functions are private.
    """
    parts = path.relative_to(ROOT).parts
    place = "/".join(parts if parts[0] == "export" else parts[1:])
    tree = ast.parse(path.read_text())
    methods = [
        (f"{node.name}.{each.name}", each)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for each in node.body
        if isinstance(each, ast.FunctionDef)
    ]
    functions = [(node.name, node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [
        f"{place}:{node.lineno} {name}"
        for name, node in functions + methods
        if not _is_private(node.name) and not _is_annotated(node, method="." in name)
    ]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _is_annotated(node: ast.FunctionDef, *, method: bool) -> bool:
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    arguments = node.args
    given = [*arguments.posonlyargs, *arguments.args][1 if method and not static else 0 :]
    given += [*arguments.kwonlyargs]
    given += [each for each in (arguments.vararg, arguments.kwarg) if each]
    special = node.name.startswith("__")  # what Python says it returns
    return all(each.annotation for each in given) and bool(node.returns or special)
