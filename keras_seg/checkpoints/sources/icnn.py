"""Checkpoints of iCNN as released in Theano, and of the networks of STN-iCNN."""

from __future__ import annotations

import re

import keras

from keras_seg import models
from keras_seg.checkpoints.registry import Shapes, source

NODE = re.compile(r"interlink_layers\.(\d+)\.iCNN_Nodelist\.(\d+)\.")


@source("icnn-theano")
def icnn_theano(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """bloodmage/Twostep-helen-face-parsing, with kernels for cross-correlation.

    As in the repository, the background is the last class.
    """
    interlinks = 0
    while f"row0_inter{interlinks}.weight" in shapes:
        interlinks += 1
    arguments = {
        "form": "theano",
        "widths": _widths(shapes, "row{}_in.weight"),
        "interlinks": interlinks,
        "preprocessing": None,
    }
    num_classes = shapes["classifier.weight"][0]
    return models.build("icnn", input_shape, num_classes, **arguments | options)


def without_dead_tensors(tensors: dict) -> dict:
    """Removes tensors that no output depends on.

    Each interlink has convolutions that join the rows at the end, but only those of the last
    interlink are run, from the coarsest row to the finest. The two last convolutions have unused
    norms.
    """
    nodes = [match for name in tensors if (match := NODE.match(name))]
    last_step = max((int(match[1]) for match in nodes), default=0)
    last_row = max((int(match[2]) for match in nodes), default=0)

    def is_dead(name: str) -> bool:
        if re.match(r"last_con2_bnm\.|last_conv3_bnm\.", name):
            return True
        match = NODE.match(name)
        return (
            match is not None
            and name[match.end() :].startswith("output_conv_node")
            and (int(match[1]) < last_step or int(match[2]) == last_row)
        )

    return {name: array for name, array in tensors.items() if not is_dead(name)}


@source("icnn-stn", has=r"^input_conv\.0\.", prepare=without_dead_tensors)
def icnn_stn(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """aod321/STN-iCNN, either stage; the shapes determine the number of labels."""
    steps = [int(match[1]) for name in shapes if (match := NODE.match(name))]
    arguments = {
        "form": "stn",
        "widths": _widths(shapes, "input_conv.{}.weight"),
        "interlinks": 1 + max(steps, default=0),
        "preprocessing": None,
    }
    num_classes = shapes["last_conv3.weight"][0]
    return models.build("icnn", input_shape, num_classes, **arguments | options)


@source("icnn-stn", has=r"^localize_net\.")
def select_net(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """aod321/STN-iCNN, the part locator: probabilities of stage 1 → a matrix per part."""
    parts, classes = shapes["localize_net.0.weight"][:2]
    height, width = (128 if size is None else size for size in input_shape[:2])
    return models.part_locator((height, width, classes), parts, **options)


def _widths(shapes: Shapes, name: str) -> tuple[int, ...]:
    widths = []
    while name.format(len(widths)) in shapes:
        widths.append(shapes[name.format(len(widths))][0])
    if not widths:
        raise KeyError(name.format(0))
    return tuple(widths)
