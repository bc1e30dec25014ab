"""Errors of the command line in one or two lines, with the nearest name or an example to type."""

from __future__ import annotations

import re
import typing
from argparse import Action
from collections.abc import Mapping
from typing import Any

from keras_seg.names import nearest_name

WRONG_VALUE = r'(?s)Parser key "([^"]+)"[^:]*:\s*(.*?)(?:(?:Got|Given) value: ?(.*))?$'
FOREIGN_OPTIONS = {
    "lr": ["learning_rate"],
    "bs": ["batch_size"],
    "batch": ["batch_size"],
    "amp": ["mixed_precision"],
    "conf": ["threshold"],
    "data_dir": ["data"],
    "dir": ["data"],
    "train_dir": ["data"],
    "root": ["data"],
    "iou": ["search_threshold"],
    "out_dir": ["output"],
    "logdir": ["output"],
    "project": ["output"],
    "save_dir": ["output"],
    "name": ["output"],
    "half": ["quantize fp16"],
    "fp16": ["quantize fp16", "mixed_precision"],
    "int8": ["quantize int8"],
    "augment": ["augmentation.rotation", "flips"],
    "encoder_weights": ["model_options.backbone_weights", "options.backbone_weights"],
    "pretrained": ["model_options.backbone_weights", "options.backbone_weights"],
    "backbone_weights": ["model_options.backbone_weights", "options.backbone_weights"],
    "loss_fn": ["loss"],
    "image_size": ["crop", "input_shape"],
    "img_size": ["crop", "input_shape"],
    "input_size": ["crop", "input_shape"],
    "backbone": ["model_options.backbone", "options.backbone"],
    "encoder": ["model_options.backbone", "options.backbone"],
    "encoder_name": ["model_options.backbone", "options.backbone"],
    "widths": ["model_options.widths", "options.widths"],
    "size": ["crop", "input_shape"],
    "imgsz": ["crop", "input_shape"],
    "out": ["output"],
    "o": ["output"],
}
"""Option of other tools, without hyphens → the options here that mean the same."""
DEVICES = "TensorFlow takes the GPUs that it finds; CUDA_VISIBLE_DEVICES=0 chooses one."
FIRST = "The model is the first argument, without an option before it."
ADVICE = {
    "device": ("", DEVICES),
    "gpu": ("", DEVICES),
    "gpus": ("", DEVICES),
    "workers": ("", "Leave it out: images are read in parallel."),
    "num_workers": ("", "Leave it out: images are read in parallel."),
    "resume": ("--overwrite", "Leave it out: the same command resumes a stopped training."),
    "weights": (
        "--initial_weights",
        "Did you mean --initial_weights or --model_options.backbone_weights?",
    ),
    "class_weights": (
        "--loss",
        "Write it into the loss: "
        """--loss '{"name": "cross_entropy", "class_weights": "balanced"}'.""",
    ),
    "ignore_index": (
        "--loss",
        """Masks ignore 255. classes.json can name another value: "ignore": 0.""",
    ),
    "batch_size": ("file", "Leave it out: it does not change the result."),
    "source": ("inputs", "Images follow the model, without an option before them."),
    "input": ("inputs", "Images follow the model, without an option before them."),
    "images": ("inputs", "Images follow the model, without an option before them."),
}
"""Option of other tools → an argument of the verbs that it is about, and what to do."""
ADVICE_OF_MODELS = {"model": FIRST, "weights": FIRST, "checkpoint": FIRST}
"""The same for verbs whose first argument is a model."""


def message_for_user(message: str, actions: Mapping[str, Action]) -> str:
    """Rewrites a message of the parser.

    Args:
        message: the message of argparse or jsonargparse.
        actions: option or positional argument, as it is typed → the parser's action for it.

    Returns: one or two lines, which name arguments as they are typed.
    """
    if rest := _after("unrecognized arguments: ", message):
        return _unknown(rest.split(), actions)
    if names := _after("required: ", message):
        missing = ", ".join(_as_typed(name, actions) for name in names.split(", "))
        return f"missing: {missing}"
    if option := re.match(r"argument (\S+): expected (?:one|\d+) arguments?", message):
        value = _example(actions.get(option[1]))
        hyphen = f" If it begins with a hyphen: {option[1]}=-name."
        return f"{option[1]} needs a value: {value}.{hyphen if value in ('text', 'a path') else ''}"
    if wrong := re.match(WRONG_VALUE, message):
        return _wrong_value(wrong[1], wrong[2], wrong[3], actions)
    return message


