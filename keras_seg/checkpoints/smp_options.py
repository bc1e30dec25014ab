"""Translates the arguments of segmentation_models.pytorch, given or from its config.json."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

import numpy as np

from keras_seg.checkpoints import foreign
from keras_seg.checkpoints.timm_names import base_name
from keras_seg.names import unknown_name

DEFAULTS = {
    "encoder_name": None,
    "encoder_depth": None,
    "encoder_weights": None,
    "encoder_output_stride": None,
    "decoder_channels": None,
    "decoder_use_norm": "batchnorm",
    "decoder_use_batchnorm": None,
    "decoder_attention_type": None,
    "decoder_interpolation": "nearest",
    "decoder_atrous_rates": None,
    "decoder_aspp_separable": None,
    "decoder_aspp_dropout": None,
    "in_channels": None,
    "classes": None,
    "activation": None,
    "upsampling": None,
    "aux_params": None,
}
"""Arguments of the three networks; None where the tensors or our own default decide."""
INTERPOLATIONS = {
    "nearest": {},
    "area": {},  # equals "nearest", since each step doubles the size
    "nearest-exact": {"upsampling": "nearest", "variant": {"resize_grid": "half_pixel"}},
    "bilinear": {"upsampling": "bilinear", "variant": {"resize_grid": "half_pixel"}},
}
UNTOLD = {
    "DeepLabV3Plus": {
        "encoder_output_stride": (16, "output_stride"),
        "decoder_atrous_rates": ((12, 24, 36), "aspp_rates"),
        "upsampling": (4, "upsample_logits"),
        "activation": (None, "activation"),
    },
    "Unet": {
        "decoder_interpolation": ("nearest", "upsampling"),
        "activation": (None, "activation"),
    },
}
"""Network → arguments that change no tensor: (smp's default, the option here)."""
ACTIVATIONS = {
    None: None,
    "identity": None,
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "softmax2d": "softmax",
}
ENCODERS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "mobilenet_v2",
    "xception",
)
"""smp's own encoders that keras_seg has; those of timm are recognised by their tensors."""
OURS = (
    f"Of smp's own it has {', '.join(ENCODERS)}; of timm's (tu-) ResNets, VGGs, "
    "MobileNetV2 and V3, EfficientNetV2-B0 to B3, EfficientNet-Lite, ConvNeXt and HRNet."
)
FIRST_KERNEL = re.compile(
    r"encoder\.(model\.)?(conv1|conv1\.0|conv_stem|features[._]0(\.0)?|stem[._]0(\.conv)?)\.weight$"
)
TIMM_MOBILENETV3 = re.compile(r"timm-mobilenetv3")
"""smp builds timm's `tf_` networks under these names."""


def translate(published: dict[str, np.ndarray], settings: dict, options: dict) -> dict:
    """Options of the sources' builders, and "encoder": (its name in smp, whether it is timm's).

    Args:
        published: tensors by their names in the file.
        settings: settings of a config.json, {} if there was none.
        options: arguments of smp or of our builders, from the caller; they override the settings.

    Raises: ValueError that names an argument and its value, if keras_seg has nothing like it or the
        tensors contradict it.
    """
    network = _network(published)
    given, ours = _split(settings, options)
    _check_class(settings, network)
    _check_tensors(published, given, network)
    arguments = {"activation": _activation(given["activation"])}
    if network == "DeepLabV3Plus":
        arguments |= _deeplabv3plus(given)
    else:
        arguments |= _interpolation(given["decoder_interpolation"])
        _refuse_other(given, network)
    if not settings:
        _warn_of_defaults(network, options)
    if given["aux_params"] is not None or any("classification_head." in name for name in published):
        warnings.warn(
            "The classification head (aux_params) is left out: the model gives the mask alone.",
            stacklevel=3,
        )
    if isinstance(ours.get("variant"), Mapping):
        ours["variant"] = arguments.get("variant", {}) | dict(ours["variant"])
    on_timm = any(name.startswith("encoder.model.") for name in published)
    return arguments | ours | {"encoder": (_encoder_name(given["encoder_name"]), on_timm)}


def _warn_of_defaults(network: str, options: Mapping) -> None:
    untold = UNTOLD.get(network, UNTOLD["Unet"])
    assumed = {
        name: default
        for name, (default, ours) in untold.items()
        if name not in options and ours not in options
    }
    if assumed:
        values = ", ".join(f"{name}={default!r}" for name, default in assumed.items())
        warnings.warn(
            f"No tensor tells these options of {network}, so smp's defaults are assumed: {values}. "
            "Pass those that differ, or the folder of save_pretrained, whose config.json has them.",
            stacklevel=4,
        )


