"""A release contains the package and nothing else."""

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from keras_seg.version import __version__

pytestmark = pytest.mark.xdist_group("package")  # one worker, so that fixtures are made once


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The folder of a source archive, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("wheel")
    # a copy, because two workers that build in one folder disturb each other
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "results")
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(release):
    (path,) = release.glob("*.whl")
    return path


def test_wheel_holds_every_module_under_one_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"keras_seg"}
    sources = {
        *(str(path.relative_to(ROOT)) for path in (ROOT / "keras_seg").rglob("*.py")),
        *(f"keras_seg/{path.relative_to(ROOT)}" for path in (ROOT / "export").rglob("*.py")),
    }
    assert sources <= set(names)
    data = {"keras_seg/py.typed", "keras_seg/cli/sizes.json", "keras_seg/web/page/index.html"}
    presets = (ROOT / "keras_seg" / "training" / "presets").glob("*.yaml")
    data |= {str(path.relative_to(ROOT)) for path in presets}
    assert data <= set(names)


def test_a_release_holds_no_tests_no_benchmarks_and_no_tools(release, wheel):
    (archive,) = release.glob("*.tar.gz")
    assert archive.name == f"keras_seg-{__version__}.tar.gz"
    assert wheel.name == f"keras_seg-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(archive) as members:
        inside = {"/".join(name.split("/")[1:]) for name in members.getnames()}
    assert "export/exporter.py" in inside
    assert not [name for name in inside if name.startswith("keras_seg/export")]  # only a link
    for name in (*names, *inside):
        parts = Path(name).parts
        assert not {"tests", "benchmarks", "tools", "conftest.py"} & set(parts), name
    assert {"CHANGELOG.md", "LICENSE", "README.md", "setup.cfg", "pyproject.toml"} <= inside


def test_the_changelog_begins_with_this_version():
    (first, *_) = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_the_index_of_packages_would_take_the_release(release):
    pytest.importorskip("twine", reason="twine is for who makes a release")
    files = [str(path) for path in release.iterdir() if path.suffix in (".whl", ".gz")]
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_classifiers_name_the_pythons_that_are_tested():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert listed == re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", workflow)[1])
    assert config["options"]["python_requires"] == f">={listed[0]}"


def test_installed_wheel_imports_and_leaves_no_module_called_export(wheel, tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    code = (
        "import importlib.util, keras_seg, keras_seg.cli\n"
        f"assert keras_seg.__file__.startswith({str(site)!r}), keras_seg.__file__\n"
        "for name in ('export', 'models', 'training'):\n"  # which import TensorFlow
        f"    found = importlib.util.find_spec('keras_seg.' + name)\n"
        f"    assert found.origin.startswith({str(site)!r}), found\n"
        "assert importlib.util.find_spec('export') is None\n"
        "assert keras_seg.cli.main(['presets']) == 0\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
