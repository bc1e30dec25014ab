"""Former paths of modules work, with a warning that names the new path."""

import importlib
import subprocess
import sys

import pytest

from keras_seg.former_modules import FORMER


@pytest.mark.parametrize("former", FORMER)
def test_a_former_path_is_the_module_of_the_new_one(former):
    module = importlib.import_module(FORMER[former])
    sys.modules.pop(former, None)
    with pytest.warns(DeprecationWarning, match=f"{former} is now {FORMER[former]}"):
        assert importlib.import_module(former) is module
    assert module.__spec__.name == module.__name__ == FORMER[former]


def test_no_former_path_hides_a_public_name():
    # Python puts an imported module into its package, in the place of what had its name
    parents = {former: former.rpartition(".") for former in FORMER}
    hidden = [
        former
        for former, (package, _, name) in parents.items()
        if name in getattr(importlib.import_module(package), "__all__", ())
    ]
    assert hidden == []


def test_runner_under_its_former_path():
    from keras_seg import inference
    from keras_seg.inference import runner

    with pytest.warns(DeprecationWarning, match="keras_seg.inference"):
        assert runner.Runner is inference.Runner


@pytest.mark.parametrize(
    "module, slow",
    [
        ("keras_seg", {"importlib.resources", "numpy", "keras", "tensorflow", "yaml", "rich"}),
        ("keras_seg.inference", {"keras", "tensorflow", "scipy", "matplotlib"}),
    ],
)
def test_imports_load_no_slow_module(module, slow):
    """Each of these takes longer to import than the module itself."""
    code = (
        f"import sys; before = {{*sys.modules}}; import {module}; print(*{{*sys.modules}} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "keras_seg.former_modules" in loaded
    assert not loaded & slow
