"""The progress bar of a terminal: the validation has a line of its own."""

import keras
import numpy as np

from keras_seg.training.progress_bar import ProgressBar


def test_no_line_is_wider_than_a_terminal_of_80_columns(capsys):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    x, y = np.zeros((2, 4, 4, 3), "float32"), np.zeros((2, 4, 4, 1), "float32")
    model.fit(x, y, validation_data=(x, y), epochs=2, verbose=1, callbacks=[ProgressBar()])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "val_" in line] == []
    assert lines[-1].startswith("validation - loss: 0.0") and " - mae: 0.0" in lines[-1]
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert sum("step" in line and "1/1" in line for line in lines) <= 4
