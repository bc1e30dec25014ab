"""The losses written down in NumPy, one pixel list at a time; every one takes
(ids (B, H, W), probabilities (B, H, W, C), weight (B, H, W), 0 where a pixel does not count).
"""

import numpy as np
from scipy.ndimage import distance_transform_edt


def flat(ids, probabilities, weight):
    kept = weight > 0
    return ids[kept], probabilities[kept], weight[kept]


def mean_of_pixels(values, weight):
    return (values * weight).sum() / max((weight > 0).sum(), 1)


def cross_entropy(ids, probabilities, weight, *, class_weights=None, smoothing=0.0):
    ids, p, weight = flat(ids, probabilities, weight)
    target = np.eye(p.shape[-1])[ids] * (1 - smoothing) + smoothing / p.shape[-1]
    if class_weights is not None:
        weight = weight * np.asarray(class_weights)[ids]
    return (-(target * np.log(p)).sum(-1) * weight).sum() / len(ids)


def ohem(ids, probabilities, weight, *, threshold=0.7, min_kept=1 / 16):
    ids, p, weight = flat(ids, probabilities, weight)
    p = np.take_along_axis(p, ids[:, None], -1)[:, 0]
    number = int(np.ceil(min_kept * len(p))) if min_kept < 1 else min(min_kept, len(p))
    last = np.sort(p)[number - 1] if number else -1
    hard = (p < threshold) | (p <= last)
    return mean_of_pixels(-np.log(p[hard]), weight[hard])


def focal(ids, probabilities, weight, *, gamma=2.0, class_weights=None):
    ids, p, weight = flat(ids, probabilities, weight)
    p = np.take_along_axis(p, ids[:, None], -1)[:, 0]
    if class_weights is not None:
        weight = weight * np.asarray(class_weights)[ids]
    return ((1 - p) ** gamma * -np.log(p) * weight).sum() / len(p)


def squared_error(ids, probabilities, weight, *, class_weights=None):
    ids, p, weight = flat(ids, probabilities, weight)
    if class_weights is not None:
        weight = weight * np.asarray(class_weights)[ids]
    return (((p - np.eye(p.shape[-1])[ids]) ** 2).mean(-1) * weight).sum() / len(ids)


POWERS_FROM = 1e-7
"""What is less counts as this where a power is taken, whose slope is infinite at 0."""


def tversky(ids, probabilities, weight, *, alpha=0.3, beta=0.7, gamma=1.0, smooth=0.0):
    ids, p, w = flat(ids, probabilities, weight)
    terms = []
    for value in np.unique(ids):
        t, q = ids == value, p[:, value]
        true_positive = (w * q * t).sum()
        false_positive, false_negative = (w * q * ~t).sum(), (w * (1 - q) * t).sum()
        index = (true_positive + smooth) / (
            true_positive + alpha * false_positive + beta * false_negative + smooth
        )
        missing = 1 - index if gamma == 1 else max(1 - index, POWERS_FROM)
        terms.append(missing**gamma)
    return np.mean(terms) * w.mean()


def jaccard_of_errors(errors, truth, weight):
    """Lovász extension by its definition: errors, largest first, times what each one adds."""
    order = np.argsort(-errors, kind="stable")
    total, before = 0.0, 0.0
    wrong = np.zeros(len(errors), bool)
    for index in order:
        wrong[index] = True
        union = (weight * (truth | wrong)).sum()
        now = (weight * wrong).sum() / union if union else 0.0
        total += errors[index] * (now - before)
        before = now
    return total


def lovasz_softmax(ids, probabilities, weight):
    ids, p, w = flat(ids, probabilities, weight)
    terms = [
        jaccard_of_errors(abs((ids == value) - p[:, value]), ids == value, w)
        for value in np.unique(ids)
    ]
    return np.mean(terms) * w.mean()


def lovasz_hinge(ids, probabilities, weight):
    values = []
    for image in zip(ids, probabilities, weight, strict=True):
        truth, p, w = flat(*image)
        z = np.log(p[:, 1]) - np.log(p[:, 0])
        errors = np.maximum(1 - z * (2 * truth - 1), 0)
        values.append(jaccard_of_errors(errors, truth == 1, w) * w.mean())
    return np.mean(values)


def boundary(ids, probabilities, weight, *, max_distance=64):
    values = np.zeros(ids.shape)
    for image, (labels, w) in enumerate(zip(ids, weight, strict=True)):
        present = np.unique(labels[w > 0])
        for value in present:
            inside, outside = (labels == value) & (w > 0), (labels != value) & (w > 0)
            if not outside.any():
                continue
            to_inside = np.minimum(distance_transform_edt(~inside), max_distance)
            to_outside = np.minimum(distance_transform_edt(~outside), max_distance)
            signed = np.where(inside, 1 - to_outside, to_inside)
            values[image] += probabilities[image, ..., value] * signed / len(present)
    return mean_of_pixels(values, weight)


