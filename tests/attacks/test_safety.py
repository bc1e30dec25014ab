"""Files from elsewhere run no code, write nothing outside of their place, and are no markup."""

import ast
import io
import json
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import keras_seg
from keras_seg import inference, models, weights
from keras_seg.data import ClassTable, verify
from keras_seg.inference.files.coco import CocoBuilder
from keras_seg.inference.files.polygons import geojson
from keras_seg.inference.results import comparison_table
from keras_seg.web import runtimes
from tests.helpers.colour_blocks import ColourBlocks
from tests.helpers.folders import write_folder
from tests.helpers.shapes import Shapes
from tests.helpers.stub_runner import Stub, darkness

ROOT = Path(keras_seg.__file__).parents[1]
SOURCES = sorted(p for room in ("keras_seg", "export") for p in (ROOT / room).rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
RUNS_TEXT = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
"""Calls that run what they are given, or let a file say what is to be run."""
NEEDED = {
    "torch.load": ("weights_only", True),
    "keras.saving.load_model": ("safe_mode", True),
    "np.load": ("allow_pickle", False),
    "extractall": ("filter", "data"),
}
"""Calls that are safe with this argument alone."""


def _functions(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [each for each in node.body if isinstance(each, ast.FunctionDef)]


def unsafe_lines(source: str) -> list[str]:
    """What a module does with files or shells that it should not."""
    found, tree = [], ast.parse(source)
    restricted = [
        base
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "find_class" in {f.name for f in _functions(node)}
        for base in node.bases
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            found += [f"import {n}" for n in names if n.split(".")[0] in UNPICKLING - {"pickle"}]
            if isinstance(node, ast.ImportFrom) and node.module == "pickle":
                found.append(ast.unparse(node))
        of_pickle = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle"
        if of_pickle and node.attr != "UnpicklingError" and node not in restricted:
            found.append(ast.unparse(node))
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {w.arg: w.value.value for w in node.keywords if isinstance(w.value, ast.Constant)}
        if name in RUNS_TEXT or given.get("shell") or given.get("allow_pickle"):
            found.append(ast.unparse(node))
        for call, (word, value) in NEEDED.items():
            if name.split(".")[-1] == call.split(".")[-1] and name.endswith(call):
                own_file = call == "np.load" and given.get(word, False) is False
                if given.get(word) != value and not own_file:
                    found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.load(file)",
        "from pickle import loads",
        "pickle.Unpickler(file).load()",
        "class Reader(pickle.Unpickler):\n    def persistent_load(self, pid): ...",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
        "np.load(path, allow_pickle=True)",
        "keras.saving.load_model(path)",
        "archive.extractall(folder)",
    ],
)
def test_every_unsafe_call_would_be_found(line):
    assert unsafe_lines(line)


def test_no_module_unpickles_runs_text_or_starts_a_shell():
    found = {p.name: lines for p in SOURCES if (lines := unsafe_lines(p.read_text()))}
    assert len(SOURCES) > 150 and found == {}


class TestArchives:
    def test_a_keras_file_writes_nothing_outside_of_its_place(self, tmp_path, monkeypatch):
        image = keras.Input((None, None, 3))
        network = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
        path = tmp_path / "inner" / "m.keras"
        path.parent.mkdir()
        models.save(network, path, models.ModelCard(ClassTable(("a", "b"))))
        with zipfile.ZipFile(path, "a") as archive:
            for name in ("../out.txt", "assets/../../out.txt", f"{tmp_path}/out.txt", "x/y.txt"):
                archive.writestr(name, "harm")
        before = set(tmp_path.rglob("*"))
        monkeypatch.chdir(path.parent)
        assert inference.load(path).num_classes == 2
        assert set(tmp_path.rglob("*")) == before

    def test_a_checkpoint_with_such_names_is_read_into_memory_alone(self, tmp_path):
        path = tmp_path / "inner" / "w.npz"
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            array = io.BytesIO()
            np.save(array, np.ones(3))
            archive.writestr("../out.npy", array.getvalue())
        assert list(weights.read(path)) == ["../out"]
        assert [p.name for p in tmp_path.rglob("*")] == ["inner", "w.npz"]

    @pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "link"])
    def test_a_package_for_the_page_is_refused(self, tmp_path, monkeypatch, name):
        def pack(package, scratch):
            with tarfile.open(scratch / "p.tgz", "w:gz") as archive:
                member = tarfile.TarInfo(name)
                if name == "link":
                    member.type, member.linkname = tarfile.SYMTYPE, "../../out.txt"
                archive.addfile(member, io.BytesIO())
            return scratch / "p.tgz"

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(runtimes, "_npm_pack", pack)
        with pytest.raises(ValueError, match=r"be unpacked|does not contain the npm"):
            runtimes.copy_runtime("onnx", tmp_path / "page", None)
        assert not [p for p in tmp_path.rglob("*") if "out" in p.name]


