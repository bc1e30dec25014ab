"""Log lines of C++ libraries are dropped where the level asks for it, and no other line is."""

import os

import pytest

from keras_seg.quiet import without_log_lines

LINES = (
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n",
    b"fully_quantize: 0, inference_type: 6, input_inference_type: UINT8\n",
    b"I0000 00:00:1796062505.564983 31189 port.cc:153] oneDNN custom operations are on.\n",
)


def write_all():
    with without_log_lines():
        for line in (*LINES, b"heard\n", b"Error: no memory\n"):
            os.write(2, line)


@pytest.mark.parametrize("level", ["2", "3"])
def test_log_lines_are_dropped(level, monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    write_all()
    assert capfd.readouterr().err == "heard\nError: no memory\n"


def test_all_lines_are_kept_unless_the_level_asks_for_silence(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    write_all()
    assert capfd.readouterr().err.encode().startswith(b"".join(LINES))


def test_lines_before_an_error_are_kept(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with pytest.raises(ValueError, match="stop"), without_log_lines():
        os.write(2, b"heard\n")
        raise ValueError("stop")
    assert capfd.readouterr().err == "heard\n"
