"""The layers of the package: imports go down only, and no files import each other in a circle.

Every import of every file counts, also inside of functions and under TYPE_CHECKING.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = (
    # the ground: modules that import nothing of the package but each other
    {
        "arguments",
        "atomic_files",
        "backends",
        "deprecation",
        "engines",
        "former_modules",
        "import_paths",
        "lazy",
        "model_paths",
        "names",
        "names_elsewhere",
        "output_activation",
        "parallel",
        "quiet",
        "safety",
        "shipped_models",
        "storage",
        "tested_versions",
        "version",
    },
    {"masks"},
    {"layers"},
    {"losses", "metrics"},
    {"data"},  # the check of the first batch reads the loss and the metrics of a model
    {"blocks", "card", "keras_registration", "published_weights", "weights"},
    {"backbones"},
    {"models"},
    {"checkpoints"},
    {"training", "inference"},
    {"export"},
    {"demo", "report", "web"},
    {"cli"},
    {"__main__"},
)
"""Subpackages and modules of `keras_seg`, from the ground up."""

FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def files() -> list[Path]:
    """All files of the package; `keras_seg.export` is the folder `export`."""
    return sorted([*(ROOT / "keras_seg").rglob("*.py"), *(ROOT / "export").rglob("*.py")])


def module_name(path: Path) -> str:
    """keras_seg.models.unet for keras_seg/models/unet.py; a package for its __init__.py."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts if parts[0] == "keras_seg" else ["keras_seg", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, known: set[str]) -> set[str]:
    """The modules of the package that a source text imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in known else node.module)
    return found & known


def import_graph() -> dict[str, set[str]]:
    """Module → the modules that it imports."""
    sources = {module_name(path): path.read_text() for path in files()}
    return {name: imports(text, set(sources)) for name, text in sources.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not."""
    reached = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted({other for other in reached[name] if name in reached[other]} | {name}))
        for name in graph
        if name in reached[name]
    }
    return sorted(map(list, groups))


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, open_ones = set(), [start]
    while open_ones:
        for name in graph[open_ones.pop()] - seen:
            seen.add(name)
            open_ones.append(name)
    return seen


def test_imports_go_down_only():
    wrong = []
    for module, imported in import_graph().items():
        part = module.split(".")[1] if "." in module else None
        if part is None:  # keras_seg/__init__.py
            continue
        for name in sorted(imported - {"keras_seg"}):
            other = name.split(".")[1]
            if other != part and FLOOR_OF[other] > FLOOR_OF[part]:
                wrong.append(f"{module} imports {name}")
            elif other != part and FLOOR_OF[other] == FLOOR_OF[part] > 0:
                wrong.append(f"{module} imports {name}, which is on the same floor")
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    assert circles(import_graph()) == []


def test_every_part_has_a_floor():
    parts = {name.split(".")[1] for name in import_graph() if "." in name}
    assert parts == FLOOR_OF.keys()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import keras_seg.a.b", {"keras_seg.a.b"}),
        ("from keras_seg.a import b, Name", {"keras_seg.a.b", "keras_seg.a"}),
        ("def f():\n    from keras_seg import a", {"keras_seg.a"}),
        ("if TYPE_CHECKING:\n    from keras_seg.a.b import Name", {"keras_seg.a.b"}),
        ("import numpy\nfrom keras import ops", set()),
    ],
)
def test_every_form_of_an_import_is_seen(source, expected):
    assert imports(source, {"keras_seg", "keras_seg.a", "keras_seg.a.b"}) == expected


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert circles(graph) == [["b", "c"], ["e"]]
