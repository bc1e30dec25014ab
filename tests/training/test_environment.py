"""`environment.json` names the device, and keeps the time of a training's first start."""

import json
from datetime import datetime
from types import SimpleNamespace

from keras_seg.training import environment
from keras_seg.training.run_folder import ENVIRONMENT_NAME

ENGINE = SimpleNamespace(name="tensorflow", devices=1)


def written(folder):
    environment.write_environment(folder, ENGINE)
    return json.loads((folder / ENVIRONMENT_NAME).read_text())


def test_a_resumed_training_keeps_its_start(tmp_path):
    first = written(tmp_path)
    start = datetime.fromisoformat(first["started"])
    assert 0 <= (datetime.now().astimezone() - start).total_seconds() < 600
    path = tmp_path / ENVIRONMENT_NAME
    path.write_text(json.dumps(first | {"started": "2025-01-02T03:04:05+00:00"}))
    assert written(tmp_path)["started"] == "2025-01-02T03:04:05+00:00"
    for damaged in ("{", "[1]", '{"started": 5}'):
        path.write_text(damaged)
        assert datetime.fromisoformat(written(tmp_path)["started"]) >= start


def test_the_cpu_is_named_as_the_system_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "CPU_FACTS", tmp_path / "cpuinfo")
    assert environment._cpu_name()  # without the file, what Python knows
    (tmp_path / "cpuinfo").write_text("flags\t: fpu\nmodel name\t: A CPU: 3 GHz\n")
    assert environment._cpu_name() == "A CPU: 3 GHz"
    assert written(tmp_path)["device"]
