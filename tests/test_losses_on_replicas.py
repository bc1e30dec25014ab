"""Two replicas train, and measure, like one device with the whole batch."""

import subprocess
import sys

TWO_REPLICAS = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_seg import losses, metrics
from tests.test_losses import batch

def trained(loss, strategy):
    labels, image = batch(images=4)
    labels[0, :6] = 255  # other numbers of counted pixels on the two replicas
    weight = np.random.default_rng(0).uniform(0.5, 2, labels.shape).astype("float32")
    data = tf.data.Dataset.from_tensors((image, labels, weight)).unbatch().batch(4).repeat(2)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        network = keras.layers.Conv2D(5, 3, padding="same")
        model = keras.Sequential([keras.Input((None, None, 5)), network])
        measures = [metrics.SegmentationMetrics(5), metrics.BoundaryF1(5)]
        model.compile(keras.optimizers.SGD(0.5), loss, weighted_metrics=measures, jit_compile=False)
        logs = model.fit(data, epochs=1, verbose=0).history
    counts = keras.ops.convert_to_numpy(measures[0].confusion)
    assert counts.sum() == 2 * (labels != 255).sum(), counts.sum()
    return logs, keras.ops.convert_to_numpy(network.kernel)

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for spec in SPECS:
    logs, kernel = trained(losses.get(spec), tf.distribute.get_strategy())
    logs_of_two, kernel_of_two = trained(losses.get(spec), mirrored)
    assert logs.keys() == logs_of_two.keys() >= {"loss", "mean_iou", "boundary_f1"}
    for key, values in logs.items():
        np.testing.assert_allclose(logs_of_two[key], values, rtol=1e-5, err_msg=f"{key} {spec}")
    np.testing.assert_allclose(kernel_of_two, kernel, rtol=1e-5, atol=1e-6, err_msg=str(spec))
"""


def test_two_replicas_give_the_loss_weights_and_metrics_of_one_device():
    by_weight = "mean_with_sample_weight"
    specs = [
        [
            {"name": "cross_entropy", "class_weights": [1, 2, 3, 4, 5]},
            {"name": "ohem", "threshold": 0.3, "min_kept": 0, "reduction": by_weight},
            {"name": "lovasz_softmax", "per_image": True},
            {"name": "jaccard", "per_image": True, "reduction": by_weight},
            "0.5*dice+0.1*boundary",
        ],
        [{"name": name, "reduction": "sum"} for name in ("cross_entropy", "dice")],
    ]
    program = TWO_REPLICAS.replace("SPECS", repr(specs))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
