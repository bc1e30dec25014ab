"""What the parts of each network are called in a drawing."""

from __future__ import annotations

import re
from collections.abc import Callable

Words = str | Callable[[re.Match], str]

ENCODER, HEAD = "encoder #", "head"
SKIPS = {
    **dict.fromkeys(
        ("unet", "unetplusplus", "resunet", "resunetplusplus", "deeplabv3plus"), "skip connection"
    ),
    **dict.fromkeys(("segnet", "segnet_basic", "deconvnet"), "pooling indices"),
}
"""What a dashed arrow means. Other networks of `PARTS` have no dashed arrows."""

_HRNET = (
    (r"conv\d|bn\d", "stem"),
    (r"layer1", "stage 1"),
    (r"transition(\d)", lambda match: f"stage {int(match[1]) + 1}"),
    (r"stage(\d)", r"stage \1"),
)


def _grid_column(shift: int) -> Callable[[re.Match], str]:
    """Words for a block of GridNet, whose node is `shift` columns to the right of its number."""

    def words(match: re.Match) -> str:
        row, column = int(match["row"]), int(match["column"]) + shift
        row += match["kind"] == "down"
        half = "encoder" if column < 3 else "decoder"  # of the six columns of the paper
        return f"{half}@{row},{column}"

    return words


_GRID_NODE = r"(?P<row>\d)_(?P<column>\d)"

PARTS: dict[str, tuple[tuple[str, Words], ...]] = {
    "unet": (
        (r"inc|down\d", f"{ENCODER}|bridge"),
        (r"centre", "bridge"),
        (r"up\d", "decoder #"),
        (r"outc", HEAD),
    ),
    "unetplusplus": (
        (r"conv\d_0", "encoder|bridge"),
        (r"conv\d_\d|up\d", r"node@\g<0>"),
        (r"final\d?", r"head@\g<0>"),
    ),
    "resunet": (
        (r"input_|residual_conv", ENCODER),
        (r"bridge", "bridge@bridge"),
        (r"up_residual", "decoder #"),
        (r"output_layer", HEAD),
    ),
    "resunetplusplus": (
        (r"c\d", ENCODER),
        (r"b1", "ASPP@bridge"),
        (r"d(\d)", r"decoder #@\1"),
        (r"aspp", "ASPP@end"),
        (r"output", HEAD),
    ),
    "segnet": ((r"conv1_1_D", HEAD), (r"conv\d_\d_D", "decoder #")),
    "segnet_basic": (
        (r"conv_classifier", HEAD),
        (r"conv_decode\d", "decoder #"),
    ),
    "deconvnet": (
        (r"fc6-deconv|de(conv|bn)\d", "decoder #"),
        (r"(bn)?fc\d", "fc6, fc7@fc"),
        (r"seg-score", HEAD),
    ),
    "gridnet": (
        (rf"(?P<kind>lateral)_{_GRID_NODE}", _grid_column(1)),
        (rf"(?P<kind>down|up|node)_{_GRID_NODE}", _grid_column(0)),
        (r"first|input_bn", "stem"),
        (r"last|output_bn", HEAD),
    ),
    "icnn": (
        (r"row(\d)_inter(\d)", lambda match: f"step {int(match[2]) + 1}@{match[1]}"),
        (r"row\d_in", r"input@\g<0>"),
        (r"row\d_merge", r"merge@\g<0>"),
        (r"head|classifier", HEAD),
    ),
    "deeplabv3plus": (
        (r"aspp", "ASPP"),
        (r"decoder", "decoder"),
        (r"classifier", HEAD),
    ),
    "hrnet": (*_HRNET, (r"pyramid", "pyramid"), (r"last_layer|head", HEAD)),
    "ocrnet": (
        (r"aux_head", "regions"),
        (r"conv3x3_ocr", "features"),
        (r"ocr_", "attention@ocr"),
        (r"cls_head", HEAD),
    ),
    "danet": (
        (r"head\.(conv5a|sa|conv51|conv6)\b", "position\nattention"),
        (r"head\.(conv5c|sc|conv52|conv7)\b", "channel\nattention"),
        (r"head", HEAD),
    ),
}
"""Network → (pattern of the beginning of a layer's name, words for the reader).

- "#" is replaced by the number of the block among those of equal words.
- The text after "|" is the name of the deepest of these blocks.
- Layers of equal words form one block per resolution. With "@" in the words they form one block in
  all, at the resolution of its last layer. The text after "@" is not shown.
- All other layers with weights belong to the encoder.
"""


def words_of(network: str, layer: str, *, has_weights: bool) -> str | None:
    """Words of the part a layer belongs to; None for an unknown network, or for no part."""
    for pattern, words in PARTS.get(network, ()):
        if match := re.match(pattern, layer):
            return words(match) if callable(words) else match.expand(words)
    return ENCODER if network in PARTS and has_weights else None