def _split(settings: Mapping, options: Mapping) -> tuple[dict, dict]:
    """(smp's arguments, ours). `upsampling` is a number in smp and a name here."""
    own = {name: value for name, value in settings.items() if not name.startswith("_")}
    ours = {}
    for name, value in options.items():
        is_theirs = name in DEFAULTS and not (name == "upsampling" and isinstance(value, str))
        if is_theirs and name in own and _plain(own[name]) != _plain(value):
            warnings.warn(
                f"config.json says {name}={own[name]!r}. Received: {name}={value!r}, which is "
                "taken. Leave it out unless config.json is wrong.",
                stacklevel=5,
            )
        (own if is_theirs else ours)[name] = value
    for name, value in own.items():
        if name not in DEFAULTS and value is not None:
            raise ValueError(
                f"config.json has {name}={value!r}, which keras_seg does not know. "
                + unknown_name("option of smp", name, DEFAULTS)
            )
    return DEFAULTS | {name: value for name, value in own.items() if name in DEFAULTS}, ours


def _plain(value: object) -> object:
    """JSON has no tuples."""
    return list(value) if isinstance(value, tuple) else value


def _network(published: Mapping) -> str:
    if any(name.startswith("decoder.aspp.0.") for name in published):
        return "DeepLabV3Plus"
    return (
        "UnetPlusPlus" if any(n.startswith("decoder.blocks.x_0_0.") for n in published) else "Unet"
    )


def _check_class(settings: Mapping, network: str) -> None:
    given = settings.get("_model_class", network)
    if given != network:
        raise ValueError(f"config.json says {given}, and the tensors are those of {network}.")


def _check_tensors(published: Mapping, given: Mapping, network: str) -> None:
    """Raises ValueError where the arguments and the tensors contradict each other."""
    shapes = {name: tuple(array.shape) for name, array in published.items()}
    if given["decoder_attention_type"] or any(".attention1.attention." in name for name in shapes):
        value = given["decoder_attention_type"] or "scse"
        raise ValueError(
            f"decoder_attention_type={value!r} is no part of keras_seg's decoders, and its tensors "
            "would be left over."
        )
    _check_norm(shapes, given, network)
    head = shapes.get("segmentation_head.0.weight", (None,))
    _compare("classes", given["classes"], head[0])
    first = next((shape for name, shape in shapes.items() if FIRST_KERNEL.match(name)), None)
    _compare("in_channels", given["in_channels"], first and first[1])
    if network == "DeepLabV3Plus":
        _compare("encoder_depth", given["encoder_depth"] or 5, 5, "the decoder needs")
        width = shapes.get("decoder.aspp.0.project.0.weight", (None,))[0]
        _compare("decoder_channels", given["decoder_channels"], width)
        separable = "decoder.aspp.0.convs.1.0.0.weight" in shapes
        _compare("decoder_aspp_separable", given["decoder_aspp_separable"], separable)
        return
    last = (
        r"decoder\.blocks\.x_0_(\d+)\."
        if network == "UnetPlusPlus"
        else r"decoder\.blocks\.(\d+)\."
    )
    steps = 1 + max(int(match[1]) for name in shapes if (match := re.match(last, name)))
    _compare("encoder_depth", given["encoder_depth"], steps)
    block = "decoder.blocks.x_0_{}" if network == "UnetPlusPlus" else "decoder.blocks.{}"
    names = [f"{block.format(step)}.conv1.0.weight" for step in range(steps)]
    widths = [shapes[name][0] for name in names if name in shapes]
    channels = given["decoder_channels"]
    _compare("decoder_channels", channels and list(channels), widths)
    if steps < 3:
        raise ValueError(
            f"encoder_depth={steps} is less than keras_seg's decoders have: 3, 4 or 5 steps up."
        )
    if len(widths) < steps:
        raise ValueError("decoder_channels has a 0, and keras_seg's decoders leave out no step up.")


