"""Keras layers with state or a rule of their own, one idea a file."""

from keras_seg.layers.attention import ChannelAttention, PositionAttention
from keras_seg.layers.batch_normalization import BatchNormalization
from keras_seg.layers.channel_normalization import ChannelNormalization
from keras_seg.layers.crop_or_pad import CropOrPad
from keras_seg.layers.depth_to_space import DepthToSpace
from keras_seg.layers.edge_padding import EdgePadding2D
from keras_seg.layers.fake_quantize import FakeQuantize
from keras_seg.layers.layer_scale import LayerScale
from keras_seg.layers.local_response_normalization import LocalResponseNormalization
from keras_seg.layers.monte_carlo_dropout import MonteCarloDropout
from keras_seg.layers.object_attention import ObjectAttention, ObjectRegions
from keras_seg.layers.padded_max_pooling import PaddedMaxPooling2D
from keras_seg.layers.parity_planes import ParityPlanes
from keras_seg.layers.part_windows import PartWindows
from keras_seg.layers.pooling_indices import MaxPoolingWithIndices2D, MaxUnpooling2D
from keras_seg.layers.preprocessing import Preprocessing
from keras_seg.layers.quantized_convolutions import (
    QuantizedConv2D,
    QuantizedConv2DTranspose,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
)
from keras_seg.layers.resize import Resize
from keras_seg.layers.scale_break import ScaleBreak
from keras_seg.layers.size_guard import SizeGuard
from keras_seg.layers.total_dropout import TotalDropout
from keras_seg.layers.window import CutWindow, PasteWindow

__all__ = [
    "BatchNormalization",
    "ChannelAttention",
    "ChannelNormalization",
    "CropOrPad",
    "CutWindow",
    "DepthToSpace",
    "EdgePadding2D",
    "FakeQuantize",
    "LayerScale",
    "LocalResponseNormalization",
    "MaxPoolingWithIndices2D",
    "MaxUnpooling2D",
    "MonteCarloDropout",
    "ObjectAttention",
    "ObjectRegions",
    "PaddedMaxPooling2D",
    "ParityPlanes",
    "PartWindows",
    "PasteWindow",
    "PositionAttention",
    "Preprocessing",
    "QuantizedConv2D",
    "QuantizedConv2DTranspose",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "Resize",
    "ScaleBreak",
    "SizeGuard",
    "TotalDropout",
]