# With multi_label every channel is an independent label: (truth (B, H, W, C) of 0..1, logits and
# weight of that shape, 0 where a label does not count).


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def labels_cross_entropy(truth, z, weight, *, class_weights=None, smoothing=0.0):
    truth = truth * (1 - smoothing) + smoothing / 2
    values = -truth * np.log(sigmoid(z)) - (1 - truth) * np.log(sigmoid(-z))
    table = 1 if class_weights is None else np.asarray(class_weights)
    return mean_of_pixels(values * table, weight)


def labels_focal(truth, z, weight, *, gamma=2.0, alpha=None, class_weights=None):
    p, q = sigmoid(z), sigmoid(-z)
    there, absent = (1, 1) if alpha is None else (alpha, 1 - alpha)
    values = -there * truth * q**gamma * np.log(p)
    values -= absent * (1 - truth) * p**gamma * np.log(q)
    table = 1 if class_weights is None else np.asarray(class_weights)
    return mean_of_pixels(values * table, weight)


def labels_squared_error(truth, z, weight):
    return mean_of_pixels((sigmoid(z) - truth) ** 2, weight)


def labels_ohem(truth, z, weight, *, threshold=0.7, min_kept=1 / 16):
    kept = weight > 0
    truth, weight = truth[kept], weight[kept]
    right = sigmoid(np.where(truth == 1, z[kept], -z[kept]))
    number = int(np.ceil(min_kept * len(right)))
    hard = (right < threshold) | (right <= np.sort(right)[number - 1])
    return mean_of_pixels(-np.log(right[hard]), weight[hard])


def labels_tversky(truth, z, weight, *, alpha=0.3, beta=0.7, gamma=1.0):
    terms = []
    channels = (np.moveaxis(each, -1, 0) for each in (truth, sigmoid(z), weight))
    for t, p, w in zip(*channels, strict=True):
        if not (w * t).sum():
            continue
        hit = (w * p * t).sum()
        index = hit / (hit + alpha * (w * p * (1 - t)).sum() + beta * (w * (1 - p) * t).sum())
        terms.append((1 - index if gamma == 1 else max(1 - index, POWERS_FROM)) ** gamma)
    return np.mean(terms) * weight.sum() / (weight > 0).sum() if terms else 0.0


def labels_lovasz_hinge(truth, z, weight):
    values = []
    for image in range(len(truth)):
        for label in range(truth.shape[-1]):
            w = weight[image, ..., label]
            t, score, w = truth[image, ..., label][w > 0], z[image, ..., label][w > 0], w[w > 0]
            if len(w):
                errors = np.maximum(1 - score * (2 * t - 1), 0)
                values.append(jaccard_of_errors(errors, t == 1, w) * w.mean())
    return np.mean(values)


def labels_boundary(truth, z, weight, *, max_distance=64):
    total, p = 0.0, sigmoid(z)
    for image in range(len(truth)):
        counted = weight[image] > 0
        present = ((truth[image] == 1) & counted).any((0, 1))
        for label in np.flatnonzero(present):
            inside = (truth[image, ..., label] == 1) & counted[..., label]
            outside = (truth[image, ..., label] == 0) & counted[..., label]
            if not outside.any():
                continue
            to_inside = np.minimum(distance_transform_edt(~inside), max_distance)
            to_outside = np.minimum(distance_transform_edt(~outside), max_distance)
            signed = np.where(inside, 1 - to_outside, to_inside)
            total += (
                p[image, ..., label] * signed * weight[image, ..., label]
            ).sum() / present.sum()
    return total / (weight > 0).any(-1).sum()


FORMULAS = {
    "boundary": boundary,
    "cross_entropy": cross_entropy,
    "dice": lambda *pixels: tversky(*pixels, alpha=0.5, beta=0.5),
    "focal": focal,
    "focal_tversky": lambda *pixels: tversky(*pixels, gamma=0.75),
    "jaccard": lambda *pixels: tversky(*pixels, alpha=1, beta=1),
    "lovasz_hinge": lovasz_hinge,
    "lovasz_softmax": lovasz_softmax,
    "ohem": ohem,
    "squared_error": squared_error,
    "tversky": tversky,
}
"""Name of each loss of one class per pixel → its formula."""
LABEL_FORMULAS = {
    "boundary": labels_boundary,
    "cross_entropy": labels_cross_entropy,
    "dice": lambda *labels: labels_tversky(*labels, alpha=0.5, beta=0.5),
    "focal": labels_focal,
    "focal_tversky": lambda *labels: labels_tversky(*labels, gamma=0.75),
    "jaccard": lambda *labels: labels_tversky(*labels, alpha=1, beta=1),
    "lovasz_hinge": labels_lovasz_hinge,
    "ohem": labels_ohem,
    "squared_error": labels_squared_error,
    "tversky": labels_tversky,
}
"""Name of each loss of several labels per pixel → its formula."""