def _check_norm(shapes: Mapping, given: Mapping, network: str) -> None:
    norm = given["decoder_use_norm"]
    if given["decoder_use_batchnorm"] is not None:
        norm = given["decoder_use_batchnorm"]
    kind, changed = norm, {}
    if isinstance(norm, Mapping):
        kind = norm.get("type")
        harmless = {"type", "momentum"}  # momentum counts in training alone
        usual = {"eps": 1e-5, "affine": True, "track_running_stats": True}
        changed = {
            name: value
            for name, value in norm.items()
            if name not in harmless and usual.get(name) != value
        }
    kind = kind.lower() if isinstance(kind, str) else kind
    if kind not in (True, False, "batchnorm", "identity") or changed:
        raise ValueError(
            f"decoder_use_norm={norm!r} is no norm of keras_seg's decoders, which have batch norm "
            "with an epsilon of 1e-5, or none."
        )
    if network == "DeepLabV3Plus":
        return
    convolutions = [n for n in shapes if re.match(r"decoder\.blocks\.\w+\.conv1\.0\.weight", n)]
    for name in convolutions[:1]:
        block = name.removesuffix(".0.weight")
        has_scale, has_mean = (f"{block}.1.{leaf}" in shapes for leaf in ("weight", "running_mean"))
        if has_scale and not has_mean:
            raise ValueError(
                "The decoder's norms have no running mean: decoder_use_norm was layernorm or "
                "instancenorm. keras_seg's decoders have batch norm, or none."
            )
        if not has_scale and f"{block}.0.bias" not in shapes:
            raise ValueError(
                "The decoder's convolutions have neither bias nor batch norm: decoder_use_norm was "
                "instancenorm. keras_seg's decoders have batch norm, or none."
            )


def _compare(name: str, given: object, actual: object, what: str = "the tensors say") -> None:
    if given is not None and actual is not None and given != actual:
        raise ValueError(f"{name}={given!r} was given, but {what} {actual!r}.")


def _interpolation(mode: object) -> dict:
    if mode not in INTERPOLATIONS:
        raise ValueError(
            f"decoder_interpolation={mode!r} is none that keras_seg's decoders have: "
            f"{', '.join(INTERPOLATIONS)}."
        )
    return INTERPOLATIONS[mode]


def _activation(activation: object) -> str | None:
    if not isinstance(activation, str | None) or activation not in ACTIVATIONS:
        raise ValueError(
            f"activation={activation!r} is no last layer that keras_seg has: None, 'sigmoid' or "
            "'softmax'. Pass activation=None for the scores before it."
        )
    return ACTIVATIONS[activation]


def _deeplabv3plus(given: Mapping) -> dict:
    arguments = {}
    if (stride := given["encoder_output_stride"]) is not None:
        if stride not in (8, 16):
            raise ValueError(f"encoder_output_stride={stride!r} is not 8 or 16.")
        arguments["output_stride"] = stride
    if (rates := given["decoder_atrous_rates"]) is not None:
        if len(rates) != 3:
            raise ValueError(f"decoder_atrous_rates={rates!r} are not three numbers.")
        arguments["aspp_rates"] = tuple(rates)
    if given["decoder_aspp_dropout"] is not None:
        arguments["dropout"] = given["decoder_aspp_dropout"]
    factor = given["upsampling"]
    if factor not in (None, 1, 4):
        raise ValueError(
            f"upsampling={factor!r} gives scores of another size than the image's. keras_seg has "
            "4, to the size of the image, or 1, for scores at stride 4."
        )
    if factor == 1:
        arguments["upsample_logits"] = False
    if given["decoder_interpolation"] != "nearest":
        raise ValueError(
            f"decoder_interpolation={given['decoder_interpolation']!r} is no option of "
            "DeepLabV3Plus."
        )
    return arguments


def _refuse_other(given: Mapping, network: str) -> None:
    """Raises ValueError for arguments of DeepLabV3Plus."""
    for name in ("encoder_output_stride", "decoder_atrous_rates", "upsampling"):
        if given[name] is not None:
            raise ValueError(f"{name}={given[name]!r} is no option of {network}.")


def _encoder_name(name: str | None) -> str | None:
    """smp's name of an encoder; ValueError for an encoder that keras_seg does not have."""
    if name is None or name in ENCODERS:
        return name
    if TIMM_MOBILENETV3.match(name):
        return f"tu-tf_{base_name(name)}"
    if name.startswith("tu-"):
        return name
    raise ValueError(f"encoder_name={name!r} is an encoder that keras_seg does not have. {OURS}")


def lacking(shapes: Mapping[str, tuple], name: str | None, on_timm: bool) -> str:
    """The message that keras_seg does not have an encoder, with its name or family."""
    family = foreign.encoder(shapes)
    if name is not None:
        begin = f"encoder_name={name!r} is an encoder that keras_seg does not have."
    elif family is not None:
        begin = f"The encoder is of the family {family}, which keras_seg does not have."
    else:
        begin = "The encoder's tensors are those of none that keras_seg has."
    whole = " timm's others than ResNets must be whole: encoder_depth=5." if on_timm else ""
    return f"{begin} {OURS}{whole}"
