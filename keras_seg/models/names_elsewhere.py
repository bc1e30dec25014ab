"""Names of other packages for the networks and options of this one, for messages and migration."""

from __future__ import annotations

from collections.abc import Collection

from keras_seg.names import nearest_name
from keras_seg.names_elsewhere import advice

OPTIONS_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "num_classes": ("classes", "n_classes", "nclasses", "n_labels", "nb_classes", "out_channels"),
    "input_shape": ("input_size", "img_size", "image_size", "image_shape", "input_dims"),
    "backbone": ("encoder_name", "encoder", "backbone_name", "base_model", "image_encoder"),
    "backbone_weights": ("encoder_weights", "weights_backbone", "pretrained", "weights"),
    "widths": ("filters", "filter_num", "n_filters", "base_filters", "start_filters", "features"),
    "decoder_widths": ("decoder_filters", "decoder_channels"),
    "upsampling": ("decoder_block_type", "decoder_interpolation", "upsample_type"),
    "aspp_rates": ("dilation_rates", "atrous_rates", "decoder_atrous_rates"),
    "channels": ("decoder_channels", "projection_filters"),
    "output_stride": ("encoder_output_stride", "os", "downsample_factor"),
    "activation": ("output_activation", "final_activation", "last_activation"),
    "preprocessing": ("preprocess_input", "rescale", "normalization"),
    "deep_supervision": ("deep_supervise",),
    "auxiliary_head": ("aux_params", "aux_loss", "aux_head"),
}
"""Option here → its names in other packages."""
FREEZE = "Call models.freeze_backbone(model), or write freeze: backbone in a recipe"
CHANNELS = "Its place here is input_shape, such as (None, None, 4) for 4 channels"
ADVICE = {
    "encoder_freeze": FREEZE,
    "freeze_encoder": FREEZE,
    "freeze_backbone": FREEZE,
    "encoder_depth": "The depth follows from the number of widths or from the backbone",
    "decoder_use_batchnorm": "Leave it out: the decoder has batch norm",
    "decoder_use_norm": "Leave it out: the decoder has batch norm",
    "decoder_attention_type": "Leave it out: the decoder has no attention",
    "in_chans": CHANNELS,
    "in_channels": CHANNELS,
    "n_channels": CHANNELS,
    "channels_in": CHANNELS,
    "loss": "Pass the loss to model.compile",
    "optimizer": "Pass the optimizer to model.compile",
}
"""Option of another package → what to do here instead."""
NOT_HERE = ("FPN", "Linknet", "PSPNet", "PAN", "MAnet", "UPerNet", "Segformer", "DPT", "LRASPP")
"""Networks of other packages that this one does not have."""


def unknown_option(network: str, option: str, known: Collection[str]) -> str:
    """The message for an option that a network does not have.

    Args:
        network: name of the network.
        option: the option that was passed.
        known: all arguments of the network's builder.

    Example:
        >>> unknown_option("unet", "classes", ["input_shape", "num_classes", "widths"])
        "unet has no option 'classes'. Its name here is num_classes."
    """
    start = f"{network} has no option {option!r}."
    for here, elsewhere in OPTIONS_ELSEWHERE.items():
        if option.lower() in elsewhere and here in known:
            return f"{start} Its name here is {here}."
    if option in ADVICE:
        return f"{start} {ADVICE[option]}."
    nearest = nearest_name(option, known)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return f"{start}{hint} Options: {', '.join(sorted(known))}."


def unknown_model(name: str, known: Collection[str]) -> str:
    """Completes the message for a name that `keras_seg.models` does not have.

    Example:
        >>> unknown_model("UnetPlusPlus", ["unet", "unetplusplus"])
        '. Its name here is unetplusplus'
    """
    plain = name.lower().replace("_", "").replace("net2plus", "netplusplus")
    if any(plain == each.lower() for each in NOT_HERE):
        return f". This package has no {name}. Its networks: {', '.join(known)}"
    here = {each.replace("_", ""): each for each in known}
    if plain in here:
        return f". Its name here is {here[plain]}"
    if text := advice(name):
        return f". {text}"
    nearest = nearest_name(name, known)
    return f". Did you mean {nearest!r}?" if nearest else ""
