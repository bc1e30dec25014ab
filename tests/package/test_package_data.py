"""Templates, pages and presets are installed with the package, not only in a checkout."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_that_is_not_python_is_package_data():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    installed = {
        path
        for package, patterns in settings["options.package_data"].items()
        for pattern in patterns.split(",")
        for path in (ROOT / package.replace(".", "/")).glob(pattern.strip())
    }
    files = {
        path
        for path in (ROOT / "keras_seg").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "export" not in path.parts
    }
    assert files - installed == set()
    assert ROOT / "keras_seg/report/templates/run.html" in installed
