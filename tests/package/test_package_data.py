"""Templates, pages and presets are installed with the package, not only in a checkout."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_that_is_not_python_is_package_data():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    installed = {
        path.resolve()
        for package, patterns in settings["options.package_data"].items()
        for pattern in patterns.split(",")
        for path in (ROOT / package.replace(".", "/")).glob(pattern.strip())
    }
    files = {
        path
        for top in ("keras_seg", "export")  # keras_seg/export is a link to export
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if path.relative_to(ROOT).parts[:2] != ("keras_seg", "export")
    }
    assert files - installed == set()
    assert ROOT / "export/board/templates/board.py" in installed
    assert ROOT / "keras_seg/report/templates/run.html" in installed
