"""Environments of peers are made once for each list of packages; what their tools read wrong."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from benchmarks.peers import environment
from benchmarks.peers.scripts.older_onnx import OPSET, save_older


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """What would have been run, each with success."""
    run = []

    def record(command, check):
        run.append(command)
        (tmp_path / "cache").mkdir(exist_ok=True)
        if "venv" in command:
            (folder := environment.Path(command[-1])).mkdir()
            assert folder.parent == tmp_path / "cache"
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environment.subprocess, "run", record)
    (tmp_path / "requirements-some.txt").write_text("numpy\n")
    return run


def test_an_environment_is_made_once_and_anew_for_other_packages(commands, tmp_path):
    first = environment.peer_python("some", tmp_path / "cache")
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    assert environment.peer_python("some", tmp_path / "cache") == first
    assert len(commands) == 2
    (tmp_path / "requirements-some.txt").write_text("numpy<2\n")
    assert environment.peer_python("some", tmp_path / "cache") != first
    assert len(commands) == 4


def test_an_environment_that_pip_left_half_done_is_made_again(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(
        *(environment.subprocess, "run"),
        lambda command, check: subprocess.CompletedProcess(command, int("pip" in command)),
    )
    for _ in range(2):
        with pytest.raises(RuntimeError, match="pip install .* failed. Repair that"):
            environment.peer_python("some", tmp_path / "cache")


def test_packages_without_wheels_for_this_python_ask_for_another(monkeypatch):
    monkeypatch.setattr(environment, "PYTHONS", {"old": ("python2.9", "python2.8")})
    assert environment.interpreter("any") == sys.executable
    with pytest.raises(
        RuntimeError, match=r"requirements-old.txt need one of python2.9, python2.8"
    ):
        environment.interpreter("old")
    monkeypatch.setattr(environment.shutil, "which", {"python2.8": "/bin/python2.8"}.get)
    assert environment.interpreter("old") == "/bin/python2.8"


def test_a_graph_in_the_older_opset_answers_the_same(tmp_path):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, 3, 4])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 1, 1])
    sizes = onnx.numpy_helper.from_array(np.array([1, 2, 7, 9]), "sizes")
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    words = {"mode": "linear", "coordinate_transformation_mode": "align_corners", "antialias": 0}
    words["keep_aspect_ratio_policy"] = "stretch"
    nodes = [
        helper.make_node("Resize", ["image", "", "", "sizes"], ["large"], **words),
        helper.make_node("Mul", ["large", "large"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["scores"], noop_with_empty_axes=0),
    ]
    graph = helper.make_graph(nodes, "resized", [image], [scores], [sizes, axes])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9),
        tmp_path / "new.onnx",
    )
    save_older(tmp_path / "new.onnx", tmp_path / "old.onnx")
    assert onnx.load(tmp_path / "old.onnx").opset_import[0].version == OPSET
    pixels = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    found = [
        onnxruntime.InferenceSession(tmp_path / name).run(None, {"image": pixels})[0]
        for name in ("new.onnx", "old.onnx")
    ]
    np.testing.assert_array_equal(*found)
