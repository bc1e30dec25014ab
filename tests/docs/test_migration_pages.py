"""The pages for users of other packages: every line of ours in their tables is one to type."""

import ast
import functools
import inspect
import re
import shlex
from pathlib import Path

import pytest

import keras_seg
from keras_seg import backbones, losses
from keras_seg.cli.parser import make_parser

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "migrating.md", *sorted((DOCS / "migrating").glob("*.md")), DOCS / "mediapipe.md"]
CODE = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOMS = ("models", "losses", "metrics", "data", "layers", "inference", "export")


def _code_of_ours():
    """(page, expression) of the inline code in the columns headed "here"."""
    for page in PAGES:
        column = None
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.startswith("|"):
                column = None
            elif "here" in cells:
                column = cells.index("here")
            elif column is not None and len(cells) > column:
                for code in CODE.findall(cells[column]):
                    if code.removeprefix("keras_seg.").startswith(tuple(f"{r}." for r in ROOMS)):
                        yield page.stem, code.removeprefix("keras_seg.")


OURS = sorted({code: page for page, code in _code_of_ours()}.items())


@functools.cache
def _parser(verb):
    return make_parser(verb)


def _object_of(name):
    value = keras_seg
    for part in ast.unparse(name).split("."):
        value = getattr(value, part)
    return value


def _is_ours(call):
    return ast.unparse(call.func).partition(".")[0] in ROOMS


def test_the_tables_have_code_to_check():
    assert len(OURS) > 40


@pytest.mark.parametrize("code", [code for code, _ in OURS])
def test_a_line_of_ours_has_the_names_and_arguments_of_the_package(code):
    tree = ast.parse(code, mode="eval").body
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_ours(node)]
    if not calls:
        _object_of(tree)
    for call in calls:
        called = _object_of(call.func)
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        positions = [value for value in call.args if ast.unparse(value) != "..."]
        required = inspect.signature(called)
        (required.bind_partial if len(positions) < len(call.args) else required.bind)(
            *positions, **words
        )
        if called is losses.get:
            losses.get(ast.literal_eval(call.args[0]))
        if isinstance(words.get("backbone"), ast.Constant):  # not a model
            assert ast.literal_eval(words["backbone"]) in backbones.list_backbones()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_have_options_of_their_verbs(page):
    lines = "".join(COMMAND.findall(page.read_text())).replace("\\\n", " ").splitlines()
    for line in lines:
        program, verb, *words = shlex.split(line)
        if program == "keras-seg":
            _parser(verb).parse_args([verb, *words])