class TestNamesAreText:
    names = ("background", "<script>alert(1)</script>", "[/b] [red]$x_ :smile:")

    def test_in_polygons(self):
        classes = ClassTable(self.names)
        mask = np.repeat([1, 2], 8).reshape(2, 8).repeat(4, 0)
        record = json.loads(json.dumps(geojson(mask, classes)))
        assert {f["properties"]["name"] for f in record["features"]} == set(self.names[1:])
        builder = CocoBuilder(classes)
        builder.add("a.png", mask)
        assert [c["name"] for c in builder.to_dict()["categories"]] == list(self.names[1:])

    def test_in_the_tables_of_the_terminal(self, tmp_path):
        samples = list(Shapes("train", 2))
        folder = write_folder(tmp_path / "[/x]", samples, classes=ClassTable(self.names))
        console = Console(width=200, file=io.StringIO())
        console.print(verify.to_text(verify.verify_dataset(str(folder))))
        data = ColourBlocks(length=2)
        data.classes = ClassTable(self.names)
        console.print(inference.evaluate(Stub(darkness), data).table())
        assert console.file.getvalue().count(self.names[2]) == 2

    def test_what_steers_a_terminal_is_written_out(self, capsys, monkeypatch, tmp_path):
        """In lines, tables and complaints; styles of our own still reach a terminal."""
        from keras_seg.cli.output import complain, say

        monkeypatch.setenv("COLUMNS", "200")
        steering = "a\x1b[2J\x07\r\x9b1m\u202eb"
        written = r"a\x1b[2J\x07\r\x9b1m\u202eb"
        data = ColourBlocks(length=2)
        data.classes = ClassTable(("background", steering, "other"))
        say(f"Report: {steering}")
        say(inference.evaluate(Stub(darkness), data).table())
        samples = list(Shapes("train", 2))
        folder = write_folder(tmp_path / "data", samples, classes=data.classes)
        say(verify.to_text(verify.verify_dataset(str(folder))))
        complain(f"no file {steering}")
        said = capsys.readouterr()
        assert written in said.out and written in said.err
        assert said.out.count(r"\x1b[2J") == 3  # tables leave some of it out
        assert not set("\x1b\x07\r\x9b\u202e") & set(said.out + said.err)

    def test_on_the_page_for_the_browser(self):
        page = ROOT / "keras_seg" / "web" / "page"
        scripts = {p.name: p.read_text() for p in page.glob("*.js")}
        assert "app.js" in scripts
        for name, text in scripts.items():
            for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
                assert way not in text, name

    def test_paths_in_what_verbs_print(self, capsys, monkeypatch):
        from keras_seg.cli.output import say
        from keras_seg.export.proof.audit import Audit

        monkeypatch.setenv("COLUMNS", "200")
        path = "a[/b][red]:smile:.tflite"
        say(f"Report: {path}")
        found = Audit(path, "tflite", 9, {"[/x]": 1}, {}, (), (f"{path} is empty",))
        say(found.table())
        measured = inference.evaluate(Stub(darkness), ColourBlocks(length=2))
        say(comparison_table({path: measured}, {path: 1.0}))
        printed = capsys.readouterr().out
        assert printed.count(path) == 5 and "[/x]" in printed
