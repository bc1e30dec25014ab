"""The metrics written down in NumPy, class by class."""

import numpy as np

from keras_seg import metrics

UNKNOWN = 255
METRICS = {
    "mean_iou": metrics.MeanIoU,
    "mean_dice": metrics.MeanDice,
    "pixel_accuracy": metrics.PixelAccuracy,
    "mean_class_accuracy": metrics.MeanClassAccuracy,
    "frequency_weighted_iou": metrics.FrequencyWeightedIoU,
}


def class_scores(labels, predicted, num_classes, counted=None):
    """Every score, pixel by pixel and class by class."""
    counted = labels != UNKNOWN if counted is None else counted
    truth, predicted = labels[counted], predicted[counted]
    iou, dice, accuracy, weighted = [], [], [], 0
    for value in range(num_classes):
        t, p = truth == value, predicted == value
        if (t | p).any():
            iou.append((t & p).sum() / (t | p).sum())
            dice.append(2 * (t & p).sum() / (t.sum() + p.sum()))
            weighted += t.mean() * iou[-1]
        if t.any():
            accuracy.append((t & p).sum() / t.sum())
    return {
        "mean_iou": np.mean(iou),
        "mean_dice": np.mean(dice),
        "pixel_accuracy": (truth == predicted).mean(),
        "mean_class_accuracy": np.mean(accuracy),
        "frequency_weighted_iou": weighted,
    }


def label_scores(truth, predicted):
    """Every score of labels (..., C) of 0 and 1, label by label; `truth` has UNKNOWN."""
    iou, dice, recall, weighted, right, total, present = [], [], [], 0, 0, 0, 0
    each = []
    for label in range(truth.shape[-1]):
        known = truth[..., label] != UNKNOWN
        t, p = truth[..., label][known] == 1, predicted[..., label][known] == 1
        right, total = right + (t == p).sum(), total + len(t)
        union = (t | p).sum()
        each.append((t & p).sum() / union if union else np.nan)
        if union:
            iou.append(each[-1])
            dice.append(2 * (t & p).sum() / (t.sum() + p.sum()))
            weighted += t.sum() * each[-1]
        if t.any():
            recall.append((t & p).sum() / t.sum())
        present += t.sum()
    return {
        "mean_iou": np.mean(iou),
        "mean_dice": np.mean(dice),
        "pixel_accuracy": right / total,
        "mean_class_accuracy": np.mean(recall),
        "frequency_weighted_iou": weighted / present,
    }, each
