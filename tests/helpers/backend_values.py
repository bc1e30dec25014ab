"""Values and gradients of all losses, and scores of all metrics, on the backend of this process.

KERAS_BACKEND=jax python -m tests.helpers.backend_values FILE.npz
"""

import sys

import keras
import numpy as np

from keras_seg import losses, metrics
from keras_seg.losses.spec import LOSS_TABLE
from tests.helpers.loss_cases import batch, softmax

SCORES = [
    metrics.BoundaryF1,
    metrics.FrequencyWeightedIoU,
    metrics.MeanClassAccuracy,
    metrics.MeanDice,
    metrics.MeanIoU,
    metrics.PixelAccuracy,
    metrics.SegmentationMetrics,
]
LARGE = 8 * 2**29


def loss_cases():
    """Name of the case → (loss, labels, scores, weights)."""
    for name, entry in LOSS_TABLE.items():
        labels, logits = batch(name)
        weights = np.random.default_rng(1).uniform(0.5, 2, labels.shape).astype("float32")
        yield name, losses.get(name), labels, logits, None
        options = {"ignore_class": 0, "reduction": "mean_with_sample_weight"}
        if "class_weights" in entry.options:
            options["class_weights"] = {1: 3.0, 2: 0.5}
        known = np.where(labels == 255, 1, labels)
        yield f"{name} with weights", losses.get({"name": name} | options), known, logits, weights
        if name != "lovasz_softmax":  # needs exclusive classes
            present = np.where(logits > 2, 255, logits > 0).astype("float32")
            loss = losses.get({"name": name, "multi_label": True})
            yield f"{name} of labels", loss, present, logits, weights
    labels, logits = batch()
    known = np.where(labels == 255, 1, labels)
    one_hot = np.eye(logits.shape[-1], dtype="float32")[known]
    forms = {
        "int64": labels,
        "int32": labels.astype("int32"),
        "uint8": labels.astype("uint8"),
        "float": labels.astype("float32"),
        "with a channel": labels[..., None],
        "one-hot": one_hot,
        "soft": 0.9 * one_hot + 0.1 / logits.shape[-1],
        "invalid": np.where(labels == 255, 7, labels),
    }
    for form, given in forms.items():
        yield f"labels {form}", losses.get("cross_entropy"), given, logits, None
    binary = np.where(labels == 255, 255, labels > 1).astype("uint8")
    yield "one channel", losses.get("cross_entropy+dice"), binary, logits[..., :1], None
    loss = losses.get({"name": "cross_entropy", "from_logits": False, "ignore_class": None})
    yield "probabilities", loss, known, softmax(logits), None


def value_and_gradient(loss, labels, scores, weights):
    """On JAX compiled, with labels and weights as arguments of the compiled function."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        differentiate = jax.value_and_grad(lambda y, x, w: loss(x, y, w))
        return jax.jit(differentiate)(scores, labels, weights)
    if backend == "torch":
        import torch

        scores = torch.tensor(scores, requires_grad=True)
        value = loss(labels, scores, weights)
        value.backward()
        return value.detach().numpy(), scores.grad.numpy()
    import tensorflow as tf

    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(labels, scores, weights)
    return value, tape.gradient(value, scores)


def metric_values():
    """Name of the case → score of two batches."""
    labels, logits = batch()
    several = (logits[..., ::-1] > 0).astype("float32")
    for kind in SCORES:
        for case, options, truth in (
            ("", {}, labels),
            (" without 0", {"ignore_class": 0}, np.where(labels == 255, 1, labels)),
            (" of labels", {"multi_label": True, "threshold": 0.3}, several),
        ):
            metric = kind(logits.shape[-1], **options)
            metric.update_state(truth, logits)
            metric.update_state(truth[:1].astype("int32"), logits[:1])
            scores = metric.result()
            scores = scores if isinstance(scores, dict) else {"": scores}
            yield from ((f"{kind.__name__}{case} {key}", value) for key, value in scores.items())
    metric = metrics.ClassIoU(logits.shape[-1], class_id=2)
    metric.update_state(labels, logits.argmax(-1))
    yield "ClassIoU", metric.result()
    wrong = metrics.MeanIoU(logits.shape[-1])
    wrong.update_state(np.where(labels == 255, 7, labels), logits)
    yield "MeanIoU of invalid labels", wrong.result()
    wide = metrics.MeanIoU(2)
    for _ in range(LARGE // 2**29):
        wide._pixels.add(keras.ops.full((2, 2), 2**29, dtype="int32"))
    yield "large counts", keras.ops.cast(wide.confusion, "float32")
    yield "large score", wide.result()


def logs_of_fit():
    """Logs of two steps with every metric, compiled where the backend compiles."""
    labels, logits = batch(images=4)
    model = keras.Sequential([keras.Input((12, 10, 5)), keras.layers.Conv2D(5, 1)])
    model.set_weights([np.eye(5, dtype="float32")[None, None], np.zeros(5, "float32")])
    scores = [kind(5) for kind in SCORES if kind is not metrics.SegmentationMetrics]
    model.compile(
        keras.optimizers.SGD(0.1),
        losses.get("cross_entropy+0.5*dice"),
        metrics=[*scores, metrics.SegmentationMetrics(5, scores=["mean_iou"], prefix="all_")],
    )
    logs = model.fit(logits, labels, batch_size=2, epochs=2, shuffle=False, verbose=0).history
    yield from ((f"fit {key}", np.asarray(value)) for key, value in logs.items())


def values():
    """Name of the case → array."""
    arrays = {}
    for name, loss, labels, scores, weights in loss_cases():
        value, gradient = value_and_gradient(loss, labels, scores, weights)
        arrays[name], arrays[f"gradient of {name}"] = np.asarray(value), np.asarray(gradient)
    for name, value in (*metric_values(), *logs_of_fit()):
        arrays[name] = keras.ops.convert_to_numpy(value)
    return arrays


if __name__ == "__main__":
    np.savez(sys.argv[1], **values())
