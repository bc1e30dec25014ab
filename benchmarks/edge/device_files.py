"""int8 files of one network for several devices, with few conversions."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np


class DeviceFiles:
    """The int8 files of an untrained network, one per target, head and type of the image.

    Targets that need the same graph of TensorFlow's converter share one conversion. Ranges are
    those of the images; an export would search for better ones, which random weights often need.

    Args:
        model: a network of free or fixed size.
        images: (H, W, C) uint8 images of the size of the files.
    """

    def __init__(self, model: keras.Model, images: Sequence[np.ndarray]):
        self.model, self.images = model, images
        self._graphs: dict[tuple, bytes] = {}

    def file(self, target: str, head: str = "logits", image: str = "int8") -> bytes:
        """The bytes of a file for a target."""
        from keras_seg.card import ModelCard
        from keras_seg.data import ClassTable
        from keras_seg.export.network_to_export import open_network
        from keras_seg.export.options import HEADS, ExportOptions
        from keras_seg.export.tflite.metadata import with_card
        from keras_seg.export.tflite.spellings.respell import respelled
        from keras_seg.models import for_inference

        options = ExportOptions(
            format="tflite",
            quantize="int8",
            head=head,
            input=image,
            target=target,
            input_shape=self.images[0].shape,
        )
        model = for_inference(self.model)
        card = ModelCard(ClassTable.numbered(model.output_shape[-1]))
        network = open_network(model, options, card)
        device = options.device
        key = (
            head,
            image,
            options.class_dtype,
            device.compares_by_masks,
            device.per_channel,
        )
        if key not in self._graphs:
            self._graphs[key] = self._converted(network)
        return with_card(respelled(self._graphs[key], device), network.card, HEADS[head])

    def _converted(self, network) -> bytes:
        """The graph of TensorFlow's converter, without sub-pixel convolutions if it fails with."""
        from dataclasses import replace

        from keras_seg.export.errors import ExportError
        from keras_seg.export.network.deployed import deploy
        from keras_seg.export.tflite.convert import as_int8, tflite_graph

        own = replace(network, options=replace(network.options, subpixel=False))
        for form in (network, own):
            deployed = deploy(form.model, form.shape, form.options)
            try:
                return tflite_graph(deployed, form, self.images, as_int8)
            except ExportError as error:
                refused = error
        raise refused
