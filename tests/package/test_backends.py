"""Which backend of Keras the command line takes."""

import json
import os
import sys

import pytest

from keras_seg.backends import BACKENDS, choose_backend
from keras_seg.cli.verbs import VERBS


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """A function that returns backend and sentence of a process that has not imported Keras."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras_seg.backends.is_installed", lambda name: name != "torch")

    def choose(verb, *, variable=None, file=None):
        if variable is None:
            monkeypatch.delenv("KERAS_BACKEND", raising=False)
        else:
            monkeypatch.setenv("KERAS_BACKEND", variable)
        if file is not None:
            (tmp_path / "keras.json").write_text(file)
        sentence = choose_backend(VERBS[verb].backends)
        return os.environ["KERAS_BACKEND"], sentence

    return choose


def named(backend):
    return json.dumps({"floatx": "float32", "backend": backend})


class TestConfigurationFile:
    def test_train_runs_on_the_backend_that_it_names(self, chosen):
        assert chosen("train", file=named("jax")) == ("jax", None)
        assert chosen("train", file=named("tensorflow")) == ("tensorflow", None)

    def test_the_variable_wins(self, chosen):
        assert chosen("train", variable="tensorflow", file=named("jax")) == ("tensorflow", None)
        assert chosen("train", variable="jax", file=named("tensorflow")) == ("jax", None)

    def test_verbs_that_need_tensorflow_say_what_they_use(self, chosen, tmp_path):
        sentence = f"runs on TensorFlow, not on JAX as {tmp_path / 'keras.json'} says."
        for verb in ("export", "demo", "quantize-aware"):
            assert chosen(verb, file=named("jax")) == ("tensorflow", sentence)

    @pytest.mark.parametrize(("backend", "name"), [("torch", "PyTorch"), ("numpy", "numpy")])
    def test_a_backend_that_train_does_not_run_on_is_replaced(
        self, backend, name, chosen, tmp_path
    ):
        sentence = f"runs on TensorFlow, not on {name} as {tmp_path / 'keras.json'} says."
        assert chosen("train", file=named(backend)) == ("tensorflow", sentence)

    def test_a_backend_that_is_not_installed_is_replaced(self, chosen):
        backend, sentence = chosen("evaluate", file=named("torch"))
        assert backend == "tensorflow"
        assert sentence.endswith("says, which is not installed.")

    @pytest.mark.parametrize("file", [None, "{}", "[1]", "{", '{"backend": "tensorflow"}'])
    def test_tensorflow_is_the_default(self, file, chosen):
        assert chosen("train", file=file) == ("tensorflow", None)


def test_the_variable_is_not_replaced_silently(chosen):
    """`train` refuses a backend of the variable, instead of running on another one."""
    assert chosen("train", variable="torch") == ("torch", None)
    sentence = "runs on TensorFlow, not on JAX as KERAS_BACKEND says."
    assert chosen("export", variable="jax") == ("tensorflow", sentence)


def test_nothing_changes_when_keras_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert choose_backend(("tensorflow",)) is None
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_every_verb_names_known_backends():
    for name, verb in VERBS.items():
        assert verb.backends and set(verb.backends) <= set(BACKENDS), name
