"""Keras layers of the networks: `keras_seg.layers.Resize(2)(x)`.

The export adds its own layers to a network, and files of older versions contain layers that no
network uses now. Both can be imported from here, but are not part of the public API (`__all__`).
"""

from keras_seg.layers.attention import ChannelAttention, PositionAttention
from keras_seg.layers.batch_normalization import BatchNormalization
from keras_seg.layers.channel_normalization import ChannelNormalization
from keras_seg.layers.crop_or_pad import CropOrPad
from keras_seg.layers.depth_to_space import DepthToSpace
from keras_seg.layers.edge_padding import EdgePadding2D  # noqa: F401
from keras_seg.layers.fake_quantize import FakeQuantize  # noqa: F401
from keras_seg.layers.layer_scale import LayerScale
from keras_seg.layers.local_response_normalization import LocalResponseNormalization
from keras_seg.layers.monte_carlo_dropout import MonteCarloDropout
from keras_seg.layers.object_attention import ObjectAttention, ObjectRegions
from keras_seg.layers.padded_max_pooling import PaddedMaxPooling2D
from keras_seg.layers.parity_planes import ParityPlanes  # noqa: F401
from keras_seg.layers.part_windows import PartWindows
from keras_seg.layers.pooling_indices import MaxPoolingWithIndices2D, MaxUnpooling2D
from keras_seg.layers.preprocessing import Preprocessing
from keras_seg.layers.quantized_convolutions import (  # noqa: F401
    QuantizedConv2D,
    QuantizedConv2DTranspose,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
)
from keras_seg.layers.resize import Resize
from keras_seg.layers.scale_break import ScaleBreak  # noqa: F401
from keras_seg.layers.size_guard import SizeGuard
from keras_seg.layers.torch_names import accept_dots_on_torch
from keras_seg.layers.total_dropout import TotalDropout
from keras_seg.layers.window import CutWindow, PasteWindow

__all__ = [
    "BatchNormalization",
    "ChannelAttention",
    "ChannelNormalization",
    "CropOrPad",
    "CutWindow",
    "DepthToSpace",
    "LayerScale",
    "LocalResponseNormalization",
    "MaxPoolingWithIndices2D",
    "MaxUnpooling2D",
    "MonteCarloDropout",
    "ObjectAttention",
    "ObjectRegions",
    "PaddedMaxPooling2D",
    "PartWindows",
    "PasteWindow",
    "PositionAttention",
    "Preprocessing",
    "Resize",
    "SizeGuard",
    "TotalDropout",
]

accept_dots_on_torch()
