"""Two replicas train and measure like one device with the whole batch."""

import subprocess
import sys

import pytest

TWO_REPLICAS = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_seg import losses, metrics
from tests.helpers.loss_cases import batch

labels, image = batch(images=4)
labels[0, :6] = 255  # other numbers of counted pixels on the two replicas
weight = np.random.default_rng(0).uniform(0.5, 2, labels.shape).astype("float32")
overlapping = np.where(image > 2, 255, image > 0).astype("float32")  # unknown here and there
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def values(strategy):
    parts = np.split(np.arange(4), strategy.num_replicas_in_sync)
    split = lambda array: strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(array[parts[context.replica_id_in_sync_group]]))
    def step(y_true, y_pred, weight, loss):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred, weight)
        return value, tape.gradient(value, y_pred)
    for spec in SPECS:
        several = isinstance(spec, dict) and "multi_label" in spec
        arguments = [split(overlapping if several else labels), split(image), split(weight)]
        value, gradient = strategy.run(step, args=(*arguments, losses.get(spec)))
        parts_of_gradient = strategy.experimental_local_results(gradient)
        yield strategy.reduce("SUM", value, axis=None), np.concatenate(parts_of_gradient)

def trained(strategy):
    data = tf.data.Dataset.from_tensors((image, labels, weight)).unbatch().batch(4).repeat(2)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        network = keras.layers.Conv2D(5, 3, padding="same")
        model = keras.Sequential([keras.Input((None, None, 5)), network])
        measure = metrics.SegmentationMetrics(5)
        model.compile(
            keras.optimizers.SGD(0.5),
            losses.get("cross_entropy+0.5*dice"),
            metrics=[measure],
            jit_compile=False,
        )
        logs = model.fit(data, epochs=1, verbose=0).history
    assert keras.ops.convert_to_numpy(measure.confusion).sum() == 2 * (labels != 255).sum()
    return logs, keras.ops.convert_to_numpy(network.kernel)

for spec, expected, found in zip(SPECS, values(one), values(two)):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, err_msg=str(spec))
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-7, err_msg=str(spec))
if sys.argv[1:] != ["fit"]:
    sys.exit()
(logs, kernel), (logs_of_two, kernel_of_two) = trained(one), trained(two)
assert logs.keys() == logs_of_two.keys() >= {"loss", "mean_iou", "pixel_accuracy"}
for key in logs:
    np.testing.assert_allclose(logs_of_two[key], logs[key], rtol=1e-5, err_msg=key)
np.testing.assert_allclose(kernel_of_two, kernel, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.parametrize(
    "step",
    [
        "loss",
        # training/test_distribution.py compares weights and metrics of `train`
        pytest.param("fit", marks=pytest.mark.slow),
    ],
)
def test_two_replicas_give_the_loss_gradient_weights_and_metrics_of_one_device(step):
    by_weight, per_image = {"reduction": "mean_with_sample_weight"}, {"per_image": True}
    specs = [
        {"name": "cross_entropy", "class_weights": [1, 2, 3, 4, 5]},
        {"name": "ohem", "threshold": 0.3, "min_kept": 0} | by_weight,
        {"name": "lovasz_softmax"} | per_image,
        {"name": "jaccard"} | per_image | by_weight,
        {"name": "dice"} | by_weight,
        *(
            {"name": name, "multi_label": True}
            for name in ("cross_entropy", "dice", "lovasz_hinge", "boundary", "squared_error")
        ),
        {"name": "ohem", "multi_label": True, "threshold": 0.3, "min_kept": 0},
        {"name": "jaccard", "multi_label": True} | per_image | by_weight,
        *("focal", "dice", "focal_tversky", {"name": "boundary", "max_distance": 4}),
        *({"name": name, "reduction": "sum"} for name in ("cross_entropy", "dice")),
    ]
    program = TWO_REPLICAS.replace("SPECS", repr(specs))
    done = subprocess.run([sys.executable, "-c", program, step], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