def _unknown(words: list[str], actions: Mapping[str, Action]) -> str:
    unknown = next((word for word in words if word.startswith("-") and word != "--"), None)
    words = [word for word in words if word != "--"] or words
    if unknown is None or words[0] != unknown:
        is_path = "--output" in actions and re.search(r"[/\\]|\.\w+$", words[0])
        output = f" Is it the output? Write --output {words[0]}." if is_path else ""
        return f"unexpected argument '{words[0]}'.{output}"
    option = unknown.partition("=")[0]
    if advice := _advice(option, actions):
        return f"unknown option {option}. {advice}"
    if meant := _meant(option, actions):
        return f"unknown option {option}. Did you mean {meant}?"
    if re.search(r"\.\w+$", option) and not option.startswith("--"):
        return f"unknown option {option}. If it is a file, write ./{option}."
    return f"unknown option {option}."


def _advice(option: str, actions: Mapping[str, Action]) -> str | None:
    """What to do in place of an option of another tool that has no counterpart."""
    name = option.lstrip("-").replace("-", "_").lower()
    if "file" in actions and name in ADVICE_OF_MODELS:
        return ADVICE_OF_MODELS[name]
    about, text = ADVICE.get(name, (None, None))
    return text if about == "" or about in actions else None


def _meant(option: str, actions: Mapping[str, Action]) -> str | None:
    """The option that a person meant; None if none is like what was typed."""
    options = [name for name in actions if name.startswith("--") and not name.endswith("+")]
    name = option.lstrip("-").replace("-", "_")
    for foreign in FOREIGN_OPTIONS.get(name.lower(), ()):
        if "--" + re.split(r"[. ]", foreign)[0] in options:
            return f"--{foreign}"
    if nearest := nearest_name(name, [each[2:] for each in options]):
        return f"--{nearest}"
    ends = [each for each in options if each.endswith(f".{name}")]
    return ends[0] if len(ends) == 1 else None  # --flip_horizontal of --augmentation


def _wrong_value(key: str, reason: str, received: str | None, actions: Mapping[str, Action]) -> str:
    name = _as_typed(key, actions)
    action = actions.get(name)
    if received is None or action is None:
        return f"{name}: {' '.join(reason.split())}"
    received = (received.strip() or "an empty text").splitlines()[0]
    allowed = choices(action)
    nearest = nearest_name(received, allowed) if allowed else None
    hint = f" Did you mean {nearest}?" if nearest else ""
    if name == "--classes" and received.isdigit() and "--num_classes" in actions:
        hint = f" For a number: --num_classes {received}."
    return f"{name} must be {_example(action)}. Received: {received}.{hint}"


def _example(action: Action | None) -> str:
    """What an option takes: "a whole number", "one of none, int8", "2 whole numbers, as in ..."."""
    from keras_seg.training.recipe_io import in_words

    hint: Any = getattr(action, "_typehint", None)
    if action is None or hint is None:
        return "a text"
    text = in_words(hint).removesuffix(" or null")
    option = action.option_strings[0] if action.option_strings else action.dest
    if "2 whole numbers" in text:
        text += f", as in {option} 256 256"
    elif isinstance(action.nargs, int):
        text = f"{action.nargs} numbers, as in {option} 0 4095"
    elif text == "a mapping of names":
        text += f", as in {option}.NAME VALUE"
    elif "list of texts" in text:
        text += f", as in {option} NAME NAME"
    return text


def choices(action: Action) -> list[str]:
    """The values that an option or positional argument may have; none if any may be given."""
    hint = getattr(action, "_typehint", None)
    kinds = (hint, *typing.get_args(hint))
    literals = [each for each in kinds if typing.get_origin(each) is typing.Literal]
    return [str(choice) for literal in literals for choice in typing.get_args(literal)]


def _as_typed(key: str, actions: Mapping[str, Action]) -> str:
    """ "train.output" and "output" → "--output"; a positional argument keeps its name."""
    for name in (key, key.partition(".")[2]):
        if name and f"--{name}" in actions:
            return f"--{name}"
        if name and name in actions:
            return name
    return key.rpartition(".")[2]


def _after(start: str, message: str) -> str:
    return message.partition(start)[2]
