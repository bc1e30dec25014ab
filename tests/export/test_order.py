"""The files of an export stand in the order of its steps; none imports a later one."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "export"
STEPS = [
    {"kinds", "devices", "errors", "memory_plan", "freed_memory"},
    {"options"},
    {"network"},
    {"network_to_export"},
    {"conversion"},
    {"aware"},
    {"tflite", "onnx", "coreml"},
    {"int8"},
    {"proof"},
    {"converters", "report"},
    {"board"},
    {"exporter"},
    {"run_folder"},
]
"""Files and folders of export/ in the order of an export; those of one step are independent."""
STEP = {name: i for i, names in enumerate(STEPS) for name in names}


def module_name(path):
    """ "int8.mixed" of export/int8/mixed.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported_modules(path):
    """Names of the modules of export that a file imports, wherever in the file."""
    package, modules = "keras_seg.export", set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            inside = node.module[len(package) :].lstrip(".")
            submodules = {".".join(filter(None, (inside, alias.name))) for alias in node.names}
            modules |= {name for name in submodules if is_module(name)} or {inside}
        elif isinstance(node, ast.Import):
            modules |= {
                alias.name.removeprefix(f"{package}.")
                for alias in node.names
                if alias.name.startswith(f"{package}.")
            }
    return modules - {""}


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


GRAPH = {
    module_name(path): imported_modules(path)
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}
"""Module → modules of export that it imports."""


def test_every_file_belongs_to_a_step():
    assert {name.split(".")[0] for name in GRAPH} <= set(STEP)


def test_no_file_imports_from_a_later_step():
    wrong = []
    for name, imported in GRAPH.items():
        here = name.split(".")[0]
        for other in imported:
            there = other.split(".")[0]
            if there != here and STEP[there] >= STEP[here]:
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_no_files_import_each_other():
    circles = [name for name in GRAPH if name in reached_from(name)]
    assert circles == []


def reached_from(name):
    """Every module that an import of `name` loads."""
    reached, waiting = set(), [name]
    while waiting:
        for other in GRAPH.get(waiting.pop(), ()):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached


def test_the_graph_is_read():
    """So that the tests above cannot pass on an empty graph."""
    assert "conversion" in GRAPH["converters"]
    assert "network.plan" in GRAPH["network.subpixel"]
    assert "kinds" in reached_from("run_folder")
